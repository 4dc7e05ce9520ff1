// Maps of a network, and a picture with one over it.

// Ten samples of matplotlib's inferno (CC0), those of the native heat maps.
const INFERNO = [
  [0x00, 0x00, 0x04], [0x1b, 0x0c, 0x41], [0x4a, 0x0c, 0x6b], [0x78, 0x1c, 0x6d], [0xa5, 0x2c, 0x60],
  [0xcf, 0x44, 0x46], [0xed, 0x69, 0x25], [0xfb, 0x9b, 0x06], [0xf7, 0xd1, 0x3d], [0xfc, 0xff, 0xa4],
];

/** The colour of a value in 0..1. */
export function inferno(value) {
  const at = Math.min(Math.max(value, 0), 1) * (INFERNO.length - 1);
  const low = Math.min(Math.floor(at), INFERNO.length - 2);
  return INFERNO[low].map((from, i) => from + (INFERNO[low + 1][i] - from) * (at - low));
}

/** The values of one map: shape `[rows, columns]`, and where it lies. */
export function one(maps, index) {
  const [, rows, columns] = maps.shape;
  const values = maps.values.subarray(index * rows * columns, (index + 1) * rows * columns);
  return { rows, columns, values, first: maps.first, step: maps.step };
}

/** A canvas of a map alone, a pixel for each value. */
export function small({ rows, columns, values }, colour = (v) => inferno(v / 255)) {
  const canvas = document.createElement("canvas");
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(columns, rows);
  values.forEach((value, i) => pixels.data.set([...colour(value), 255], 4 * i));
  context.putImageData(pixels, 0, 0);
  return canvas;
}

/** Draws a picture `[C,H,W]` of bytes, and over it a map that is as bright as its highest value. */
export function draw(canvas, { pixels, image: [channels, height, width] }, map) {
  const context = canvas.getContext("2d");
  const side = canvas.width;
  canvas.height = Math.round((side * height) / width);
  const out = context.createImageData(canvas.width, canvas.height);
  const most = map ? Math.max(1, ...map.values) : 1;
  for (let y = 0, to = 0; y < canvas.height; y++) {
    const row = Math.min(height - 1, Math.floor((y * height) / canvas.height));
    for (let x = 0; x < side; x++, to += 4) {
      const column = Math.min(width - 1, Math.floor((x * width) / side));
      const at = row * width + column;
      const value = map ? sample(map, (y + 0.5) / canvas.height, (x + 0.5) / side) / most : 0;
      const strength = map ? 0.5 + 0.35 * value : 0;
      const over = map ? inferno(value) : [0, 0, 0];
      for (let c = 0; c < 3; c++) {
        const from = pixels[Math.min(c, channels - 1) * height * width + at];
        out.data[to + c] = from + (over[c] - from) * strength;
      }
      out.data[to + 3] = 255;
    }
  }
  context.putImageData(out, 0, 0);
}

/** A map at a point of the picture, in parts of its sides: bilinear, and beyond the outer centres as at the nearest of them. */
function sample({ rows, columns, values, first, step }, down, across) {
  const between = (at, cells) => {
    const held = Math.min(Math.max(at, 0), cells - 1);
    const low = Math.min(Math.floor(held), Math.max(cells - 2, 0));
    return [low, Math.min(low + 1, cells - 1), held - low];
  };
  const [top, bottom, y] = between((down - first[0]) / step[0], rows);
  const [left, right, x] = between((across - first[1]) / step[1], columns);
  const row = (r) => {
    const [from, to] = [values[r * columns + left], values[r * columns + right]];
    return from + (to - from) * x;
  };
  return row(top) + (row(bottom) - row(top)) * y;
}
