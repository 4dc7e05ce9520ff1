// How the network in training does on the test images: which classes it takes for which, and the mistakes that it was surest of.

import { $, make, percent } from "./dom.js";
import { draw } from "./maps.js";

/** Classes that a table is made for: that of a thousand has a million cells. */
const MOST = 50;

export class Examined {
  #client;
  #underWay = false;
  /** The classes that the table is of. */
  #classes = "";

  constructor(client) {
    this.#client = client;
    client.on("examined", (event) => this.#show(event));
    client.on("error", ({ of }) => {
      if (of === "examine") this.reset();
    });
  }

  /** Asks for it, unless an answer is under way. */
  ask() {
    if (this.#underWay) return;
    this.#underWay = true;
    this.#client.send("examine");
  }

  /** Whoever was asked will not answer. */
  reset() {
    this.#underWay = false;
  }

  #show({ classes, confusion, mistakes, image, step }) {
    this.reset();
    $("examined").hidden = false;
    if (this.#classes !== JSON.stringify(classes)) this.#table(classes);
    const table = $("confusion");
    const { length } = table.tBodies[0].rows;
    table.caption.textContent = `Test images after step ${step}: ${length ? "rows are the true classes, columns what the network said" : "too many classes for a table"}`;
    const most = Math.max(1, ...confusion.flat());
    confusion.slice(0, length).forEach((row, label) => row.forEach((count, said) => {
      const cell = table.tBodies[0].rows[label].cells[said + 1];
      cell.textContent = count || "·";
      cell.style.background = `color-mix(in srgb, var(--bar) ${Math.round((100 * count) / most)}%, transparent)`;
    }));
    // In the frame after the table's: both at once would hold up the page.
    requestAnimationFrame(() => requestAnimationFrame(() => this.#mistakes(classes, mistakes, image)));
  }

  #mistakes(classes, mistakes, image) {
    $("mistakes").replaceChildren(...mistakes.map(({ label, predicted, probability, pixels }) => {
      const canvas = make("canvas", { width: image[2] });
      draw(canvas, { pixels, image }, null);
      canvas.setAttribute("aria-hidden", "true");
      return make("li", {}, canvas, `${classes[label]}, taken for ${classes[predicted]} (${percent(probability)})`);
    }));
  }

  /** Makes the table, whose cells are filled each time. */
  #table(classes) {
    this.#classes = JSON.stringify(classes);
    const some = classes.length > MOST ? [] : classes;
    const head = make("tr", {}, make("td"), ...some.map((name) => make("th", { scope: "col", textContent: name })));
    const rows = some.map((name) => make("tr", {}, make("th", { scope: "row", textContent: name }), ...some.map(() => make("td"))));
    $("confusion").replaceChildren(make("caption"), make("thead", {}, head), make("tbody", {}, ...rows));
  }
}
