// Takes the pictures of docs/: `node shots.mjs [light] [dark]`. They are no test; somebody looks at them.

import { join } from "node:path";
import { answered, launch, open, ready, ROOT, serve } from "./browser.js";

const server = await serve();
const wanted = process.argv.slice(2);
for (const colorScheme of wanted.length ? wanted : ["light", "dark"]) {
  const { context, close } = await launch({ colorScheme, viewport: { width: 1120, height: 800 } });
  const { page } = await open(context, server.url);
  await ready(page);
  await page.click("img[alt='ankle boot']");
  await answered(page, "Ankle boot");
  const some = async (part) => {
    await page.fill("[name=epochs]", "3");
    await page.click("#start");
    await page.waitForFunction(() => document.getElementById("train-progress").value < 0.1 && !document.getElementById("pause").disabled);
    await page.waitForFunction((part) => document.getElementById("train-progress").value > part, part, { timeout: 300_000 });
  };
  // A run whose curves lie beside those of the next.
  await page.selectOption("[name=optimizer]", "sgd");
  await some(0.35);
  await page.click("#reset");
  await page.waitForFunction(() => /^Stopped/.test(document.getElementById("train-state").textContent));
  await page.selectOption("[name=optimizer]", "adam");
  await some(0.4);
  await page.click("#pause");
  await page.waitForFunction(() => /^Halted/.test(document.getElementById("train-state").textContent));
  await page.check("#runs tbody tr:nth-child(2) input");
  await page.click("#examine");
  await page.waitForTimeout(8000);
  await page.click("#look");
  await page.waitForSelector("#layers .map");
  await page.hover("#layers .map >> nth=12");
  // The GPU has limits to show, whichever is the faster here.
  if ((await page.textContent("#use-cpu")) === "Use the GPU") {
    await page.click("#use-cpu");
    await page.waitForFunction(() => document.getElementById("use-cpu").textContent === "Use the CPU");
    await ready(page);
  }
  await page.click("#self-test");
  await page.waitForFunction(() => /checks (passed|failed)/.test(document.getElementById("self-test-state").textContent), undefined, { timeout: 300_000 });
  for (const section of ["classify", "train", "device"]) {
    await page.locator(`#${section}`).screenshot({ path: join(ROOT, `docs/web-${section}-${colorScheme}.png`) });
  }
  // The first layers: the rest is more of the same.
  await page.hover("#layers .map >> nth=12");
  const box = await page.locator("#inside").boundingBox();
  await page.screenshot({ path: join(ROOT, `docs/web-inside-${colorScheme}.png`), fullPage: true, clip: { ...box, y: box.y + (await page.evaluate(() => scrollY)), height: Math.min(box.height, 760) } });
  await close();
}
server.stop();
