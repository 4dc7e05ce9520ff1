// What a network is trained on: the images that come with the page, or a folder of the user's.

import { $, make, onFiles, say } from "./dom.js";

const CLASSES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];
const FILES = ["train-images-idx3", "train-labels-idx1", "test-images-idx3", "test-labels-idx1"];
/** Pictures that are read before the worker has its turn. */
const AT_ONCE = 16;
const PICTURE = /\.(png|jpe?g|jpe|jfif|webp|gif|bmp|tiff?)$/i;

export class Data {
  #client;
  /** Name of what the worker has. */
  #loaded = null;
  #ready = null;

  constructor(client) {
    this.#client = client;
    client.on("dataReady", (event) => {
      this.#loaded = event.name;
      this.#ready?.resolve(event);
      this.#ready = null;
      if (event.name !== "fashion-mnist") {
        const [train, test] = event.images;
        say("folder-state", `${event.name}: ${train} pictures to train on, ${test} to test on, ${event.classes.length} classes.`);
      }
    });
    client.on("folderProgress", ({ read, bad }) => this.#progress(read, bad));
    client.on("error", ({ of, message }) => {
      if (of !== "data" && of !== "folder") return;
      this.#ready?.reject(new Error(message));
      this.#ready = null;
      if (of === "folder") say("folder-state", message);
    });
    $("data-source").onchange = () => this.#fields();
    onFiles($("folder"), (files) => this.#folder(files));
  }

  reset() {
    this.#loaded = null;
  }

  #fields() {
    $("folder-fields").hidden = this.chosen !== "folder";
  }

  get chosen() {
    return $("data-source").value;
  }

  /** Sees that the worker has the data that are chosen, or those of a run. */
  async ready(name = this.chosen) {
    if (this.#loaded === name || (name === "folder" && this.#loaded && this.#loaded !== "fashion-mnist")) return;
    if (name !== "fashion-mnist") {
      $("data-source").value = "folder";
      this.#fields();
      throw new Error("Choose the folder first.");
    }
    const files = await Promise.all(FILES.map(async (file) => {
      const got = await fetch(`data/${file}-ubyte.gz`);
      if (!got.ok) throw new Error(`${file} cannot be loaded: ${got.status}`);
      return new Uint8Array(await got.arrayBuffer());
    }));
    const ready = new Promise((resolve, reject) => { this.#ready = { resolve, reject }; });
    this.#client.send("data", { name, classes: CLASSES, files }, files.map(({ buffer }) => buffer));
    await ready;
  }

  #progress(read, bad) {
    say("folder-state", `${read} pictures read`, true);
    if (!bad.length) return;
    const list = $("folder-bad");
    list.hidden = false;
    list.querySelector("ul").append(...bad.map((text) => make("li", { textContent: text })));
    const count = list.querySelectorAll("li").length;
    list.querySelector("summary").textContent = count === 1 ? "1 picture is left out" : `${count} pictures are left out`;
  }

  /** A folder holds one for each class. */
  async #folder(files) {
    const pictures = files.filter(({ name }) => PICTURE.test(name))
      .map((file) => ({ file, path: file.webkitRelativePath.split("/") }))
      .filter(({ path }) => path.length > 2)
      .sort((a, b) => (a.file.webkitRelativePath < b.file.webkitRelativePath ? -1 : 1));
    const classes = [...new Set(pictures.map(({ path }) => path[1]))].sort();
    $("folder-bad").hidden = true;
    $("folder-bad").querySelector("ul").replaceChildren();
    if (classes.length < 2) {
      $("folder-state").textContent = "A folder with a folder of pictures for each of at least two classes is wanted.";
      return;
    }
    this.#loaded = null;
    const image = $("folder-image").value.split(",").map(Number);
    this.#client.send("folder", { name: `folder ${pictures[0].path[0]}`, classes, image });
    for (let at = 0; at < pictures.length; at += AT_ONCE) {
      const some = await Promise.all(pictures.slice(at, at + AT_ONCE).map(async ({ file, path }) => ({
        label: classes.indexOf(path[1]),
        name: file.webkitRelativePath,
        bytes: new Uint8Array(await file.arrayBuffer()),
      })));
      this.#client.send("pictures", { files: some }, some.map(({ bytes }) => bytes.buffer));
    }
    this.#client.send("folderEnd");
  }
}
