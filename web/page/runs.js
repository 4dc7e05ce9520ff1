// The runs that were kept: their table, and whose curves are shown beside those of the current one.

import { $, make, notice, percent } from "./dom.js";
import * as store from "./store.js";

/** Colours of other runs' curves, in the style sheet. */
const COLOURS = ["--run-1", "--run-2", "--run-3", "--run-4", "--run-5"];

export const when = ({ id }) => new Date(id).toLocaleString();

/** What was saved of a run: the page has it only of the current one. */
export async function networkOf(run) {
  const network = run.saved ? run : await store.network(run.id);
  if (!network) throw new Error("its network is not in this browser any more");
  return network;
}

/** Downloads the network of a run. */
export async function download(run) {
  let weights;
  try {
    ({ weights } = await networkOf(run));
  } catch (error) {
    notice(`The run cannot be downloaded: ${error.message}.`);
    return;
  }
  const url = URL.createObjectURL(new Blob([weights], { type: "application/octet-stream" }));
  make("a", { href: url, download: `${run.network}-step-${run.savedStep}.safetensors` }).click();
  URL.revokeObjectURL(url);
}

export class Runs {
  #all = [];
  /** In which colour a run's curves are shown, by its number. */
  #shown = new Map();
  #current;
  #isActive;
  #resume;
  #changed;
  #warned = false;

  /** `current` is the run on the screen and `isActive` whether one is being trained or soon will be; `changed` hears that other curves are shown. */
  constructor(client, { current, isActive, resume, changed }) {
    this.#current = current;
    this.#isActive = isActive;
    this.#resume = resume;
    this.#changed = changed;
    client.on("error", ({ of, message }) => {
      if (of === "keep") this.#warn(message);
    });
    this.#load();
  }

  async #load() {
    try {
      const kept = await store.all();
      this.#all = [...this.#all, ...kept.filter(({ id }) => !this.#all.some((run) => run.id === id))];
      this.list();
    } catch {
      $("no-runs").textContent = "This browser keeps no data of this page: runs end with the tab.";
    }
  }

  /** Keeps what there is to tell of a run; the worker keeps its network. */
  async keep({ weights, saved, ...told }) {
    this.#all = [told, ...this.#all.filter(({ id }) => id !== told.id)].sort((a, b) => b.id - a.id);
    this.list();
    try {
      await store.put(told);
    } catch (error) {
      this.#warn(error.message);
    }
  }

  /** Once, and not every few seconds. */
  #warn(message) {
    if (this.#warned) return;
    this.#warned = true;
    notice(`The run cannot be kept in this browser: ${message}. Download its checkpoint instead.`);
  }

  /** Brings the table up to date. */
  list() {
    $("runs").hidden = this.#all.length === 0;
    $("no-runs").hidden = this.#all.length > 0;
    const [table] = $("runs").tBodies;
    // Whoever is at a control of it stays there, or in the table if that one is gone.
    const held = table.contains(document.activeElement) ? document.activeElement.ariaLabel : null;
    table.replaceChildren(...this.#all.map((run) => this.#row(run)));
    if (!held) return;
    const same = [...table.querySelectorAll("button, input")].find(({ ariaLabel, disabled }) => ariaLabel === held && !disabled);
    (same ?? $("runs").parentElement).focus({ preventScroll: true });
  }

  /** The runs whose curves are shown, with their colours and names. */
  get shown() {
    const others = this.#all.filter(({ id }) => id !== this.#current()?.id && this.#shown.has(id));
    return others.map((run) => ({ ...run, colour: this.#shown.get(run.id), label: `the run of ${when(run)}` }));
  }

  #row(run) {
    const { losses, tests, network, dataset, savedStep, steps, plan } = run;
    const best = Math.max(...tests.map(([, accuracy]) => accuracy));
    const button = (text, act) => make("button", { type: "button", textContent: text, onclick: act, ariaLabel: `${text}: run of ${when(run)}` });
    const goOn = button("Go on", () => this.#resume(run));
    goOn.disabled = this.#isActive() || savedStep >= steps;
    const forget = button("Forget", async () => {
      await store.remove(run.id);
      this.#all = this.#all.filter(({ id }) => id !== run.id);
      this.#shown.delete(run.id);
      this.list();
      this.#changed();
    });
    forget.disabled = this.#isActive() && run.id === this.#current()?.id;
    const cells = [when(run), `${network}, batch ${plan.batch}, ${plan.optimizer} ${plan.learningRate}`, dataset, `${savedStep} of ${steps}`,
      losses.length ? losses.at(-1)[1].toFixed(3) : "—", tests.length ? percent(best) : "—"];
    return make("tr", {}, make("td", {}, this.#swatch(run)), ...cells.map((textContent) => make("td", { textContent })),
      make("td", {}, goOn, button("Download", () => download(run)), forget));
  }

  /** What shows a run's curves, and in which colour. */
  #swatch(run) {
    const isThis = run.id === this.#current()?.id;
    const box = make("input", { type: "checkbox", ariaLabel: `Curves of the run of ${when(run)}`, disabled: isThis });
    box.checked = isThis || this.#shown.has(run.id);
    const paint = () => { box.style.accentColor = `var(${isThis ? "--accent" : this.#shown.get(run.id) ?? "--line"})`; };
    paint();
    box.onchange = () => {
      const used = [...this.#shown.values()];
      if (box.checked) this.#shown.set(run.id, COLOURS.find((colour) => !used.includes(colour)) ?? COLOURS[0]);
      else this.#shown.delete(run.id);
      paint();
      this.#changed();
    };
    return box;
  }
}
