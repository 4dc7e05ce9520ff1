// The page's side of its worker.

export class Client {
  #worker;
  #listeners = new Map();

  constructor() {
    this.restart();
  }

  /** Begins with a new worker; what the old one held is gone. */
  restart() {
    this.#worker?.terminate();
    this.#worker = new Worker("worker.js", { type: "module" });
    this.#worker.onmessage = ({ data }) => this.#tell(data);
    this.#worker.onerror = (event) => {
      this.#tell({ kind: "crashed", message: event.message ?? "the worker did not start" });
    };
  }

  /** Has `listener` hear every event of a kind. */
  on(kind, listener) {
    this.#listeners.set(kind, [...(this.#listeners.get(kind) ?? []), listener]);
  }

  send(kind, fields = {}, transfer = []) {
    this.#worker.postMessage({ kind, ...fields }, transfer);
  }

  #tell(event) {
    for (const listener of this.#listeners.get(event.kind) ?? []) listener(event);
  }
}
