// Look inside: the maps of every layer, and where they lie on the picture.

import { $, make } from "./dom.js";
import { draw, one, small } from "./maps.js";

/** Maps of a layer that are shown. */
const MOST = 96;
/** Numbers of these questions begin here, so that the other answers are told apart. */
const FIRST = 1 << 30;

export class Inside {
  #client;
  #classify;
  #id = FIRST;
  #result = null;

  constructor(client, classify) {
    this.#client = client;
    this.#classify = classify;
    $("look").onclick = () => this.#ask();
    client.on("classified", (event) => {
      if (event.id === this.#id) this.#show(event);
    });
    // What is shown is of the picture that is there.
    classify.onResult(() => {
      if (!$("inside-body").hidden) this.#ask();
    });
  }

  #ask() {
    const { picture } = this.#classify;
    if (!picture) {
      $("inside-body").hidden = false;
      $("inside-what").textContent = "Draw or choose a picture first.";
      return;
    }
    this.#client.send("classify", { id: ++this.#id, training: this.#classify.usesTraining, layers: true, picture });
  }

  #show(event) {
    this.#result = event;
    $("inside-body").hidden = false;
    this.#over(null, "Point at a map, or move to it by the Tab key and the arrows.");
    this.#filters(event.filters);
    const layers = event.maps ? [...event.layers, { ...event.maps, name: "class maps, before global average pooling" }] : event.layers;
    $("layers").replaceChildren(...layers.map((layer) => this.#layer(layer)));
  }

  #layer(layer) {
    const [count, rows, columns] = layer.shape;
    const isClasses = layer.name.startsWith("class maps");
    const title = `${layer.name}: ${count} of ${rows} × ${columns}`;
    const what = (i) => isClasses ? `Map of ${this.#result.classes[i]}` : `Map ${i + 1} of ${layer.name}`;
    const maps = Array.from({ length: Math.min(count, MOST) }, (_, i) => {
      const map = one(layer, i);
      const button = make("button", { type: "button", className: "map", tabIndex: i ? -1 : 0, ariaLabel: what(i) }, small(map));
      button.onpointerenter = button.onfocus = button.onclick = () => this.#over(map, what(i));
      button.onkeydown = ({ key }) => {
        const next = { ArrowRight: button.nextElementSibling, ArrowLeft: button.previousElementSibling }[key];
        next?.focus();
      };
      return button;
    });
    const box = make("div", { className: "maps" }, ...maps);
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", title);
    return make("div", {}, make("h3", { textContent: title }), box);
  }

  #over(map, text) {
    draw($("inside-seen"), this.#result, map);
    $("inside-what").textContent = text;
  }

  #filters(filters) {
    if (!filters) {
      $("filters").replaceChildren("This network begins with no convolution.");
      return;
    }
    const [count, rows, columns] = filters.shape;
    const grey = (v) => [v, v, v];
    $("filters").replaceChildren(...Array.from({ length: Math.min(count, MOST) }, (_, i) => {
      const canvas = small(one({ ...filters, shape: [count, rows, columns] }, i), grey);
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `Filter ${i + 1}, ${rows} × ${columns}`);
      return canvas;
    }));
  }
}
