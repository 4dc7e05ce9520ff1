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
    const worker = new Worker("worker.js", { type: "module" });
    // What an old worker still had to say is of no use.
    const tell = (event) => {
      if (worker === this.#worker) this.#tell(event);
    };
    worker.onmessage = ({ data }) => tell(data);
    worker.onerror = ({ message }) => tell({ kind: "crashed", message: message ?? "the worker did not start" });
    this.#worker = worker;
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
