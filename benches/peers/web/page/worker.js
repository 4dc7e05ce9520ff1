// A peer in a worker of its own: it is prepared once, and then runs when it is told to.

const PEERS = {
  "nin-wgpu": async () => (await import("./ours.js")).peer(false),
  "nin-wgpu on the CPU": async () => (await import("./ours.js")).peer(true),
  "jax-js": async () => (await import("./jax.js")).jax,
  "TensorFlow.js": async () => {
    importScripts("/npm/@tensorflow/tfjs/dist/tf.min.js", "/npm/@tensorflow/tfjs-backend-webgpu/dist/tf-backend-webgpu.min.js");
    return (await import("./tfjs.js")).tfjs;
  },
  "onnxruntime-web": async () => (await import("./ort.js")).onnxruntime,
};

let peer;
self.onmessage = async ({ data: { prepare, turn } }) => {
  try {
    if (prepare) {
      peer = await (await PEERS[prepare.peer]())(prepare);
      self.postMessage({ start: peer.start });
      return;
    }
    const start = performance.now();
    const values = Array.from(await peer.turn(turn));
    self.postMessage({ values, seconds: (performance.now() - start) / 1000 });
  } catch (error) {
    self.postMessage({ error: String(error?.stack ?? error) });
  }
};
