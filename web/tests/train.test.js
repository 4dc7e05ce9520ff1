import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { answered, ready, ROOT } from "./browser.js";
import { fixture } from "./fixture.js";
import { classify, train } from "./native.js";
import { bytes, file, session } from "./session.js";

const browser = fixture();
const folder = await mkdtemp(join(tmpdir(), "nin-web-train-"));
after(() => rm(folder, { recursive: true, force: true }));

const DATA = join(ROOT, "web/data");
const CLASSES = [..."0123456789"];
// At a rate at which thirty steps do not make much of what two devices round differently.
const STEPS = 30;
const PLAN = { model: "nin-small", batch: 16, epochs: 1, learningRate: 5e-4, optimizer: "adam", augment: false, seed: 1, logEvery: 1 };

async function data() {
  const parts = ["train-images-idx3", "train-labels-idx1", "test-images-idx3", "test-labels-idx1"];
  return { name: "idx", classes: CLASSES, files: await Promise.all(parts.map((part) => file(join(DATA, `${part}-ubyte.gz`)))) };
}

/** The native program's losses, and its folder. */
const native = (async () => {
  const out = join(folder, "native");
  await train("--dataset", "idx", "--data-dir", DATA, "--model", "nin-small", "--batch-size", "16", "--epochs", "1",
    "--lr", "5e-4", "--max-steps", String(STEPS), "--log-every", "1", "--device", "cpu", "--out", out);
  const lines = (await readFile(join(out, "metrics.jsonl"), "utf8")).trim().split("\n").map((line) => JSON.parse(line));
  return { out, losses: lines.filter(({ kind }) => kind === "step").map(({ loss }) => loss) };
})();

/** Losses of the metrics among events. */
const losses = (events) => events.filter(({ kind }) => kind === "metrics").map(({ loss }) => loss);

/** Trains so many steps, or a few more, and halts; gives the losses and what was saved last. */
async function steps(worker, count) {
  const all = [];
  while (losses(all).length < count) all.push(...await worker.until("metrics"));
  await worker.send("pause");
  all.push(...await worker.until("paused"));
  return { losses: losses(all), saved: all.findLast(({ kind }) => kind === "saved"), step: all.at(-1).step };
}

test("thirty steps have the native program's losses, and checkpoints go both ways", async () => {
  const page = await browser.page();
  const worker = await session(page);
  await worker.ask("data", await data(), "dataReady");
  await worker.send("train", { plan: PLAN });
  const got = await steps(worker, STEPS);
  const want = await native;
  assert.ok(got.losses.length >= STEPS, `${got.losses.length} losses`);
  want.losses.forEach((loss, i) => assert.ok(Math.abs(got.losses[i] - loss) < 1e-3, `step ${i + 1}: ${got.losses[i]}, natively ${loss}`));

  // The page's network in the native program …
  const path = join(folder, "page.safetensors");
  await writeFile(path, bytes(got.saved.weights));
  const picture = join(ROOT, "examples/images/trouser.png");
  const [said] = await classify([picture], "--model", path);
  const asked = { id: 1, training: true, layers: false, picture: { form: "file", name: picture, bytes: await file(picture) } };
  const here = await worker.ask("classify", asked, "classified");
  const best = here.classes[here.probabilities.indexOf(Math.max(...here.probabilities))];
  assert.equal(best, said.top[0].class);

  // … and the native program's in the page.
  const last = join(want.out, "last.safetensors");
  await worker.ask("load", { name: "native", bytes: await file(last) }, "loaded");
  const loaded = await worker.ask("classify", { ...asked, training: false }, "classified");
  const [natively] = await classify([picture], "--model", last);
  for (const { class: name, probability } of natively.top) {
    assert.ok(Math.abs(loaded.probabilities[loaded.classes.indexOf(name)] - probability) < 1e-3, name);
  }
  await page.close();
});

test("a run that was halted and taken up elsewhere goes on as if it never stopped", async () => {
  const page = await browser.page();
  const worker = await session(page, { cpu: true });
  await worker.ask("data", await data(), "dataReady");
  await worker.send("train", { plan: PLAN });
  const first = await steps(worker, 8);
  await worker.ask("stop", {}, "trainEnded");

  const again = await session(page, { cpu: true });
  await again.ask("data", await data(), "dataReady");
  await again.send("resume", { bytes: first.saved.run, epochs: null });
  assert.equal((await again.until("trainStarted")).at(-1).step, first.step);
  const second = await steps(again, 8);
  const want = (await native).losses;
  const got = [...first.losses.slice(0, first.step), ...second.losses];
  got.slice(0, STEPS).forEach((loss, i) => assert.ok(Math.abs(loss - want[i]) < 1e-3, `step ${i + 1}: ${loss}, natively ${want[i]}`));

  // Not with data of another meaning.
  const other = await session(page, { cpu: true });
  await other.ask("data", { ...await data(), classes: CLASSES.toReversed() }, "dataReady");
  const refused = await other.ask("resume", { bytes: first.saved.run, epochs: null }, "trainStarted");
  assert.match(refused.message ?? refused.kind, /pictures of other classes/);
  await page.close();
});

