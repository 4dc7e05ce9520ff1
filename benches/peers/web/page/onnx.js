// A network as an ONNX file, in memory: what protocol buffers want of it, and no more.

const text = new TextEncoder();
const join = (parts) => {
  const out = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
};
const varint = (value) => {
  const bytes = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  return Uint8Array.from([...bytes, value]);
};
/** A field: a whole number, a text, bytes, or a message of fields. */
const field = (number, value) => {
  if (typeof value === "number") return join([varint(8 * number), varint(value)]);
  const bytes = typeof value === "string" ? text.encode(value) : value;
  return join([varint(8 * number + 2), varint(bytes.length), bytes]);
};
const message = (...fields) => join(fields.filter(Boolean));
const FLOAT = 1, INTS = 7;

const ints = (name, values) => message(field(1, name), ...values.map((value) => field(8, value)), field(20, INTS));
const tensor = (name, { shape, data }) => message(...shape.map((side) => field(1, side)), field(2, FLOAT), field(8, name),
  field(9, new Uint8Array(Float32Array.from(data).buffer)));
const value = (name, shape) => message(field(1, name),
  field(2, field(1, message(field(1, FLOAT), field(2, message(...shape.map((side) => field(1, field(1, side)))))))));

/** The file, with input `images` and output `logits`. */
export function onnx(layers, weights, [batch, channels, height, width]) {
  const nodes = [];
  let x = "images";
  const push = (kind, inputs, ...attributes) => {
    const y = `x${nodes.length}`;
    nodes.push(message(...inputs.map((name) => field(1, name)), field(2, y), field(4, kind), ...attributes.map((one) => field(5, one))));
    return y;
  };
  for (const { kind, name, stride, pad, size, relu } of layers) {
    if (kind === "conv") {
      const [, , r, s] = weights[`${name}.weight`].shape;
      x = push("Conv", [x, `${name}.weight`, `${name}.bias`], ints("kernel_shape", [r, s]), ints("strides", [stride, stride]),
        ints("pads", [pad, pad, pad, pad]));
    } else if (kind === "pool") {
      x = push("MaxPool", [x], ints("kernel_shape", [size, size]), ints("strides", [stride, stride]));
    } else {
      x = push("Flatten", [push("GlobalAveragePool", [x])]);
    }
    if (relu) x = push("Relu", [x]);
  }
  const graph = message(...nodes.map((node) => field(1, node)), field(2, "network"),
    ...Object.entries(weights).map(([name, weight]) => field(5, tensor(name, weight))),
    field(11, value("images", [batch, channels, height, width])), field(12, value(x, [batch, 10])));
  return { file: message(field(1, 8), field(7, graph), field(8, message(field(1, ""), field(2, 13)))), output: x };
}
