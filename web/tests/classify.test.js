import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { answered, ready, ROOT } from "./browser.js";
import { fixture } from "./fixture.js";
import { classify } from "./native.js";
import { file, session } from "./session.js";

const browser = fixture();
const SHIPPED = join(ROOT, "models/fashion-mnist.safetensors");
const PICTURES = ["ankle_boot", "bag", "trouser"].map((name) => join(ROOT, `examples/images/${name}.png`));

for (const cpu of [false, true]) {
  test(`three pictures have the native program's classes and probabilities, on the ${cpu ? "CPU" : "GPU"}`, async () => {
    const page = await browser.page();
    const worker = await session(page, { cpu });
    assert.equal(worker.opened.gpu, !cpu, worker.opened.reason);
    const loaded = await worker.ask("load", { name: "shipped", bytes: await file(SHIPPED) }, "loaded");
    assert.equal(loaded.network.parameters, 71_498);
    const native = await classify(PICTURES);
    for (const [i, path] of PICTURES.entries()) {
      const picture = { form: "file", name: path, bytes: await file(path) };
      const got = await worker.ask("classify", { id: i, training: false, layers: false, picture }, "classified");
      assert.equal(got.id, i);
      for (const { class: name, probability } of native[i].top) {
        const here = got.probabilities[got.classes.indexOf(name)];
        assert.ok(Math.abs(here - probability) < 1e-3, `${name}: ${here} here, ${probability} natively`);
      }
    }
    await page.close();
  });
}

test("the maps of every layer come with their place on the picture", async () => {
  const page = await browser.page();
  const worker = await session(page);
  await worker.ask("load", { name: "shipped", bytes: await file(SHIPPED) }, "loaded");
  const picture = { form: "file", name: "bag.png", bytes: await file(PICTURES[1]) };
  const got = await worker.ask("classify", { id: 1, training: false, layers: true, picture }, "classified");
  assert.equal(got.layers.length, 9);
  assert.deepEqual(got.layers[0].shape, [32, 28, 28]);
  assert.deepEqual(got.filters.shape, [32, 5, 5]);
  assert.deepEqual(got.maps.shape, [10, 13, 13]);
  // A pool of 3x3 and stride 2 begins a pixel from the edge.
  assert.deepEqual(got.maps.first.map((at) => 28 * at), [1.5, 1.5]);
  await page.close();
});

test("a sample, a chosen file and a drawing are classified", async (t) => {
  const page = await browser.page();
  await ready(page);
  await page.click("img[alt=sandal]");
  await answered(page, "Sandal");
  const since = await page.evaluate(() => performance.now());
  t.diagnostic(`first class ${Math.round(since)} ms after the page was opened`);
  await page.setInputFiles("#picture-file", PICTURES[2]);
  await answered(page, "Trouser");
  // Two legs and a waist.
  const box = await page.locator("#drawing").boundingBox();
  const at = (x, y) => [box.x + x * box.width, box.y + y * box.height];
  await page.fill("#pen-size", "40");
  for (const line of [[[0.38, 0.12], [0.36, 0.9]], [[0.62, 0.12], [0.64, 0.9]], [[0.38, 0.14], [0.62, 0.14]]]) {
    await page.mouse.move(...at(...line[0]));
    await page.mouse.down();
    await page.mouse.move(...at(...line[1]), { steps: 12 });
    await page.mouse.up();
  }
  await answered(page, "Trouser");
  await page.click("#clear");
  await page.close();
});

test("a picture that is dropped or pasted is classified, and a checkpoint that is dropped is loaded", async () => {
  const page = await browser.page();
  await ready(page);
  /** An event that brings a file, as the user's hand makes one. */
  const bring = async (kind, name, path) => {
    const base64 = (await readFile(path)).toString("base64");
    await page.evaluate(([kind, name, base64]) => {
      const data = new DataTransfer();
      data.items.add(new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], name, { type: name.endsWith("png") ? "image/png" : "" }));
      document.body.dispatchEvent(kind === "drop"
        ? new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })
        : new ClipboardEvent("paste", { clipboardData: data, bubbles: true }));
    }, [kind, name, base64]);
  };
  await bring("drop", "boot.png", PICTURES[0]);
  await answered(page, "Ankle boot");
  await bring("paste", "image.png", PICTURES[2]);
  await answered(page, "Trouser");
  await bring("drop", "mine.safetensors", SHIPPED);
  await page.waitForFunction(() => document.getElementById("loaded-name").textContent.startsWith("mine.safetensors"));
  await answered(page, "Trouser");
  await bring("drop", "notes.png", join(ROOT, "README.md"));
  await page.waitForFunction(() => /notes\.png/.test(document.getElementById("notice-text").textContent));
  await page.close();
});

test("a corrupt checkpoint and a foreign file are refused with the reason, and the network before stays", async () => {
  const page = await browser.page();
  await ready(page);
  const whole = await readFile(SHIPPED);
  const files = {
    "cut.safetensors": [whole.subarray(0, whole.length / 2), /cut\.safetensors/],
    "torch.safetensors": [Buffer.from("PK\x03\x04 of another program"), /torch\.save|safetensors/],
    "foreign.safetensors": [Buffer.from("hello"), /foreign\.safetensors/],
  };
  for (const [name, [buffer, reason]] of Object.entries(files)) {
    await page.setInputFiles("#checkpoint-file", { name, mimeType: "application/octet-stream", buffer });
    await page.waitForFunction((name) => document.getElementById("notice-text").textContent.includes(name), name);
    assert.match(await page.textContent("#notice-text"), reason);
    await page.click("#notice-close");
  }
  await page.setInputFiles("#picture-file", { name: "notes.png", mimeType: "image/png", buffer: Buffer.from("no picture") });
  await page.waitForFunction(() => /notes\.png/.test(document.getElementById("notice-text").textContent));
  await page.click("img[alt=bag]");
  await answered(page, "Bag");
  await page.close();
});
