// What all tests have in common: the served page, and a browser whose GPU is software.

import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

export const ROOT = join(import.meta.dirname, "../..");
const TARGET = process.env.CARGO_TARGET_DIR ?? join(ROOT, "target");
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = [
  "--no-sandbox", "--use-angle=swiftshader", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];
const WEBGPU = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];

/** Serves the page; `stop` ends that. */
export async function serve(folder = join(ROOT, "web/dist")) {
  const server = spawn(join(TARGET, "debug/serve"), [folder, "0"], { stdio: ["ignore", "pipe", "inherit"] });
  const url = await new Promise((resolve, reject) => {
    server.stdout.once("data", (line) => resolve(String(line).trim()));
    server.once("error", reject);
    server.once("exit", (code) => reject(new Error(`the server ended with ${code}`)));
  });
  return { url, stop: () => server.kill() };
}

/** Opens a browser of its own profile. */
export async function launch({ webgpu = true, ...options } = {}) {
  const profile = await mkdtemp(join(tmpdir(), "nin-web-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: CHROMIUM,
    headless: true,
    args: ["--headless=new", ...FLAGS, ...(webgpu ? WEBGPU : [])],
    ...options,
  });
  return {
    context,
    profile,
    close: async () => {
      await context.close();
      await rm(profile, { recursive: true, force: true });
    },
  };
}

/**
 * Opens the page and takes note of what must not happen: messages of errors, and requests of another origin. With a `device`, as if
 * the user had chosen that one.
 */
export async function open(context, url, device) {
  const page = await context.newPage();
  if (device) await page.addInitScript((device) => localStorage.setItem("device", JSON.stringify(device)), device);
  const faults = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) faults.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => faults.push(`page: ${error}`));
  page.on("request", (request) => {
    const to = request.url();
    if (!to.startsWith(url) && !/^(blob|data):/.test(to)) faults.push(`request: ${to}`);
  });
  page.setDefaultTimeout(60_000);
  await page.goto(url);
  return { page, faults };
}

/** Waits for the shipped network. */
export async function ready(page) {
  await page.waitForFunction(() => document.getElementById("loaded-name").textContent.includes("parameters"));
}

/** The class that is answered, once it is `name`. */
export async function answered(page, name) {
  await page.waitForFunction((name) => document.getElementById("answer").textContent.startsWith(name), name);
  return page.textContent("#answer");
}
