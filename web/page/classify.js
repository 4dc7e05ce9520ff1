// Classify: a picture goes to the worker, classes and maps come back.

import { $, make, notice, onFiles, percent } from "./dom.js";
import { Drawing } from "./drawing.js";
import { draw, one } from "./maps.js";

const SAMPLES = ["ankle_boot", "bag", "dress", "sandal", "t_shirt", "trouser"];

export class Classify {
  #client;
  #drawing;
  #picture = null;
  #result = null;
  /** The class whose map is shown, if it is not the most probable one. */
  #chosen = null;
  #id = 0;
  #underWay = false;
  #again = false;
  #ready = { loaded: false, training: false };
  #listeners = [];

  constructor(client) {
    this.#client = client;
    this.#drawing = new Drawing($("drawing"), () => this.#drawn());
    $("undo").onclick = () => this.#drawing.undo();
    $("clear").onclick = () => this.#drawing.clear();
    $("pen-size").oninput = ({ target }) => { this.#drawing.size = Number(target.value); };
    $("pen-light").oninput = ({ target }) => { this.#drawing.light = Number(target.value); };
    $("show-map").onchange = () => this.#paint();
    $("which").onchange = () => this.ask();
    onFiles($("picture-file"), ([file]) => this.file(file));
    this.#samples();
    this.#dropAndPaste();
    client.on("classified", (event) => this.#classified(event));
    client.on("error", ({ of }) => {
      if (of === "classify") this.#free();
    });
    client.on("loaded", ({ name, network }) => {
      $("loaded-name").textContent = `${name}: ${network.model}, ${network.parameters.toLocaleString("en")} parameters`;
      this.#ready.loaded = true;
      this.ask();
    });
  }

  /** Has `listener` hear every answer. */
  onResult(listener) {
    this.#listeners.push(listener);
  }

  get usesTraining() {
    return document.querySelector("[name=which]:checked").value === "training";
  }

  /** The picture that is classified. */
  get picture() {
    return this.#picture;
  }

  /** Whether there is a network in training to be asked. */
  set training(ready) {
    this.#ready.training = ready;
    const radio = document.querySelector("[name=which][value=training]");
    radio.disabled = !ready;
    if (!ready && radio.checked) document.querySelector("[name=which][value=loaded]").checked = true;
  }

  /** The loaded network is gone; what is asked meanwhile is answered by the next. */
  unload() {
    this.#ready.loaded = false;
  }

  /** The worker began anew. */
  reset() {
    this.unload();
    this.#underWay = this.#again = false;
    this.training = false;
  }

  async file(file) {
    this.#take({ form: "file", name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) });
  }

  /** Asks for the picture's classes; while one answer is under way, only for the newest picture afterwards. */
  ask() {
    const training = this.usesTraining;
    if (!this.#picture || !this.#ready[training ? "training" : "loaded"]) return;
    if (this.#underWay) {
      this.#again = true;
      return;
    }
    this.#underWay = true;
    this.#client.send("classify", { id: ++this.#id, training, layers: false, picture: this.#picture });
  }

  #take(picture) {
    this.#picture = picture;
    this.#chosen = null;
    this.ask();
  }

  #drawn() {
    $("drawing").setAttribute("aria-label", this.#drawing.isEmpty ? "Drawing. Nothing is drawn yet." : "Drawing");
    this.#picture = this.#drawing.picture;
    this.ask();
  }

  #free() {
    this.#underWay = false;
    if (this.#again) {
      this.#again = false;
      this.ask();
    }
  }

  #classified(event) {
    if (event.id !== this.#id || event.layers.length) return;
    this.#result = event;
    this.#list();
    this.#paint();
    this.#listeners.forEach((listener) => listener(event));
    this.#free();
  }

  #best() {
    const { probabilities } = this.#result;
    return probabilities.indexOf(Math.max(...probabilities));
  }

  #shown() {
    const { classes } = this.#result;
    return this.#chosen !== null && this.#chosen < classes.length ? this.#chosen : this.#best();
  }

  #paint() {
    if (!this.#result) return;
    const { maps, classes, probabilities } = this.#result;
    const shown = this.#shown();
    const map = maps && $("show-map").checked ? one(maps, shown) : null;
    draw($("seen"), this.#result, map);
    const what = map ? `, with the map of ${classes[shown]} over it` : "";
    $("seen").setAttribute("aria-label", `The picture as the network sees it${what}`);
    const best = this.#best();
    $("answer").textContent = `${classes[best]}, ${percent(probabilities[best])}`;
  }

  /** Makes the list of classes, or brings it up to date: a button that is pressed must stay where it is. */
  #list() {
    const { classes, probabilities } = this.#result;
    const list = $("classes");
    if (list.children.length !== classes.length || [...list.children].some((row, i) => row.dataset.name !== classes[i])) {
      list.replaceChildren(...classes.map((name, index) => this.#class(name, index)));
    }
    const shown = this.#shown();
    [...list.children].forEach((row, i) => {
      row.querySelector(".bar").style.width = `${100 * probabilities[i]}%`;
      row.querySelector(".part").textContent = percent(probabilities[i]);
      row.setAttribute("aria-checked", String(i === shown));
      row.tabIndex = i === shown ? 0 : -1;
    });
  }

  #class(name, index) {
    const row = make("button", { type: "button", className: "class" },
      make("span", { className: "bar" }), make("span", { textContent: name }), make("span", { className: "part" }));
    row.dataset.name = name;
    row.setAttribute("role", "radio");
    row.onclick = () => this.#choose(index);
    row.onkeydown = (event) => {
      const by = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
      if (!by) return;
      event.preventDefault();
      const count = this.#result.classes.length;
      this.#choose((index + by + count) % count);
      $("classes").children[this.#chosen].focus();
    };
    return row;
  }

  #choose(index) {
    this.#chosen = index;
    this.#list();
    this.#paint();
  }

  #samples() {
    for (const name of SAMPLES) {
      const title = name.replace("_", " ");
      const button = make("button", { type: "button" }, make("img", { src: `samples/${name}.png`, alt: title }));
      button.onclick = async () => {
        try {
          const got = await fetch(`samples/${name}.png`);
          this.#take({ form: "file", name: `${name}.png`, bytes: new Uint8Array(await got.arrayBuffer()) });
        } catch (error) {
          notice(`The sample cannot be loaded: ${error.message}.`);
        }
      };
      $("samples").append(button);
    }
  }

  #dropAndPaste() {
    document.addEventListener("dragover", (event) => {
      event.preventDefault();
      $("drawing").classList.add("over");
    });
    document.addEventListener("dragleave", () => $("drawing").classList.remove("over"));
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      $("drawing").classList.remove("over");
      const [file] = event.dataTransfer.files;
      if (!file) return;
      if (file.name.endsWith(".safetensors")) {
        document.dispatchEvent(new CustomEvent("checkpoint", { detail: file }));
      } else {
        this.file(file);
      }
    });
    document.addEventListener("paste", (event) => {
      const file = [...event.clipboardData.files].find(({ type }) => type.startsWith("image/"));
      if (file) this.file(file);
    });
  }
}
