// Train: the form, the figures and curves of the run, and the runs that were kept.

import { chart } from "./chart.js";
import { $, make, notice, percent } from "./dom.js";
import { draw } from "./maps.js";
import * as store from "./store.js";

/** Steps between two values of the loss: results are read back no more often. */
const LOG_EVERY = 5;
/** Colours of other runs' curves, in the style sheet. */
const COLOURS = ["--run-1", "--run-2", "--run-3", "--run-4", "--run-5"];

export class Train {
  #client;
  #data;
  #renew;
  #run = null;
  /** Runs whose curves are shown beside that of the current one, by their number: in which colour. */
  #shown = new Map();
  #kept = [];
  #halted = false;
  /** Whether it was halted since nobody sees the page. */
  #hidden = false;
  #active = false;
  #examines = false;
  #presets = [];
  #listeners = [];
  #drawing = 0;

  /** `renew` sees that there is a device that works. */
  constructor(client, data, renew) {
    this.#client = client;
    this.#data = data;
    this.#renew = renew;
    $("plan").onsubmit = (event) => {
      event.preventDefault();
      this.#start();
    };
    $("model").onchange = () => this.#recipe();
    $("pause").onclick = () => (this.#halted ? this.#goOn() : client.send("pause"));
    $("step").onclick = () => client.send("step");
    $("reset").onclick = () => client.send("stop");
    $("download").onclick = () => this.#download(this.#run);
    $("examine").onclick = () => this.#examine();
    client.on("opened", ({ models }) => this.#models(models));
    client.on("trainStarted", (event) => this.#started(event));
    client.on("metrics", (event) => this.#metrics(event));
    client.on("testing", ({ images, of }) => this.#state(`Testing: ${images} of ${of} images`));
    client.on("epoch", (event) => this.#epoch(event));
    client.on("paused", ({ step }) => this.#paused(step));
    client.on("saved", (event) => this.#saved(event));
    client.on("trainEnded", (event) => this.#ended(event));
    client.on("trainFailed", ({ message }) => this.failed(message));
    client.on("examined", (event) => this.#examined(event));
    client.on("error", ({ of, message }) => {
      if (of === "train") this.failed(message);
      if (of !== "examine") return;
      this.#examines = false;
      this.#state(message);
    });
    document.addEventListener("visibilitychange", () => this.#visible(!document.hidden));
    new ResizeObserver(() => this.#charts()).observe($("loss-chart"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#charts());
    this.#buttons();
    this.#list();
  }

  /** Has `listener` hear whether there is a network to ask, and when it has changed. */
  onNetwork(listener) {
    this.#listeners.push(listener);
  }

  get isActive() {
    return this.#active;
  }

  /** The training cannot go on; what was saved can. */
  failed(message) {
    this.#active = this.#halted = false;
    this.#buttons();
    this.#tell(false);
    this.#state(message);
    const run = this.#run;
    if (run?.saved) {
      notice(`Training halted: ${message}. Its steps up to ${run.step} are saved.`, "Go on from there", () => this.resume(run));
    } else {
      notice(`Training halted: ${message}`);
    }
  }

  /** Goes on with a run that was kept. */
  async resume(run) {
    try {
      await this.#renew();
      await this.#data.ready(run.data);
      this.#run = run;
      this.#charts();
      this.#client.send("resume", { bytes: run.saved.slice(), epochs: null });
      this.#state("Loading …");
    } catch (error) {
      notice(`The run cannot go on: ${error.message}`);
    }
  }

  /** A tab that nobody sees, and that may be put away, halts; its run is saved by that. */
  #visible(visible) {
    if (!visible && this.#active && !this.#halted) {
      this.#hidden = true;
      this.#client.send("pause");
    } else if (visible && this.#hidden) {
      this.#hidden = false;
      if (this.#active) this.#goOn();
    }
  }

  #goOn() {
    this.#halted = false;
    this.#buttons();
    this.#client.send("continue");
  }

  #tell(ready) {
    this.#listeners.forEach((listener) => listener(ready));
  }

  #models(models) {
    this.#presets = models;
    if ($("model").children.length) return;
    $("model").append(...models.map(({ name, summary }) => make("option", { value: name, textContent: name, title: summary })));
    this.#recipe();
  }

  #recipe() {
    const preset = this.#presets.find(({ name }) => name === $("model").value);
    const { elements } = $("plan");
    elements.batch.value = preset.batch;
    elements.learningRate.value = preset.learningRate;
  }

  async #start() {
    const { elements } = $("plan");
    const plan = {
      model: elements.model.value,
      batch: Number(elements.batch.value),
      epochs: Number(elements.epochs.value),
      learningRate: Number(elements.learningRate.value),
      optimizer: elements.optimizer.value,
      augment: elements.augment.checked,
      seed: Number(elements.seed.value),
      logEvery: LOG_EVERY,
    };
    try {
      this.#state("Finding the faster device …");
      await this.#renew();
      this.#state("Loading the pictures …");
      await this.#data.ready();
      const id = Date.now();
      this.#run = { id, data: this.#data.chosen, plan, step: 0, steps: 0, losses: [], accuracies: [], tests: [], part: null, saved: null };
      this.#client.send("train", { plan });
      this.#state("Compiling …");
    } catch (error) {
      this.#state(error.message);
    }
  }

  #started({ network, step, steps, batch }) {
    this.#active = true;
    this.#halted = false;
    // The tab may be hidden already.
    this.#visible(!document.hidden);
    Object.assign(this.#run, { network: network.model, dataset: network.dataset, step, steps, batch, part: null });
    // What was told after the last save comes again.
    for (const kind of ["losses", "accuracies", "tests"]) {
      this.#run[kind] = this.#run[kind].filter(([at]) => at <= step);
    }
    // What stood there was of another run.
    const tested = this.#run.tests.at(-1);
    $("tested").textContent = tested ? percent(tested[1]) : "—";
    for (const id of ["loss", "accuracy", "speed"]) $(id).textContent = "—";
    this.#progress();
    this.#charts();
    this.#state(`${network.model}, ${network.parameters.toLocaleString("en")} parameters: step ${step} of ${steps}`);
    this.#buttons();
    this.#tell(true);
  }

  #metrics({ step, epoch, loss, accuracy, imagesPerSecond }) {
    this.#point(step, loss, accuracy);
    $("loss").textContent = loss.toFixed(3);
    $("accuracy").textContent = percent(accuracy);
    $("speed").textContent = imagesPerSecond.toFixed(imagesPerSecond < 100 ? 1 : 0);
    this.#progress();
    if (!this.#halted) this.#state(`Step ${step} of ${this.#run.steps}, epoch ${epoch}`);
    this.#charts();
  }

  /** Adds to the curves what some steps came to. A point is the mean of so many steps: fewer wait for those after them. */
  #point(step, loss, accuracy) {
    const run = this.#run;
    const part = run.part ?? { count: 0, loss: 0, accuracy: 0 };
    const count = step - run.step;
    const sum = { count: part.count + count, loss: part.loss + count * loss, accuracy: part.accuracy + count * accuracy };
    run.step = step;
    run.part = sum.count < LOG_EVERY ? sum : null;
    if (run.part) return;
    run.losses.push([step, sum.loss / sum.count]);
    run.accuracies.push([step, sum.accuracy / sum.count]);
  }

  #epoch({ step, testAccuracy }) {
    this.#run.tests.push([step, testAccuracy]);
    $("tested").textContent = percent(testAccuracy);
    this.#charts();
    this.#examine();
  }

  #paused(step) {
    this.#halted = true;
    this.#state(`Halted after step ${step}${this.#hidden ? ", while nobody sees this tab" : ""}`);
    this.#progress();
    this.#buttons();
  }

  async #saved({ step, weights, run }) {
    const kept = this.#run;
    Object.assign(kept, { savedStep: step, weights, saved: run, network: kept.network });
    $("download").disabled = false;
    this.#tell(true);
    try {
      await store.put(kept);
      await this.#list();
    } catch (error) {
      notice(`The run cannot be kept in this browser: ${error.message}. Download its checkpoint instead.`);
    }
  }

  #ended({ step, stopped }) {
    this.#active = this.#halted = false;
    this.#state(stopped ? `Stopped after step ${step}` : `Done after ${step} steps`);
    this.#progress();
    this.#buttons();
    this.#list();
  }

  #examine() {
    if (this.#examines) return;
    this.#examines = true;
    this.#client.send("examine");
  }

  #examined({ classes, confusion, mistakes, image, step }) {
    this.#examines = false;
    $("examined").hidden = false;
    const head = make("thead", {}, make("tr", {}, make("td"), ...classes.map((name) => make("th", { scope: "col", textContent: name }))));
    const most = Math.max(1, ...confusion.flat());
    const rows = confusion.map((row, label) => make("tr", {}, make("th", { scope: "row", textContent: classes[label] }),
      ...row.map((count) => {
        const cell = make("td", { textContent: count || "·" });
        cell.style.background = `color-mix(in srgb, var(--bar) ${Math.round((100 * count) / most)}%, transparent)`;
        return cell;
      })));
    const caption = make("caption", { textContent: `Test images after step ${step}: rows are the true classes, columns what the network said` });
    $("confusion").replaceChildren(caption, head, make("tbody", {}, ...rows));
    $("mistakes").replaceChildren(...mistakes.map(({ label, predicted, probability, pixels }) => {
      const canvas = make("canvas", { width: 84, height: 84 });
      draw(canvas, { pixels, image }, null);
      canvas.setAttribute("aria-hidden", "true");
      return make("li", {}, canvas, `${classes[label]}, taken for ${classes[predicted]} (${percent(probability)})`);
    }));
  }

  #state(text) {
    $("train-state").textContent = text;
  }

