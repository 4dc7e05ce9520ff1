// Maps of a network, and a picture with one over it.

import { make } from "./dom.js";

// Ten samples of matplotlib's inferno (CC0), those of the native heat maps.
const INFERNO = [
  [0x00, 0x00, 0x04], [0x1b, 0x0c, 0x41], [0x4a, 0x0c, 0x6b], [0x78, 0x1c, 0x6d], [0xa5, 0x2c, 0x60],
  [0xcf, 0x44, 0x46], [0xed, 0x69, 0x25], [0xfb, 0x9b, 0x06], [0xf7, 0xd1, 0x3d], [0xfc, 0xff, 0xa4],
];

/** Red, green and blue of the values 0 to 255. */
const HEAT = new Uint8ClampedArray(3 * 256);
for (let value = 0; value < 256; value++) {
  const at = (value / 255) * (INFERNO.length - 1);
  const low = Math.min(Math.floor(at), INFERNO.length - 2);
  for (let c = 0; c < 3; c++) HEAT[3 * value + c] = INFERNO[low][c] + (INFERNO[low + 1][c] - INFERNO[low][c]) * (at - low);
}
/** The same in grey. */
export const GREY = HEAT.map((_, i) => Math.floor(i / 3));

/** The values of one map: shape `[rows, columns]`, and where it lies. */
export function one(maps, index) {
  const [, rows, columns] = maps.shape;
  const values = maps.values.subarray(index * rows * columns, (index + 1) * rows * columns);
  return { rows, columns, values, first: maps.first, step: maps.step };
}

/** What a canvas was painted with last: memory anew for each picture of a drawing would have the garbage collector at work. */
const painted = new WeakMap();

/** Paints all of a canvas, by a function that fills red, green, blue and alpha. */
function fill(canvas, by) {
  const { width, height } = canvas;
  let out = painted.get(canvas);
  if (out?.width !== width || out.height !== height) painted.set(canvas, out = new ImageData(width, height));
  by(out.data);
  canvas.getContext("2d").putImageData(out, 0, 0);
}

/** A canvas for a map alone, a pixel for each value. */
export const small = ([rows, columns]) => make("canvas", { width: columns, height: rows });

/** Paints a map on it. */
export function paint(canvas, { values }, colours = HEAT) {
  fill(canvas, (out) => {
    for (let i = 0; i < values.length; i++) {
      for (let c = 0; c < 3; c++) out[4 * i + c] = colours[3 * values[i] + c];
      out[4 * i + 3] = 255;
    }
  });
}

/** Draws a picture `[C,H,W]` of bytes, and over it a map that is as bright as its highest value. */
export function draw(canvas, { pixels, image: [channels, height, width] }, map) {
  const side = canvas.width;
  const down = Math.round((side * height) / width);
  // Even the height that it has would empty the canvas, and take time.
  if (canvas.height !== down) canvas.height = down;
  const heat = map && spread(map, down, side);
  fill(canvas, (out) => {
    for (let y = 0, to = 0; y < down; y++) {
      const row = Math.min(height - 1, Math.floor((y * height) / down));
      for (let x = 0; x < side; x++, to++) {
        const column = Math.min(width - 1, Math.floor((x * width) / side));
        const value = heat ? heat[to] : 0;
        const strength = heat ? 0.5 + (0.35 * value) / 255 : 0;
        for (let c = 0; c < 3; c++) {
          const from = pixels[(Math.min(c, channels - 1) * height + row) * width + column];
          out[4 * to + c] = from + (HEAT[3 * value + c] - from) * strength;
        }
        out[4 * to + 3] = 255;
      }
    }
  });
}

/** A map at every pixel of a picture, from 0 to 255 for its highest value: bilinear, and beyond the outer centres as at the nearest. */
function spread({ rows, columns, values, first, step }, height, width) {
  const scale = 255 / Math.max(1, ...values);
  const across = between(first[1], step[1], columns, width);
  const out = new Uint8ClampedArray(height * width);
  between(first[0], step[0], rows, height).forEach(([top, bottom, y], row) => {
    // The two rows' mean first, then that of its columns.
    const line = Array.from({ length: columns }, (_, i) => {
      const [from, to] = [values[top * columns + i], values[bottom * columns + i]];
      return scale * (from + (to - from) * y);
    });
    across.forEach(([left, right, x], column) => {
      out[row * width + column] = line[left] + (line[right] - line[left]) * x;
    });
  });
  return out;
}

/** Along a side of so many pixels: the two cells that each lies between, and how far it is from the first. */
function between(first, step, cells, pixels) {
  return Array.from({ length: pixels }, (_, pixel) => {
    const held = Math.min(Math.max(((pixel + 0.5) / pixels - first) / step, 0), cells - 1);
    const low = Math.min(Math.floor(held), Math.max(cells - 2, 0));
    return [low, Math.min(low + 1, cells - 1), held - low];
  });
}
