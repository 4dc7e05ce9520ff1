// onnxruntime-web on its WebGPU backend, forward only.

import * as ort from "/npm/onnxruntime-web/dist/ort.webgpu.bundle.min.mjs";
import { NETWORKS } from "./network.js";
import { onnx } from "./onnx.js";

export async function onnxruntime({ network, batch, weights, images, side }) {
  ort.env.wasm.wasmPaths = "/npm/onnxruntime-web/dist/";
  const shape = [batch, 1, side, side];
  const { file, output } = onnx(NETWORKS[network], weights, shape);
  const session = await ort.InferenceSession.create(file, { executionProviders: ["webgpu"] });
  const x = new ort.Tensor("float32", Float32Array.from(images), shape);
  return {
    turn: async (count) => {
      let got;
      for (let i = 0; i < count; i++) got = (await session.run({ images: x }))[output].data;
      return got;
    },
  };
}