  #progress() {
    const { step, steps } = this.#run;
    $("train-progress").value = steps ? step / steps : 0;
  }

  #buttons() {
    $("start").disabled = this.#active;
    $("pause").disabled = $("reset").disabled = !this.#active;
    $("step").disabled = !(this.#active && this.#halted);
    $("pause").textContent = this.#halted ? "Continue" : "Pause";
    $("examine").disabled = !this.#run?.saved && !this.#active;
  }

  /** Draws the curves, once for all that came since the last time. */
  #charts() {
    if (this.#drawing) return;
    this.#drawing = requestAnimationFrame(() => {
      this.#drawing = 0;
      const { losses = [], accuracies = [], tests = [] } = this.#run ?? {};
      const others = this.#kept.filter(({ id }) => id !== this.#run?.id && this.#shown.has(id))
        .map((run) => ({ ...run, colour: this.#shown.get(run.id), label: `the run of ${when(run)}` }));
      chart($("loss-chart"), [
        ...others.map(({ losses, colour, label }) => ({ points: losses, colour, label })),
        { points: losses, colour: "--accent", label: "loss" },
      ], { name: "Loss" });
      chart($("accuracy-chart"), [
        ...others.map(({ tests, colour, label }) => ({ points: tests, colour, label, dots: true })),
        { points: accuracies, colour: "--accent", label: "accuracy of the steps" },
        { points: tests, colour: "--second", label: "test accuracy", dots: true },
      ], { name: "Accuracy", most: 1 });
    });
  }

  #download({ network, step, weights }) {
    const url = URL.createObjectURL(new Blob([weights], { type: "application/octet-stream" }));
    make("a", { href: url, download: `${network}-step-${step}.safetensors` }).click();
    URL.revokeObjectURL(url);
  }

  async #list() {
    let runs;
    try {
      runs = await store.all();
      this.#kept = runs;
    } catch {
      $("no-runs").textContent = "This browser keeps no data of this page: runs end with the tab.";
      return;
    }
    $("runs").hidden = runs.length === 0;
    $("no-runs").hidden = runs.length > 0;
    $("runs").tBodies[0].replaceChildren(...runs.map((run) => this.#row(run)));
  }

  #row(run) {
    const { losses, tests, network, dataset, savedStep, steps, plan } = run;
    const best = Math.max(...tests.map(([, accuracy]) => accuracy));
    const button = (text, act) => make("button", { type: "button", textContent: text, onclick: act, ariaLabel: `${text}: run of ${when(run)}` });
    const isThis = this.#active && run.id === this.#run?.id;
    const goOn = button("Go on", () => this.resume(run));
    goOn.disabled = this.#active || savedStep >= steps;
    const forget = button("Forget", async () => {
      await store.remove(run.id);
      this.#shown.delete(run.id);
      await this.#list();
      this.#charts();
    });
    forget.disabled = isThis;
    const cells = [when(run), `${network}, batch ${plan.batch}, ${plan.optimizer} ${plan.learningRate}`, dataset, `${savedStep} of ${steps}`,
      losses.length ? losses.at(-1)[1].toFixed(3) : "—", tests.length ? percent(best) : "—"];
    return make("tr", {}, make("td", {}, this.#swatch(run)), ...cells.map((textContent) => make("td", { textContent })),
      make("td", {}, goOn, button("Download", () => this.#download({ ...run, step: savedStep })), forget));
  }

  /** What shows a run's curves, and in which colour. */
  #swatch(run) {
    const isThis = run.id === this.#run?.id;
    const box = make("input", { type: "checkbox", ariaLabel: `Curves of the run of ${when(run)}`, disabled: isThis });
    box.checked = isThis || this.#shown.has(run.id);
    const paint = () => { box.style.accentColor = `var(${isThis ? "--accent" : this.#shown.get(run.id) ?? "--line"})`; };
    paint();
    box.onchange = () => {
      const used = [...this.#shown.values()];
      if (box.checked) this.#shown.set(run.id, COLOURS.find((colour) => !used.includes(colour)) ?? COLOURS[0]);
      else this.#shown.delete(run.id);
      paint();
      this.#charts();
    };
    return box;
  }
}

const when = ({ id }) => new Date(id).toLocaleString();