test("the page trains, halts, goes on after a reload, and its drawing is classified by the network as it is", async () => {
  const page = await browser.page();
  await ready(page);
  await page.fill("[name=batch]", "16");
  await page.fill("[name=epochs]", "2");
  // Twice is once.
  await page.dblclick("#start");
  await page.click("img[alt=trouser]");
  await page.waitForFunction(() => document.getElementById("loss").textContent !== "—");
  await page.check("[name=which][value=training]");
  await page.waitForFunction(() => document.getElementById("train-progress").value > 0.05);
  await answered(page, "Trouser");
  const halted = () => page.waitForFunction(() => /^Halted/.test(document.getElementById("train-state").textContent));
  await page.click("#pause");
  await halted();
  const before = Number((await page.textContent("#train-state")).match(/\d+/)[0]);
  await page.click("#step");
  await page.waitForFunction((step) => document.getElementById("train-state").textContent === `Halted after step ${step}`, before + 1);
  await page.click("#pause:has-text('Continue')");
  await page.waitForFunction(() => /^Step/.test(document.getElementById("train-state").textContent));
  await page.click("#pause:has-text('Pause')");
  await halted();
  const last = Number((await page.textContent("#train-state")).match(/\d+/)[0]);
  await page.waitForFunction((step) => document.getElementById("runs").textContent.includes(`${step} of`), last);

  await page.reload();
  await ready(page);
  const [kept] = await Promise.all([page.waitForEvent("download"), page.click("#runs button:has-text('Download')")]);
  assert.equal(kept.suggestedFilename(), `nin-small-step-${last}.safetensors`);
  await kept.saveAs(join(folder, "kept.safetensors"));
  const [halfway] = await classify([join(ROOT, "examples/images/trouser.png")], "--model", join(folder, "kept.safetensors"));
  assert.equal(halfway.top[0].class, "Trouser");
  await page.click("#runs button:has-text('Go on')");
  await page.waitForFunction((step) => {
    const got = document.getElementById("train-state").textContent.match(/^Step (\d+)/);
    return got && Number(got[1]) > step;
  }, last);
  const [download] = await Promise.all([page.waitForEvent("download"), (async () => {
    await page.click("#pause");
    await halted();
    await page.click("#download");
  })()]);
  const path = join(folder, "downloaded.safetensors");
  await download.saveAs(path);
  const [said] = await classify([join(ROOT, "examples/images/trouser.png")], "--model", path);
  assert.equal(said.top[0].class, "Trouser");
  await page.setInputFiles("#checkpoint-file", path);
  await page.waitForFunction(() => document.getElementById("loaded-name").textContent.startsWith("downloaded"));
  await page.click("#examine");
  await page.waitForSelector("#confusion tbody tr >> nth=9");
  await page.close();
});

test("curves are of means over whole intervals, and those of other runs lie over them", async () => {
  const page = await browser.page();
  await ready(page);
  const label = () => page.getAttribute("#loss-chart", "aria-label");
  const halted = () => page.waitForFunction(() => /^Halted/.test(document.getElementById("train-state").textContent));
  const runs = await page.locator("#runs tbody tr").count();
  for (const batch of ["16", "8"]) {
    await page.fill("[name=batch]", batch);
    await page.click("#start");
    await page.waitForFunction(() => /at step [1-9]\d/.test(document.getElementById("loss-chart").ariaLabel));
    await page.click("#pause");
    await halted();
    if (batch === "8") break;
    await page.click("#reset");
    await page.waitForFunction(() => /^Stopped/.test(document.getElementById("train-state").textContent));
  }
  // Whatever is left of the interval, one of five single steps ends it, and four do not.
  const drawn = async () => {
    await page.evaluate(() => new Promise((resolve) => { requestAnimationFrame(() => requestAnimationFrame(resolve)); }));
    return label();
  };
  const labels = [await drawn()];
  for (let i = 0; i < 5; i++) {
    const state = await page.textContent("#train-state");
    await page.click("#step");
    await page.waitForFunction((state) => document.getElementById("train-state").textContent !== state, state);
    labels.push(await drawn());
  }
  assert.equal(new Set(labels).size, 2, labels.join("; "));

  await page.waitForFunction((count) => document.querySelectorAll("#runs tbody tr").length === count, runs + 2);
  const box = page.locator("#runs tbody tr:nth-child(2) input");
  assert.doesNotMatch(await label(), /the run of/);
  await box.check();
  await page.waitForFunction(() => /the run of .* at step .*, loss .* at step/.test(document.getElementById("loss-chart").ariaLabel));
  await box.uncheck();
  await page.waitForFunction(() => !/the run of/.test(document.getElementById("loss-chart").ariaLabel));
  await page.close();
});
