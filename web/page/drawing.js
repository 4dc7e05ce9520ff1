// The canvas to draw on, by pointer and by keyboard.

const STEP = 8;

export class Drawing {
  #canvas;
  #context;
  #changed;
  #strokes = [];
  #stroke = null;
  #pen = { x: 140, y: 140, down: false, shown: false };
  size = 26;
  light = 220;

  /** `changed` is called when the picture has changed. */
  constructor(canvas, changed) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d", { willReadFrequently: true });
    this.#changed = changed;
    canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => this.#end());
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("blur", () => this.#show(false));
    this.#paint();
  }

  get isEmpty() {
    return this.#strokes.length === 0;
  }

  /** The picture as it is, without the mark of the pen. */
  get picture() {
    const shown = this.#pen.shown;
    this.#pen.shown = false;
    this.#paint();
    const { width, height } = this.#canvas;
    const rgba = new Uint8Array(this.#context.getImageData(0, 0, width, height).data.buffer);
    this.#pen.shown = shown;
    this.#paint();
    return { form: "pixels", width, height, rgba };
  }

  clear() {
    this.#strokes = [];
    this.#end();
    this.#paint();
    this.#changed();
  }

  undo() {
    this.#strokes.pop();
    this.#end();
    this.#paint();
    this.#changed();
  }

  #place(event) {
    const box = this.#canvas.getBoundingClientRect();
    return {
      x: ((event.clientX - box.left) / box.width) * this.#canvas.width,
      y: ((event.clientY - box.top) / box.height) * this.#canvas.height,
    };
  }

  #begin(event) {
    this.#canvas.setPointerCapture(event.pointerId);
    this.#start(this.#place(event));
  }

  #move(event) {
    if (this.#stroke && !this.#pen.down) {
      for (const one of event.getCoalescedEvents?.() ?? [event]) this.#stroke.points.push(this.#place(one));
      this.#paint();
      this.#changed();
    }
  }

  #start(point) {
    this.#stroke = { size: this.size, light: this.light, points: [point] };
    this.#strokes.push(this.#stroke);
    this.#paint();
    this.#changed();
  }

  #end() {
    this.#stroke = null;
    this.#pen.down = false;
  }

  #key(event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const key = event.key.toLowerCase();
    if (moves[event.key]) {
      const [x, y] = moves[event.key];
      const hold = (at, most) => Math.min(Math.max(at, 0), most);
      this.#pen.x = hold(this.#pen.x + STEP * x, this.#canvas.width);
      this.#pen.y = hold(this.#pen.y + STEP * y, this.#canvas.height);
      if (this.#pen.down) {
        this.#stroke.points.push({ x: this.#pen.x, y: this.#pen.y });
        this.#changed();
      }
    } else if (event.key === " ") {
      if (this.#pen.down) {
        this.#end();
      } else {
        this.#start({ x: this.#pen.x, y: this.#pen.y });
        this.#pen.down = true;
      }
    } else if (key === "c" && !event.ctrlKey && !event.metaKey) {
      this.clear();
    } else if (key === "z") {
      this.undo();
    } else {
      return;
    }
    event.preventDefault();
    this.#show(true);
  }

  #show(shown) {
    this.#pen.shown = shown;
    this.#paint();
  }

  #paint() {
    const context = this.#context;
    context.fillStyle = "#000";
    context.fillRect(0, 0, this.#canvas.width, this.#canvas.height);
    context.lineCap = context.lineJoin = "round";
    for (const { size, light, points } of this.#strokes) {
      context.strokeStyle = `rgb(${light} ${light} ${light})`;
      context.lineWidth = size;
      context.beginPath();
      points.forEach(({ x, y }) => context.lineTo(x, y));
      // A dot is a line of no length.
      context.lineTo(points.at(-1).x + 0.01, points.at(-1).y);
      context.stroke();
    }
    if (this.#pen.shown) {
      context.strokeStyle = this.#pen.down ? "#ffb35c" : "#d9a6f5";
      context.lineWidth = 2;
      context.beginPath();
      context.arc(this.#pen.x, this.#pen.y, this.size / 2 + 2, 0, 2 * Math.PI);
      context.stroke();
    }
  }
}
