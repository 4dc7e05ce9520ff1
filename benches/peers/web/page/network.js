// The networks, for peers that want them layer by layer: names are those of the parameters.

/** An mlpconv block: a convolution and two of 1x1, each with ReLU. */
const mlpconv = (at, stride, pad) => [0, 2, 4].map((layer, i) => ({
  kind: "conv", name: `conv.${at}.${layer}`, stride: i ? 1 : stride, pad: i ? 0 : pad, relu: true,
}));
const pool = (size, stride) => ({ kind: "pool", size, stride });
const average = { kind: "average" };
const dense = (name, relu) => ({ kind: "dense", name, relu });
const conv = (name, pad) => ({ kind: "conv", name, stride: 1, pad, relu: true });

export const NETWORKS = {
  "nin-small": [...mlpconv(0, 2, 2), pool(3, 2), ...mlpconv(2, 1, 1), pool(3, 2), ...mlpconv(4, 1, 1), average],
  nin: [...mlpconv(0, 4, 2), pool(3, 2), ...mlpconv(2, 1, 2), pool(3, 2), ...mlpconv(4, 1, 1), pool(3, 2), ...mlpconv(6, 1, 1), average],
  lenet: [conv("conv1", 2), pool(2, 2), conv("conv2", 0), pool(2, 2), { kind: "flatten" }, dense("fc1", true), dense("fc2", true), dense("fc3", false)],
};
