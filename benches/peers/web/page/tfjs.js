// TensorFlow.js on its WebGPU backend: NHWC, which is its own layout, and its own Adam.

import { NETWORKS } from "./network.js";

export async function tfjs({ network, batch, train, learningRate, weights, images, labels, side }) {
  const tf = self.tf;
  if (!await tf.setBackend("webgpu")) throw new Error("TensorFlow.js finds no WebGPU");
  await tf.ready();
  const layers = NETWORKS[network];
  const variables = {};
  // Rows of the first dense layer follow channels, rows, columns; here they are to follow rows, columns, channels.
  let maps = null;
  for (const { kind, name } of layers) {
    const weight = name && weights[`${name}.weight`];
    if (kind === "conv") maps = weight.shape[0];
    if (!name) continue;
    let value = tf.tensor(weight.data, weight.shape);
    if (kind === "conv") value = tf.transpose(value, [2, 3, 1, 0]);
    if (kind === "dense") {
      const [out, features] = weight.shape;
      const edge = Math.sqrt(features / maps);
      if (maps) value = tf.reshape(tf.transpose(tf.reshape(value, [out, maps, edge, edge]), [0, 2, 3, 1]), [out, features]);
      value = tf.transpose(value);
      maps = null;
    }
    variables[`${name}.weight`] = tf.variable(value);
    variables[`${name}.bias`] = tf.variable(tf.tensor(weights[`${name}.bias`].data));
  }
  // One channel: NCHW and NHWC are the same.
  const x = tf.tensor(images, [batch, side, side, 1]);
  const y = tf.oneHot(tf.tensor1d(Array.from(labels), "int32"), 10);

  const forward = () => layers.reduce((x, { kind, name, stride, pad, size, relu }) => {
    const [weight, bias] = [variables[`${name}.weight`], variables[`${name}.bias`]];
    const activation = relu ? "relu" : "linear";
    if (kind === "conv") return tf.fused.conv2d({ x, filter: weight, strides: stride, pad, dataFormat: "NHWC", bias, activation });
    if (kind === "dense") return tf.fused.matMul({ a: x, b: weight, bias, activation });
    if (kind === "pool") return tf.maxPool(x, size, stride, "valid");
    return kind === "average" ? tf.mean(x, [1, 2]) : tf.reshape(x, [batch, -1]);
  }, x);

  if (!train) {
    return {
      turn: async (count) => {
        let got;
        for (let i = 0; i < count; i++) {
          const logits = tf.tidy(forward);
          got = await logits.data();
          logits.dispose();
        }
        return got;
      },
    };
  }
  const adam = tf.train.adam(learningRate, 0.9, 0.999, 1e-8);
  const loss = () => tf.losses.softmaxCrossEntropy(y, forward());
  return {
    turn: async (count) => {
      let value;
      for (let i = 0; i < count; i++) {
        value?.dispose();
        value = adam.minimize(loss, true);
      }
      return value.data();
    },
  };
}
