// What a tab takes while it trains: `node memory.mjs [gpu|cpu] [STEPS] [MODEL]`. It prints the memory of the processes that belong
// to the page every 500 steps, and fails if the last is above the first by more than a twentieth. It takes minutes, so it is no
// test of CI's.

import { readdir, readFile } from "node:fs/promises";
import { launch, open, ready, serve } from "./browser.js";

const [device = "gpu", steps = "5000", model = "lenet"] = process.argv.slice(2);
const EVERY = 500;

const server = await serve();
const { context, profile, close } = await launch();

/** Processes of this browser by kind: renderer, gpu-process and others. */
async function processes() {
  const all = [];
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    try {
      const [command, status] = await Promise.all([readFile(`/proc/${pid}/cmdline`, "utf8"), readFile(`/proc/${pid}/status`, "utf8")]);
      all.push({ pid, command, parent: status.match(/^PPid:\s+(\d+)/m)[1] });
    } catch {
      // It ended meanwhile.
    }
  }
  const ours = all.filter(({ command }) => command.includes(profile) && !command.includes("--type="));
  for (const { pid } of ours) ours.push(...all.filter((one) => one.parent === pid && !ours.includes(one)));
  return ours.map(({ pid, command }) => ({ pid, kind: command.match(/--type=([\w-]+)/)?.[1] }));
}

/** Megabytes that a process has to itself, and its part of what it shares. */
async function megabytes({ pid }) {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, "utf8");
  return Number(text.match(/^Pss:\s+(\d+)/m)[1]) / 1024;
}

try {
  const { page, faults } = await open(context, server.url, device);
  page.setDefaultTimeout(0);
  await ready(page);
  const client = await context.newCDPSession(page);
  await page.selectOption("#model", model);
  await page.fill("[name=batch]", "16");
  await page.fill("[name=epochs]", "1000");
  await page.click("#start");
  const samples = [];
  for (let step = EVERY; step <= Number(steps); step += EVERY) {
    await page.waitForFunction((step) => Number(document.getElementById("train-state").textContent.match(/^Step (\d+)/)?.[1]) >= step, step, { polling: 200 });
    await client.send("HeapProfiler.collectGarbage");
    const heap = (await client.send("Runtime.getHeapUsage")).usedSize / 2 ** 20;
    const all = await processes();
    const of = async (kind) => {
      const some = await Promise.all(all.filter((one) => one.kind === kind).map(megabytes));
      return some.reduce((sum, one) => sum + one, 0);
    };
    // Runs on their way to be kept are in the browser's own process.
    const [renderer, gpu, browser] = [await of("renderer"), await of("gpu-process"), await of(undefined)];
    samples.push(renderer + gpu);
    console.log(`step ${step}: ${renderer.toFixed(1)} MB in the page's process, ${gpu.toFixed(1)} MB in the GPU's, `
      + `${browser.toFixed(1)} MB in the browser's, ${heap.toFixed(1)} MB of JavaScript`);
  }
  const growth = samples.at(-1) - samples[0];
  console.log(`from step ${EVERY} to step ${steps}: ${growth >= 0 ? "+" : ""}${growth.toFixed(1)} MB; faults: ${faults.length}`);
  if (growth > samples[0] / 20) process.exitCode = 1;
} finally {
  await close();
  server.stop();
}
