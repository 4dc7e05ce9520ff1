// Train: the form, and the figures and curves of the run.

import { chart } from "./chart.js";
import * as curve from "./curve.js";
import { $, make, notice, percent, say } from "./dom.js";
import { Examined } from "./examined.js";
import { download, networkOf, Runs } from "./runs.js";

export class Train {
  #client;
  #data;
  #renew;
  #run = null;
  #runs;
  #examined;
  #halted = false;
  /** Whether it was halted since nobody sees the page. */
  #hidden = false;
  /** Whether a training was asked for that has not begun: no second one may be. */
  #starting = false;
  #active = false;
  #presets = [];
  #listeners = [];
  #drawing = 0;

  /** `renew` sees that there is a device that works. */
  constructor(client, data, renew) {
    this.#client = client;
    this.#data = data;
    this.#renew = renew;
    this.#examined = new Examined(client);
    this.#runs = new Runs(client, {
      current: () => this.#run,
      isActive: () => this.isActive || this.isStarting,
      resume: (run) => this.resume(run),
      changed: () => this.#charts(),
    });
    $("plan").onsubmit = (event) => {
      event.preventDefault();
      this.#start();
    };
    $("model").onchange = () => this.#recipe();
    $("pause").onclick = () => (this.#halted ? this.#goOn() : client.send("pause"));
    $("step").onclick = () => client.send("step");
    $("reset").onclick = () => client.send("stop");
    $("download").onclick = () => download(this.#run);
    $("examine").onclick = () => this.#examined.ask();
    client.on("opened", ({ models }) => this.#models(models));
    client.on("trainStarted", (event) => this.#started(event));
    client.on("metrics", (event) => this.#metrics(event));
    client.on("testing", ({ images, of }) => this.#state(`Testing: ${images} of ${of} images`, true));
    client.on("epoch", (event) => this.#epoch(event));
    client.on("paused", ({ step }) => this.#paused(step));
    client.on("saved", (event) => this.#saved(event));
    client.on("trainEnded", (event) => this.#ended(event));
    client.on("trainFailed", ({ message }) => this.failed(message));
    client.on("error", ({ of, message }) => {
      if (of === "train") this.failed(message);
      if (of === "examine") this.#state(message);
    });
    document.addEventListener("visibilitychange", () => this.#visible(!document.hidden));
    new ResizeObserver(() => this.#charts()).observe($("loss-chart"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#charts());
    this.#buttons();
  }

  /** Has `listener` hear whether there is a network to ask, and when it has changed. */
  onNetwork(listener) {
    this.#listeners.push(listener);
  }

  get isActive() {
    return this.#active;
  }

  get isStarting() {
    return this.#starting;
  }

  /** The training cannot go on; what was saved can. */
  failed(message) {
    this.#active = this.#halted = false;
    this.#examined.reset();
    this.#starts(false);
    this.#tell(false);
    this.#state(message);
    const run = this.#run;
    if (run?.savedStep) {
      notice(`Training halted: ${message}. Its steps up to ${run.savedStep} are saved.`, "Go on from there", () => this.resume(run));
    } else {
      notice(`Training halted: ${message}`);
    }
  }

  /** Goes on with a run that was kept. */
  async resume(run) {
    if (this.#starting) return;
    this.#starts(true);
    try {
      await this.#renew();
      await this.#data.ready(run.data);
      this.#run = run;
      this.#charts();
      const { saved: bytes } = await networkOf(run);
      this.#client.send("resume", { run: run.id, bytes, epochs: null });
      this.#state("Loading …");
    } catch (error) {
      this.#starts(false);
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

  #starts(starting) {
    this.#starting = starting;
    this.#buttons();
    this.#runs.list();
  }

  async #start() {
    if (this.#starting) return;
    this.#starts(true);
    const { elements } = $("plan");
    const plan = {
      model: elements.model.value,
      batch: Number(elements.batch.value),
      epochs: Number(elements.epochs.value),
      learningRate: Number(elements.learningRate.value),
      optimizer: elements.optimizer.value,
      augment: elements.augment.checked,
      seed: Number(elements.seed.value),
      logEvery: curve.EVERY,
    };
    try {
      this.#state("Finding the faster device …");
      await this.#renew();
      this.#state("Loading the pictures …");
      await this.#data.ready();
      const id = Date.now();
      this.#run = { id, data: this.#data.chosen, plan, step: 0, steps: 0, losses: [], accuracies: [], tests: [], part: null, savedStep: 0 };
      this.#client.send("train", { run: id, plan });
      this.#state("Compiling …");
    } catch (error) {
      this.#starts(false);
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
    this.#starts(false);
    this.#tell(true);
  }

  #metrics({ step, epoch, loss, accuracy, imagesPerSecond }) {
    curve.add(this.#run, step, loss, accuracy);
    $("loss").textContent = loss.toFixed(3);
    $("accuracy").textContent = percent(accuracy);
    $("speed").textContent = imagesPerSecond.toFixed(imagesPerSecond < 100 ? 1 : 0);
    this.#progress();
    if (!this.#halted) this.#state(`Step ${step} of ${this.#run.steps}, epoch ${epoch}`, true);
    this.#charts();
  }

  #epoch({ step, testAccuracy }) {
    this.#run.tests.push([step, testAccuracy]);
    $("tested").textContent = percent(testAccuracy);
    this.#charts();
    this.#examined.ask();
  }

  #paused(step) {
    this.#halted = true;
    this.#state(`Halted after step ${step}${this.#hidden ? ", while nobody sees this tab" : ""}`);
    this.#progress();
    this.#buttons();
  }

  #saved({ step, weights, run }) {
    Object.assign(this.#run, { savedStep: step, weights, saved: run });
    this.#buttons();
    this.#tell(true);
    this.#runs.keep(this.#run);
  }

  #ended({ step, stopped }) {
    this.#active = this.#halted = false;
    this.#state(stopped ? `Stopped after step ${step}` : `Done after ${step} steps`);
    curve.end(this.#run);
    this.#progress();
    this.#charts();
    this.#buttons();
    // Its curves are whole only now.
    if (this.#run.savedStep) this.#runs.keep(this.#run);
  }

  #state(text, passes = false) {
    say("train-state", text, passes);
  }

  #progress() {
    const { step, steps } = this.#run;
    $("train-progress").value = steps ? step / steps : 0;
  }

  #buttons() {
    $("start").disabled = this.#active || this.#starting;
    $("pause").disabled = $("reset").disabled = !this.#active;
    $("step").disabled = !(this.#active && this.#halted);
    $("pause").textContent = this.#halted ? "Continue" : "Pause";
    $("download").disabled = !this.#run?.savedStep;
    $("examine").disabled = !this.#run?.savedStep && !this.#active;
  }

  /** Draws the curves, once for all that came since the last time. */
  #charts() {
    if (this.#drawing) return;
    this.#drawing = requestAnimationFrame(() => {
      this.#drawing = 0;
      const { losses = [], accuracies = [], tests = [] } = this.#run ?? {};
      const others = this.#runs.shown;
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
}
