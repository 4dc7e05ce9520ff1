// Device: what everything is computed on, and whether it computes right.

import { $, make } from "./dom.js";

const WITHOUT = "This browser offers no WebGPU, so everything is computed on the CPU, more slowly. Chrome and Edge from 113, "
  + "Safari from 26 and Firefox from 141 (Windows) have WebGPU.";

export class Device {
  #client;
  #wrong = 0;
  #cpu = false;

  constructor(client) {
    this.#client = client;
    $("self-test").onclick = () => this.#test();
    $("use-cpu").onclick = () => this.open(!this.#cpu);
    client.on("opened", (event) => this.#opened(event));
    client.on("compiling", ({ done, of }) => {
      $("compiling").hidden = done === of;
      $("compiling").value = done / of;
      $("status").textContent = done === of ? this.name : `Compiling kernels: ${done} of ${of}`;
    });
    client.on("checked", (event) => this.#checked(event));
    client.on("error", ({ of, message }) => {
      if (of === "selfTest") $("self-test-state").textContent = message;
    });
  }

  open(cpu = this.#cpu) {
    this.#cpu = cpu;
    this.#client.send("open", { cpu });
  }

  #opened({ device, gpu, reason, details }) {
    this.name = gpu ? `On ${device}` : "On the CPU, by WebAssembly";
    $("status").textContent = gpu || this.#cpu ? this.name : WITHOUT;
    $("device-name").textContent = reason ? `${this.name}. ${WITHOUT} (${reason})` : this.name;
    const rows = details.map(([name, value]) => make("tr", {}, make("th", { scope: "row", textContent: name }), make("td", { textContent: value || "none" })));
    $("device-details").tBodies[0].replaceChildren(...rows);
    $("device-details").hidden = rows.length === 0;
    $("self-test").disabled = $("use-cpu").disabled = false;
    $("use-cpu").textContent = this.#cpu ? "Use the GPU" : "Use the CPU";
  }

  #test() {
    this.#wrong = 0;
    $("self-test-wrong").replaceChildren();
    $("self-test").disabled = true;
    $("self-test-progress").hidden = false;
    $("self-test-state").textContent = "Testing …";
    this.#client.send("selfTest");
  }

  #checked({ done, of, text, right }) {
    $("self-test-progress").value = done / of;
    if (!right) {
      this.#wrong++;
      $("self-test-wrong").append(make("li", { textContent: text }));
    }
    if (done < of) {
      $("self-test-state").textContent = `${done} of ${of} checks`;
      return;
    }
    $("self-test").disabled = false;
    $("self-test-progress").hidden = true;
    $("self-test-state").textContent = this.#wrong
      ? `${this.#wrong} of ${of} checks failed: do not trust this device.`
      : `All ${of} checks passed: every kernel agrees with the reference on this device.`;
  }
}
