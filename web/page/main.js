// The page: opens the device, loads the shipped network and joins the sections.

import { Classify } from "./classify.js";
import { Client } from "./client.js";
import { Data } from "./data.js";
import { Device } from "./device.js";
import { $, closeNotice, notice, onFiles } from "./dom.js";
import { Inside } from "./inside.js";
import { Train } from "./train.js";

const SHIPPED = "fashion-mnist.safetensors";

const client = new Client();
const classify = new Classify(client);
const data = new Data(client);
const train = new Train(client, data, renew);
const device = new Device(client, { busy: () => train.isActive, opens: () => classify.unload() });
new Inside(client, classify);

/** The checkpoint to classify with. */
let checkpoint = null;
/** Whether the device failed, and how often the worker did. */
let lost = false;
let restarts = 0;

async function shipped() {
  const got = await fetch(`models/${SHIPPED}`);
  if (!got.ok) throw new Error(`${got.status} ${got.statusText}`);
  return { name: "the shipped one", bytes: new Uint8Array(await got.arrayBuffer()) };
}

function load() {
  client.send("load", { name: checkpoint.name, bytes: checkpoint.bytes });
}

async function take(file) {
  const former = checkpoint;
  checkpoint = { name: file.name, bytes: new Uint8Array(await file.arrayBuffer()), former };
  document.querySelector("[name=which][value=loaded]").checked = true;
  closeNotice();
  load();
}

/** Opens a device, and waits for it. */
function open() {
  const opened = new Promise((resolve) => { waits.push(resolve); });
  device.open();
  return opened;
}

const waits = [];
client.on("opened", () => {
  if (device.isOpening) return;
  waits.splice(0).forEach((resolve) => resolve());
  if (checkpoint) load();
});
client.on("error", ({ of, message }) => {
  if (of === "load") {
    // A file that is refused leaves the network as it was.
    checkpoint = checkpoint.former ?? checkpoint;
    notice(`This checkpoint cannot be used: ${message}`);
  } else if (of === "classify" || of === "open" || of === "message" || of === "save") {
    notice(message);
  }
});
client.on("trainFailed", () => { lost = true; });
client.on("crashed", ({ message }) => restart(message));

/** Before a training: a device that failed is opened anew, and which one is the faster is known. */
async function renew() {
  if (lost) {
    lost = false;
    classify.reset();
    data.reset();
    client.restart();
    await open();
  }
  await device.compare();
}

/** A worker that died is replaced, twice at most: then it is no accident. */
async function restart(message) {
  const trained = train.isActive || train.isStarting;
  classify.reset();
  data.reset();
  client.restart();
  if (++restarts > 2) {
    notice(`The worker stopped: ${message}. Reload the page to try again; what was saved is kept.`);
    return;
  }
  await open();
  if (trained) train.failed(message);
  else notice(`The worker stopped and was started again: ${message}`);
}

train.onNetwork((ready) => {
  classify.training = ready;
  if (ready && classify.usesTraining) classify.ask();
});
onFiles($("checkpoint-file"), ([file]) => take(file));
document.addEventListener("checkpoint", ({ detail }) => take(detail));
$("notice-close").onclick = closeNotice;

// Both at once: the device opens while the network is fetched.
const [fetched] = await Promise.allSettled([shipped(), open()]);
if (fetched.status === "fulfilled") {
  checkpoint ??= fetched.value;
  load();
} else {
  notice(`The shipped network cannot be loaded: ${fetched.reason.message}. Load a checkpoint of your own.`);
}
