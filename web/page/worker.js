// The worker in which everything is computed: commands in, events out, both as src/protocol.rs has them.

import init, { Session } from "./nin_web.js";
import { putNetwork } from "./store.js";

const buffers = (value) => value instanceof Uint8Array ? [value.buffer]
  : value && typeof value === "object" ? Object.values(value).flatMap(buffers) : [];

/** The run that is trained, by the page's number. */
let run = null;

async function keep({ weights, run: saved }) {
  try {
    // Copies, since the page gets the bytes themselves.
    await putNetwork({ id: run, weights: weights.slice(), saved: saved.slice() });
  } catch (error) {
    self.postMessage({ kind: "error", of: "keep", message: error.message });
  }
}

const post = (event) => {
  if (event.kind === "saved" && run !== null) keep(event);
  self.postMessage(event, buffers(event));
};
const crashed = (error) => self.postMessage({ kind: "crashed", message: String(error?.message ?? error) });

// Messages that were sent to the worker meanwhile come first. A timer of no time would take four milliseconds.
const { port1, port2 } = new MessageChannel();
const waiting = [];
port1.onmessage = () => waiting.shift()();
const turn = (milliseconds) => new Promise((resolve) => {
  if (milliseconds > 0) {
    setTimeout(resolve, milliseconds);
  } else {
    waiting.push(resolve);
    port2.postMessage(null);
  }
});

const program = new URL("nin_web_bg.wasm", import.meta.url);
let last = init({ module_or_path: program }).then(() => new Session(post, turn));
self.onmessage = ({ data }) => {
  last = last.then(async (session) => {
    if (["train", "resume"].includes(data.kind)) run = data.run ?? null;
    await session.handle(data);
    return session;
  });
  last.catch(crashed);
};
self.addEventListener("error", (event) => crashed(event.error ?? event.message));
self.addEventListener("unhandledrejection", (event) => crashed(event.reason));
