// jax-js: the whole step, Adam included, is one jitted function, whose kernels it fuses.

import { defaultDevice, init, jit, lax, nn, numpy as np, valueAndGrad } from "/npm/@jax-js/jax/dist/index.js";
import { NETWORKS } from "./network.js";

const [BETA1, BETA2, EPSILON] = [0.9, 0.999, 1e-8];

/** The logits. Arrays are counted: every use but the last takes a `.ref`. */
function forward(layers, parameters, x) {
  const bias = (name, rank) => {
    const b = parameters[`${name}.bias`].ref;
    return rank === 4 ? b.reshape([1, -1, 1, 1]) : b;
  };
  for (const layer of layers) {
    if (layer.kind === "conv") {
      const { name, stride, pad } = layer;
      const weight = parameters[`${name}.weight`].ref;
      x = lax.convGeneralDilated(x, weight, [stride, stride], [[pad, pad], [pad, pad]]).add(bias(name, 4));
    } else if (layer.kind === "dense") {
      x = np.dot(x, parameters[`${layer.name}.weight`].ref.transpose()).add(bias(layer.name, 2));
    } else if (layer.kind === "pool") {
      x = lax.reduceWindow(x, np.max, [layer.size, layer.size], [layer.stride, layer.stride]);
    } else if (layer.kind === "average") {
      x = x.mean([2, 3]);
    } else {
      x = x.reshape([x.shape[0], -1]);
    }
    if (layer.relu) x = nn.relu(x);
  }
  return x;
}

export async function jax({ network, batch, train, learningRate, weights, images, labels, side }) {
  const found = await init("webgpu");
  if (!found.includes("webgpu")) throw new Error("jax-js finds no WebGPU");
  defaultDevice("webgpu");
  const layers = NETWORKS[network];
  const names = Object.keys(weights);
  const array = (data, shape) => np.array(new Float32Array(data)).reshape(shape);
  const each = (make) => Object.fromEntries(names.map((name) => [name, make(name)]));
  let parameters = each((name) => array(weights[name].data, weights[name].shape));
  const x = array(images, [batch, 1, side, side]);
  const oneHot = new Float32Array(batch * 10);
  labels.forEach((label, i) => { oneHot[10 * i + label] = 1; });
  const y = array(oneHot, [batch, 10]);
  const dispose = (tree) => names.forEach((name) => tree[name].dispose());

  if (!train) {
    const run = jit((parameters, x) => {
      const logits = forward(layers, parameters, x);
      dispose(parameters);
      return logits;
    });
    const refs = () => each((name) => parameters[name].ref);
    return {
      turn: async (count) => {
        let got;
        for (let i = 0; i < count; i++) got = await run(refs(), x.ref).data();
        return got;
      },
    };
  }

  const loss = (parameters, x, y) => {
    const logits = forward(layers, parameters, x);
    dispose(parameters);
    return nn.logSoftmax(logits).mul(y).sum().mul(-1 / batch);
  };
  const step = jit((parameters, first, second, rates, x, y) => {
    const [value, gradients] = valueAndGrad(loss)(each((name) => parameters[name].ref), x, y);
    const [rate, scale] = [rates.ref.slice(0), rates.slice(1)];
    const [p, m, v] = [{}, {}, {}];
    for (const name of names) {
      const g = gradients[name];
      const one = first[name].mul(BETA1).add(g.ref.mul(1 - BETA1));
      const two = second[name].mul(BETA2).add(g.ref.mul(g).mul(1 - BETA2));
      m[name] = one.ref;
      v[name] = two.ref;
      p[name] = parameters[name].sub(one.mul(rate.ref).div(np.sqrt(two.mul(scale.ref)).add(EPSILON)));
    }
    rate.dispose();
    scale.dispose();
    return [value, p, m, v];
  });
  const zeros = (name) => np.zeros(weights[name].shape);
  let [first, second, t] = [each(zeros), each(zeros), 0];
  return {
    turn: async (count) => {
      let value;
      for (let i = 0; i < count; i++) {
        t++;
        value?.dispose();
        const rates = np.array(new Float32Array([learningRate / (1 - BETA1 ** t), 1 / (1 - BETA2 ** t)]));
        [value, parameters, first, second] = step(each((name) => parameters[name]), first, second, rates, x.ref, y.ref);
      }
      return value.data();
    },
  };
}
