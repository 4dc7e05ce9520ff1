import assert from "node:assert/strict";

import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { answered, launch, open, ready, ROOT } from "./browser.js";
import { fixture } from "./fixture.js";

const browser = fixture();
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
