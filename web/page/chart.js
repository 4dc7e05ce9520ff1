// Curves on a canvas.

const MARGIN = { left: 44, right: 10, top: 8, bottom: 22 };

/** Ticks at round numbers. */
function ticks(low, high, count) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((by) => by * power).find((by) => by >= rough);
  const all = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step / 1e6; at += step) all.push(Number(at.toPrecision(12)));
  return all;
}

/**
 * Draws series of points `[x, y]` in the colours of the page's style sheet, from 0 to `most`, or to their own maximum. Many
 * points are thinned out to one a pixel.
 */
export function chart(canvas, series, { most, name }) {
  const style = getComputedStyle(document.documentElement);
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (!width) return;
  const context = canvas.getContext("2d");
  const [across, down] = [Math.round(width * scale), Math.round(height * scale)];
  // Even the size that it has would cost it its memory.
  if (canvas.width !== across) canvas.width = across;
  if (canvas.height !== down) canvas.height = down;
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  const points = series.flatMap(({ points }) => points);
  const right = Math.max(1, ...points.map(([x]) => x));
  const top = most ?? (Math.max(0, ...points.map(([, y]) => y)) * 1.05 || 1);
  const at = ([x, y]) => [
    MARGIN.left + (x / right) * (width - MARGIN.left - MARGIN.right),
    height - MARGIN.bottom - (Math.min(y, top) / top) * (height - MARGIN.top - MARGIN.bottom),
  ];
  context.font = "12px system-ui, sans-serif";
  context.lineWidth = 1;
  context.fillStyle = style.getPropertyValue("--soft");
  context.strokeStyle = style.getPropertyValue("--line");
  for (const y of ticks(0, top, 4)) {
    const [left, down] = at([0, y]);
    context.beginPath();
    context.moveTo(left, down);
    context.lineTo(width - MARGIN.right, down);
    context.stroke();
    context.textAlign = "right";
    context.fillText(String(y), left - 6, down + 4);
  }
  for (const x of ticks(0, right, 5)) {
    context.textAlign = "center";
    context.fillText(String(x), at([x, 0])[0], height - 5);
  }
  for (const { points, colour, dots } of series) {
    context.strokeStyle = context.fillStyle = style.getPropertyValue(colour);
    context.lineWidth = 1.6;
    context.beginPath();
    const each = Math.max(1, Math.floor(points.length / width));
    points.forEach((point, i) => {
      if (i % each === 0 || i === points.length - 1) context.lineTo(...at(point));
    });
    context.stroke();
    // One point makes no line.
    for (const point of dots || points.length === 1 ? points : []) {
      context.beginPath();
      context.arc(...at(point), 3, 0, 2 * Math.PI);
      context.fill();
    }
  }
  const last = series.filter(({ points }) => points.length).map(({ points, label }) => {
    const [x, y] = points.at(-1);
    return `${label} ${y.toFixed(3)} at step ${x}`;
  });
  canvas.setAttribute("aria-label", last.length ? `${name}: ${last.join(", ")}` : `No ${name.toLowerCase()} yet`);
}
