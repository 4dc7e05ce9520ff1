// Look inside: the maps of every layer, and where they lie on the picture.

import { $, make } from "./dom.js";
import { draw, GREY, one, paint, small } from "./maps.js";

/** Maps of a layer that are shown. */
const MOST = 96;
/** Numbers of these questions begin here, so that the other answers are told apart. */
const FIRST = 1 << 30;
const CLASS_MAPS = "class maps, before global average pooling";

export class Inside {
  #client;
  #classify;
  #id = FIRST;
  #result = null;
  /** Maps of the layers as they came last, and which layers are still to be painted. */
  #layers = [];
  #due = new Set();
  #painting = false;
  /** Names and shapes of what there are canvases for. */
  #outline = "";
  /** Layer and map that are pointed at. */
  #pointed = null;

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
    this.#layers = event.maps ? [...event.layers, { ...event.maps, name: CLASS_MAPS }] : event.layers;
    $("inside-body").hidden = false;
    // Canvases of a network stay, so that what is pointed at does while somebody draws.
    const outline = JSON.stringify([event.classes, this.#layers.map(({ name, shape }) => [name, shape])]);
    if (outline !== this.#outline) {
      this.#outline = outline;
      this.#pointed = null;
      $("layers").replaceChildren(...this.#layers.map(() => make("div")));
    }
    this.#over();
    this.#filters(event.filters);
    this.#layers.forEach((_, i) => this.#due.add(i));
    if (!this.#painting) this.#paint();
  }

  /** A layer a frame, since all at once would hold up the page. What is due anew comes last, so every layer has its turn. */
  async #paint() {
    this.#painting = true;
    for (const i of this.#due) {
      this.#due.delete(i);
      // The network may be another, of fewer layers.
      if (i >= this.#layers.length) continue;
      const box = $("layers").children[i];
      if (!box.children.length) box.append(...this.#boxes(i));
      box.querySelectorAll("canvas").forEach((canvas, map) => paint(canvas, one(this.#layers[i], map)));
      await new Promise(requestAnimationFrame);
    }
    this.#painting = false;
  }

  /** The title of a layer, and canvases for its maps. */
  #boxes(layer) {
    const { name, shape: [count, ...sides] } = this.#layers[layer];
    const title = `${name}: ${count} of ${sides.join(" × ")}`;
    const maps = Array.from({ length: Math.min(count, MOST) }, (_, map) => {
      const ariaLabel = this.#name(layer, map);
      const button = make("button", { type: "button", className: "map", tabIndex: map ? -1 : 0, ariaLabel }, small(sides));
      button.onpointerenter = button.onfocus = button.onclick = () => {
        this.#pointed = [layer, map];
        this.#over();
      };
      button.onkeydown = ({ key }) => {
        const next = { ArrowRight: button.nextElementSibling, ArrowLeft: button.previousElementSibling }[key];
        next?.focus();
      };
      return button;
    });
    const box = make("div", { className: "maps" }, ...maps);
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", title);
    return [make("h3", { textContent: title }), box];
  }

  #name(layer, map) {
    const { name } = this.#layers[layer];
    return name === CLASS_MAPS ? `Map of ${this.#result.classes[map]}` : `Map ${map + 1} of ${name}`;
  }

  /** Draws the picture with the map over it that is pointed at. */
  #over() {
    const map = this.#pointed && one(this.#layers[this.#pointed[0]], this.#pointed[1]);
    draw($("inside-seen"), this.#result, map);
    $("inside-what").textContent = map ? this.#name(...this.#pointed) : "Point at a map, or move to it by the Tab key and the arrows.";
  }

  #filters(filters) {
    if (!filters) {
      $("filters").ariaLabel = "This network begins with no convolution.";
      $("filters").replaceChildren($("filters").ariaLabel);
      return;
    }
    const [count, ...sides] = filters.shape;
    const title = `First filters: ${count} of ${sides.join(" × ")}`;
    if ($("filters").ariaLabel !== title) {
      $("filters").ariaLabel = title;
      $("filters").replaceChildren(...Array.from({ length: Math.min(count, MOST) }, () => small(sides)));
    }
    [...$("filters").children].forEach((canvas, i) => paint(canvas, one(filters, i), GREY));
  }
}
