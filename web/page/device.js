// Device: what everything is computed on, which of two is the faster, and whether it computes right.

import { $, make, milliseconds, say } from "./dom.js";
import * as settings from "./settings.js";

const WITHOUT = "This browser offers no WebGPU, so everything is computed on the CPU, more slowly. Chrome and Edge from 113, "
  + "Safari from 26 and Firefox from 141 (Windows) have WebGPU.";
const CPU = "On the CPU, by WebAssembly";

export class Device {
  #client;
  #wrong = 0;
  /** "gpu" or "cpu" if the user chose one: else the faster is taken. */
  #choice = settings.get("device");
  /** What the steps of both take, and on which GPU. */
  #speed = null;
  #gpu = null;
  #busy;
  #opens;
  #onGpu = false;
  #opening = false;
  #settle = () => {};

  /** `busy` says whether the device is not to be changed now; `opens` hears that what lay on the one before is gone. */
  constructor(client, { busy, opens }) {
    this.#client = client;
    this.#busy = busy;
    this.#opens = opens;
    $("self-test").onclick = () => this.#test();
    $("use-cpu").onclick = () => this.#choose();
    client.on("opened", (event) => this.#opened(event));
    client.on("compared", (event) => this.#compared(event));
    client.on("compiling", ({ done, of }) => {
      $("compiling").hidden = done === of;
      $("compiling").value = done / of;
      if (done === of) say("status", this.#status);
      else say("status", `Compiling kernels: ${done} of ${of}`, true);
    });
    client.on("checked", (event) => this.#checked(event));
    client.on("error", ({ of, message }) => {
      if (of === "selfTest") say("self-test-state", message);
      if (of === "compare") this.#settle();
    });
  }

  /** Whether another device is on its way. */
  get isOpening() {
    return this.#opening;
  }

  open() {
    this.#opening = true;
    this.#opens();
    this.#client.send("open", { cpu: this.#usesCpu });
  }

  /** Finds out which device is the faster, if that is not known of this GPU, and opens that one. It may take a second. */
  async compare() {
    if (this.#choice || !this.#gpu || this.#speed) return;
    const settled = new Promise((resolve) => { this.#settle = resolve; });
    this.#client.send("compare");
    await settled;
  }

  get #usesCpu() {
    return this.#choice === "cpu" || (!this.#choice && this.#speed !== null && this.#speed.cpu < this.#speed.device);
  }

  get #status() {
    if (!this.#speed || this.#choice) return this.#name;
    const { device, cpu } = this.#speed;
    return `${this.#name}: a training step of nin-small takes ${milliseconds(cpu)} on the CPU and ${milliseconds(device)} on the GPU`;
  }

  get #name() {
    return this.#onGpu ? `On ${this.#gpu}` : CPU;
  }

  #opened({ device, gpu, reason, details }) {
    this.#opening = false;
    this.#onGpu = gpu;
    if (gpu) {
      this.#gpu = device;
      // Of this version of the browser: another may make either faster.
      this.#speed ??= settings.get(this.#key);
      if (this.#usesCpu) {
        this.open();
        return;
      }
    }
    this.#tell();
    if (reason) {
      $("status").textContent = WITHOUT;
      $("device-name").textContent = `${CPU}. ${WITHOUT} (${reason})`;
    }
    const rows = details.map(([name, value]) => make("tr", {}, make("th", { scope: "row", textContent: name }), make("td", { textContent: value || "none" })));
    $("device-details").tBodies[0].replaceChildren(...rows);
    $("device-details").hidden = rows.length === 0;
    $("self-test").disabled = $("use-cpu").disabled = false;
    $("use-cpu").textContent = gpu ? "Use the CPU" : "Use the GPU";
    $("use-cpu").disabled = Boolean(reason);
    this.#settle();
  }

  get #key() {
    return `speed of ${this.#gpu}, ${navigator.userAgent}`;
  }

  #compared({ device, cpu }) {
    this.#speed = { device, cpu };
    settings.set(this.#key, this.#speed);
    if (this.#usesCpu && !this.#busy()) {
      this.open();
      return;
    }
    this.#tell();
    this.#settle();
  }

  #tell() {
    $("status").textContent = this.#status;
    $("device-name").textContent = `${this.#status}.`;
  }

  #choose() {
    this.#choice = this.#onGpu ? "cpu" : "gpu";
    settings.set("device", this.#choice);
    this.open();
  }

  #test() {
    this.#wrong = 0;
    $("self-test-wrong").replaceChildren();
    $("self-test").disabled = true;
    $("self-test-progress").hidden = false;
    say("self-test-state", "Testing …");
    this.#client.send("selfTest");
  }

  #checked({ done, of, text, right }) {
    $("self-test-progress").value = done / of;
    if (!right) {
      this.#wrong++;
      $("self-test-wrong").append(make("li", { textContent: text }));
    }
    if (done < of) {
      say("self-test-state", `${done} of ${of} checks`, true);
      return;
    }
    $("self-test").disabled = false;
    $("self-test-progress").hidden = true;
    say("self-test-state", this.#wrong
      ? `${this.#wrong} of ${of} checks failed: do not trust this device.`
      : `All ${of} checks passed: every kernel agrees with the reference on this device.`);
  }
}
