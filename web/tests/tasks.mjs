// The longest task of the page's own thread in an epoch of training and its test: `node tasks.mjs [gpu|cpu] [MODEL] [draw]`. With
// `draw` somebody draws meanwhile, and looks inside. By the clock it says little unless the machine is idle, so it is no test.

import { launch, open, ready, serve } from "./browser.js";
import { longestTask, startTrace } from "./trace.js";

const [device = "gpu", model = "nin-small", draws] = process.argv.slice(2);

const server = await serve();
const { context, close } = await launch();

async function draw(page) {
  await page.waitForFunction(() => !document.getElementById("download").disabled, undefined, { polling: 200 });
  await page.check("[name=which][value=training]");
  const { x, y } = await page.locator("#drawing").boundingBox();
  await page.mouse.move(x + 60, y + 40);
  await page.mouse.down();
  for (let i = 0; i < 100; i++) await page.mouse.move(x + 60 + i, y + 40 + 1.5 * i + 20 * Math.sin(i / 5));
  await page.mouse.up();
  await page.click("#look");
}

try {
  const { page, faults } = await open(context, server.url, device);
  await ready(page);
  await page.selectOption("#model", model);
  await page.fill("[name=epochs]", "1");
  const trace = await startTrace(page);
  await page.click("#start");
  if (draws) await draw(page);
  const within = { polling: 300, timeout: 0 };
  await page.waitForFunction(() => /^Done/.test(document.getElementById("train-state").textContent), undefined, within);
  // The test's answer.
  await page.waitForFunction((text) => document.getElementById("confusion").textContent.includes(text), "Test images after", within);
  await page.waitForTimeout(500);
  const { wall, cpu } = longestTask(await trace.stop());
  console.log(`${await page.textContent("#status")}: ${wall.toFixed(1)} ms, ${cpu.toFixed(1)} of them on a core; faults: ${faults.length}`);
} finally {
  await close();
  server.stop();
}
