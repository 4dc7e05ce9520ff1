#!/usr/bin/env node
// Runs the same networks in this project and its peers within one browser, in turns, and prints a Markdown table.

import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { cpus, loadavg } from "node:os";
import { extname, join, normalize } from "node:path";
import { parseArgs } from "node:util";

const HERE = import.meta.dirname;
const ROOT = join(HERE, "../../..");
const TARGET = process.env.CARGO_TARGET_DIR ?? join(ROOT, "target");
const ROWS = ["nin-small/train/32", "lenet/train/64", "nin/forward/1"];
const OURS = "nin-wgpu";
const PEERS = { train: [OURS, "nin-wgpu on the CPU", "jax-js", "TensorFlow.js"], forward: [OURS, "nin-wgpu on the CPU", "onnxruntime-web", "jax-js", "TensorFlow.js"] };
const SIDES = { nin: 224 };
const LEARNING_RATE = 1e-3;
// Part of the largest value by which two programs may differ: at first, and after two updates, where a gradient that is only
// rounding may have moved a weight the other way.
const [TOLERANCE, TOLERANCE_UPDATED] = [1e-3, 1e-2];
const TURN_SECONDS = 0.5;

const USAGE = `usage: benches/peers/web/compare.mjs [--rounds N] [--peers A,B] [--json FILE] [NETWORK/WHAT/BATCH ...]

Networks are nin-small, lenet and nin; WHAT is train or forward. Default: ${ROWS.join(" ")}
Peers: ${[...new Set(Object.values(PEERS).flat())].join("; ")}.

  --rounds N   turns of each peer [default: 7]
  --peers A,B  only these besides ${OURS}
  --json FILE  write the measurements, one a line

It wants what scripts/check-web does: a compiler for wasm32, Node 20 with npm, and Chromium.`;

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    help: { type: "boolean", short: "h" }, rounds: { type: "string", default: "7" },
    peers: { type: "string" }, json: { type: "string" },
  },
});
if (options.help) {
  console.log(USAGE);
  process.exit();
}

const say = (text) => console.error(text);
const run = (program, args, cwd) => execFileSync(program, args, { cwd, stdio: ["ignore", 2, 2], env: { ...process.env, CARGO_TARGET_DIR: TARGET } });

function build() {
  for (const folder of [HERE, join(ROOT, "web/tests")]) {
    if (!existsSync(join(folder, "node_modules"))) run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], folder);
  }
  run(join(ROOT, "scripts/cargo-for"), ["wasm32-unknown-unknown", "build", "--release", "--locked"], join(HERE, "ours"));
  run("cargo", ["build", "--locked", "--package", "tools"], join(ROOT, "web"));
  const made = ["targets/", ""].map((folder) => join(TARGET, `${folder}wasm32-unknown-unknown/release/peer_ours_web.wasm`));
  run(join(TARGET, "debug/bindgen"), [made.find(existsSync), join(HERE, "dist")]);
}

const KINDS = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm" };

