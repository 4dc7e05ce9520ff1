import assert from "node:assert/strict";

import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { answered, launch, open, ready, ROOT } from "./browser.js";
import { fixture } from "./fixture.js";

// Where a device may fail.
const browser = fixture({ device: "gpu" });
const folder = await mkdtemp(join(tmpdir(), "nin-web-folder-"));
after(() => rm(folder, { recursive: true, force: true }));

const noticed = (page, text) => page.waitForFunction((text) => document.getElementById("notice-text").textContent.includes(text), text);

async function beginTraining(page) {
  await ready(page);
  await page.fill("[name=batch]", "16");
  await page.click("#start");
  // Something was saved.
  await page.waitForFunction(() => !document.getElementById("download").disabled);
}

const goesOn = (page) => page.waitForFunction(() => /^Step \d+/.test(document.getElementById("train-state").textContent));

test("a training whose device is lost can go on from what was saved", async () => {
  const page = await browser.page();
  await beginTraining(page);
  await page.workers()[0].evaluate(() => {
    const make = GPUDevice.prototype.createCommandEncoder;
    GPUDevice.prototype.createCommandEncoder = function (...args) {
      this.destroy();
      GPUDevice.prototype.createCommandEncoder = make;
      return make.apply(this, args);
    };
  });
  await noticed(page, "are saved");
  await page.click("#notice-act");
  await goesOn(page);
  await page.close();
});

test("out of memory ends as a message, and the run that was saved is kept and goes on", async () => {
  const page = await browser.page();
  await beginTraining(page);
  await page.click("#reset");
  await page.waitForFunction(() => /^Stopped/.test(document.getElementById("train-state").textContent));
  // The next allocation fails as one does that finds no memory.
  await page.workers()[0].evaluate(() => {
    const pop = GPUDevice.prototype.popErrorScope;
    GPUDevice.prototype.popErrorScope = async function () {
      GPUDevice.prototype.popErrorScope = pop;
      await pop.call(this);
      return new GPUOutOfMemoryError("on purpose");
    };
  });
  const kept = await page.textContent("#runs tbody td:nth-child(5)");
  await page.click("#runs button:has-text('Go on')");
  await noticed(page, "out of memory");
  assert.match(await page.textContent("#notice-text"), /are saved/);
  assert.equal(await page.textContent("#runs tbody td:nth-child(5)"), kept);
  await page.click("#notice-act");
  await goesOn(page);
  await page.close();
});

test("a batch that no memory holds is refused with the reason, and the page stays as it was", async () => {
  const page = await browser.page();
  await ready(page);
  await page.evaluate(() => {
    document.querySelector("[name=batch]").max = 1e9;
    document.querySelector("[name=model]").value = "nin-paper";
  });
  await page.fill("[name=batch]", "100000000");
  await page.click("#start");
  await noticed(page, "Training halted");
  assert.ok(await page.isEnabled("#start"));
  await page.click("img[alt=bag]");
  await answered(page, "Bag");
  await page.close();
});

test("a training halts while nobody sees the page, and goes on afterwards", async () => {
  const page = await browser.page();
  await beginTraining(page);
  const see = (visible) => page.evaluate((visible) => {
    Object.defineProperty(document, "hidden", { value: !visible, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, visible);
  const state = (text) => page.waitForFunction((text) => document.getElementById("train-state").textContent.includes(text), text);
  await see(false);
  await state("while nobody sees");
  const step = await page.textContent("#train-state");
  await page.waitForFunction((step) => document.getElementById("runs").textContent.includes(`${step} of`), step.match(/\d+/)[0]);
  await see(true);
  await goesOn(page);
  // What was halted by hand stays so.
  await page.click("#pause");
  await state("Halted after");
  const halted = await page.textContent("#train-state");
  await see(false);
  await see(true);
  await page.waitForTimeout(500);
  assert.equal(await page.textContent("#train-state"), halted);
  await page.close();
});

test("a worker that crashes is replaced, and its training can go on", async () => {
  const page = await browser.page((fault) => /on purpose/.test(fault));
  await beginTraining(page);
  await page.workers()[0].evaluate(() => {
    setTimeout(() => { throw new Error("on purpose"); });
  });
  await noticed(page, "are saved");
  await page.click("#notice-act");
  await goesOn(page);
  await page.click("img[alt=bag]");
  await answered(page, "Bag");
  await page.close();
});

test("a folder of one's own is trained on, and a broken picture is left out and named", async () => {
  for (const [name, samples] of [["dark", ["trouser", "dress"]], ["light", ["bag", "sandal"]]]) {
    await mkdir(join(folder, name));
    for (const [i, sample] of [...samples, ...samples, ...samples, ...samples].entries()) {
      await writeFile(join(folder, name, `${i}.png`), await readFile(join(ROOT, `examples/images/${sample}.png`)));
    }
  }
  await writeFile(join(folder, "dark", "broken.png"), "this is no picture");
  const page = await browser.page();
  await ready(page);
  await page.selectOption("#data-source", "folder");
  await page.setInputFiles("#folder", folder);
  await page.waitForFunction(() => /2 classes/.test(document.getElementById("folder-state").textContent));
  assert.match(await page.textContent("#folder-bad"), /1 picture is left out.*broken\.png/s);
  await page.fill("[name=batch]", "4");
  await page.fill("[name=epochs]", "3");
  await page.click("#start");
  await page.waitForFunction(() => /^Done/.test(document.getElementById("train-state").textContent));
  // The curve goes to the end of even a short run.
  const [steps] = (await page.textContent("#train-state")).match(/\d+/);
  await page.waitForFunction((steps) => document.getElementById("loss-chart").ariaLabel.endsWith(`at step ${steps}`), steps);
  await page.close();
});

test("without WebGPU everything works on the CPU, and the page says so", async () => {
  const { context, close } = await launch({ webgpu: false });
  try {
    const { page, faults } = await open(context, browser.server.url);
    await ready(page);
    assert.match(await page.textContent("#status"), /no WebGPU.*Chrome.*Safari.*Firefox/);
    await page.click("img[alt='ankle boot']");
    await answered(page, "Ankle boot");
    await beginTraining(page);
    await page.click("#look");
    await page.waitForSelector("#layers .map");
    assert.deepEqual(faults, []);
  } finally {
    await close();
  }
});
