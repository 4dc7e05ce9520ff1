import assert from "node:assert/strict";
import { test } from "node:test";
import { answered, ready } from "./browser.js";
import { fixture } from "./fixture.js";
import { longestTask, startTrace } from "./trace.js";

const browser = fixture();

/** Moves the focus by the Tab key until it is on an element. */
async function tabTo(page, selector) {
  for (let i = 0; i < 80; i++) {
    await page.keyboard.press("Tab");
    if (await page.evaluate((selector) => document.activeElement.matches(selector), selector)) return;
  }
  assert.fail(`the Tab key does not reach ${selector}`);
}

test("by keyboard alone one draws, chooses a class's map, trains and halts", async () => {
  const page = await browser.page();
  await ready(page);
  await tabTo(page, "#drawing");
  await page.keyboard.press("Space");
  for (let i = 0; i < 8; i++) await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Space");
  await page.waitForFunction(() => document.getElementById("answer").textContent !== "—");
  await tabTo(page, "#samples button");
  await page.keyboard.press("Enter");
  await answered(page, "Ankle boot");
  await tabTo(page, "#classes [aria-checked=true]");
  await page.keyboard.press("ArrowDown");
  assert.equal(await page.getAttribute("#seen", "aria-label"), "The picture as the network sees it, with the map of T-shirt/top over it");
  await tabTo(page, "#start");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => !document.getElementById("pause").disabled);
  await page.focus("#start");
  await tabTo(page, "#pause");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => /^Halted/.test(document.getElementById("train-state").textContent));
  await tabTo(page, "#look");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#layers .map");
  await tabTo(page, "#layers .map");
  await page.keyboard.press("ArrowRight");
  assert.match(await page.textContent("#inside-what"), /^Map 2 of/);
  await page.close();
});

test("at 360 pixels nothing is wider than the screen", async () => {
  const page = await browser.page();
  await page.setViewportSize({ width: 360, height: 740 });
  await ready(page);
  await page.click("img[alt=bag]");
  await answered(page, "Bag");
  await page.click("#look");
  await page.waitForSelector("#layers .map");
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
  await page.close();
});

test("every control, picture and region has a name for a screen reader", async () => {
  const page = await browser.page();
  await ready(page);
  await page.click("img[alt=bag]");
  await answered(page, "Bag");
  const nameless = await page.evaluate(() => {
    const named = (element) => element.ariaLabel || element.textContent.trim() || element.alt || element.labels?.length
      || element.getAttribute("aria-labelledby") || element.querySelector("[alt]");
    const all = document.querySelectorAll("button, input, select, canvas[role], progress, section, table, [role]");
    return [...all].filter((element) => !element.hidden && !named(element)).map(({ outerHTML }) => outerHTML.slice(0, 80));
  });
  // What is filled when there is something to tell.
  assert.deepEqual(nameless.filter((html) => !/role="(status|alert)"|notice-act/.test(html)), []);
  await page.close();
});

test("the faster of GPU and CPU is taken, said, and remembered", async () => {
  const page = await browser.page();
  await ready(page);
  await page.click("#start");
  const said = async () => {
    await page.waitForFunction(() => /a training step .* takes/.test(document.getElementById("status").textContent));
    return page.textContent("#status");
  };
  const first = await said();
  const [, cpu, gpu] = first.match(/takes ([\d.]+) ms on the CPU and ([\d.]+) ms on the GPU/);
  assert.equal(first.startsWith("On the CPU"), Number(cpu) < Number(gpu), first);
  await page.reload();
  await ready(page);
  assert.equal(await said(), first);
  await page.click("#use-cpu");
  await page.waitForFunction((first) => document.getElementById("status").textContent.startsWith("On the CPU") !== first, first.startsWith("On the CPU"));
  await page.evaluate(() => localStorage.clear());
  await page.close();
});

test("the page goes on drawing while it trains", async (t) => {
  const page = await browser.page();
  await ready(page);
  const frames = page.evaluate(() => new Promise((resolve) => {
    let count = 0;
    const frame = () => {
      count += 1;
      if (document.getElementById("train-progress").value > 0.03) resolve(count);
      else requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }));
  const trace = await startTrace(page);
  await page.click("#start");
  const drawn = await frames;
  const longest = longestTask(await trace.stop());
  t.diagnostic(`longest task of the page's own thread: ${longest.wall.toFixed(1)} ms, ${longest.cpu.toFixed(1)} of them on a core; ${drawn} frames`);
  assert.ok(drawn > 1, `${drawn} frames`);
  await page.close();
});