/** Serves the page, ours and the peers to this machine alone. */
async function serve() {
  const folders = { npm: join(HERE, "node_modules"), ours: join(HERE, "dist") };
  const server = createServer(async ({ url }, answer) => {
    const [, first, ...rest] = normalize(new URL(url, "http://localhost").pathname).split("/");
    const path = folders[first] ? join(folders[first], ...rest) : join(HERE, "page", first || "index.html", ...rest);
    try {
      const body = await readFile(path);
      answer.writeHead(200, { "Content-Type": KINDS[extname(path)] ?? "application/octet-stream" }).end(body);
    } catch {
      answer.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}/`, stop: () => server.close() };
}

const median = (values) => {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
};

/** Whether the values of two programs agree: if not, nothing is timed. */
function check(peer, ours, theirs, tolerance) {
  const largest = Math.max(...ours.map(Math.abs));
  const worst = Math.max(...ours.map((value, i) => Math.abs(value - theirs[i])));
  const told = `${peer} and ${OURS} differ by ${worst.toExponential(1)} at values up to ${largest.toPrecision(4)}`;
  if (ours.length !== theirs.length || !(worst <= tolerance * largest)) throw new Error(`${told}: nothing is timed`);
  say(`  ${told}`);
}

async function measure(page, [network, what, batch]) {
  const task = { network, batch: Number(batch), train: what === "train", side: SIDES[network] ?? 28, learningRate: LEARNING_RATE };
  const ask = (peer, turn) => page.evaluate(([peer, turn]) => window.ask(peer, { turn }), [peer, turn]);
  const chosen = options.peers?.split(",");
  const peers = [];
  let first = [];
  for (const peer of PEERS[what].filter((peer) => peer === OURS || !chosen || chosen.includes(peer))) {
    const start = performance.now();
    let got;
    try {
      await page.evaluate(([peer, task]) => window.prepare(peer, task), [peer, task]);
      got = [await ask(peer, 1)];
    } catch (error) {
      if (peer === OURS) throw error;
      say(`  ${peer}: ${error.message.split("\n").slice(0, 3).join(" ")}: left out`);
      await page.evaluate((peer) => window.end(peer), peer);
      continue;
    }
    const firstResult = (performance.now() - start) / 1000;
    got.push(await ask(peer, 1), await ask(peer, 1));
    if (peer === OURS) first = got;
    else got.forEach(({ values }, i) => check(peer, first[i].values, values, i ? TOLERANCE_UPDATED : TOLERANCE));
    const count = Math.min(Math.max(Math.round(TURN_SECONDS / got[2].seconds), 1), 200);
    say(`  ${peer}: first result after ${firstResult.toFixed(2)} s, then ${(1000 * got[2].seconds).toFixed(1)} ms`);
    peers.push({ peer, firstResult, count, seconds: [] });
  }
  for (let round = 1; round <= Number(options.rounds); round++) {
    for (const one of peers) one.seconds.push((await ask(one.peer, one.count)).seconds / one.count);
  }
  for (const peer of PEERS[what]) await page.evaluate((peer) => window.end(peer), peer);
  await page.evaluate(() => { window.start = undefined; });
  return peers.map((one) => ({ network, what, batch, ...one, median: median(one.seconds) }));
}

build();
const { launch } = await import(join(ROOT, "web/tests/browser.js"));
const load = loadavg()[0].toFixed(1);
const server = await serve();
const { context, close } = await launch();
const measured = [];
try {
  const page = await context.newPage();
  page.setDefaultTimeout(0);
  await page.goto(server.url);
  const adapter = await page.evaluate(async () => {
    const { vendor, architecture, description } = (await navigator.gpu.requestAdapter()).info;
    return [vendor, architecture, description].filter(Boolean).join(" ");
  });
  for (const row of positionals.length ? positionals : ROWS) {
    say(row);
    measured.push(...await measure(page, row.split("/")));
  }
  console.log(`${cpus()[0].model.trim()}, ${cpus().length} threads; Chromium ${context.browser()?.version() ?? await page.evaluate(() => navigator.userAgent.match(/Chrome\/([\d.]+)/)[1])}, adapter ${adapter}; `
    + `medians of ${options.rounds} turns; load average at the start ${load}\n`);
} finally {
  await close();
  server.stop();
}
const lock = JSON.parse(await readFile(join(HERE, "package-lock.json"), "utf8")).packages;
const VERSIONS = { "jax-js": "@jax-js/jax", "TensorFlow.js": "@tensorflow/tfjs-backend-webgpu", "onnxruntime-web": "onnxruntime-web" };
const span = (seconds) => (seconds >= 1 ? `${seconds.toFixed(2)} s` : `${(1000 * seconds).toPrecision(3)} ms`);
console.log("| network | what | batch | program | first result | median | against nin-wgpu |\n|---|---|---|---|---|---|---|");
for (const one of measured) {
  const base = measured.find(({ peer, network, what, batch }) => peer === OURS && network === one.network && what === one.what && batch === one.batch);
  const version = VERSIONS[one.peer] ? ` ${lock[`node_modules/${VERSIONS[one.peer]}`].version}` : "";
  console.log(`| ${one.network} | ${one.what} | ${one.batch} | ${one.peer}${version} | ${one.firstResult.toFixed(2)} s | ${span(one.median)} | ${(one.median / base.median).toFixed(2)} |`);
}
if (options.json) await writeFile(options.json, measured.map((one) => JSON.stringify(one)).join("\n") + "\n");
