// A pad to draw on, with a finger, a pen or a mouse; strokes can be taken back. By keyboard: arrows move the pen, space puts
// it down and lifts it, Escape clears.

const INK = "#000", PAPER = "#fff";

export class Pad {
  /** `changed` is called after every bit of a stroke. `thick` is the pen's width as a share of the pad's. */
  constructor(canvas, changed, thick = 0.075) {
    this.canvas = canvas;
    this.changed = changed;
    this.thick = thick * canvas.width;
    this.strokes = [];
    this.drawing = new Map(); // the strokes that fingers are at, by pointer
    this.picture = null; // a picture that was dropped, drawn upon
    this.source = null; // what that picture was made of
    this.pen = { x: canvas.width / 2, y: canvas.height / 2, stroke: null }; // the keyboard's
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    canvas.addEventListener("pointerdown", event => this.#begin(event));
    canvas.addEventListener("pointermove", event => this.#go(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, event => this.drawing.delete(event.pointerId));
    canvas.addEventListener("keydown", event => this.#key(event));
    canvas.addEventListener("blur", () => { if (this.pen.shown) { this.pen.shown = false; this.#draw(); } });
    this.#draw();
  }

  get empty() {
    return !this.strokes.length && !this.picture;
  }

  /** What the picture was made of, while nothing is drawn upon it: better than what the pad can show of it. Else null. */
  get untouched() {
    return this.strokes.length ? null : this.source;
  }

  clear() {
    this.strokes = [];
    this.#replace(null, null);
    this.changed();
  }

  undo() {
    if (this.strokes.pop()) this.#replace(this.picture, this.source);
    else this.#replace(null, null);
    this.changed();
  }

  /** Show a picture (an ImageBitmap, the pad's from now on), whole; `source` is what it was made of. */
  show(bitmap, source) {
    this.strokes = [];
    this.#replace(bitmap, source);
  }

  #replace(picture, source) {
    if (this.picture !== picture) this.picture?.close();
    Object.assign(this, { picture, source });
    this.drawing.clear();
    this.pen.stroke = null;
    this.#draw();
  }

  #place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width * this.canvas.width, (event.clientY - box.top) / box.height * this.canvas.height];
  }

  #begin(event) {
    if (event.button > 0) return;
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    const stroke = [this.#place(event)];
    this.drawing.set(event.pointerId, stroke);
    this.strokes.push(stroke);
    this.#draw();
    this.changed();
  }

  #go(event) {
    const stroke = this.drawing.get(event.pointerId);
    if (!stroke) return;
    for (const one of event.getCoalescedEvents?.() ?? [event]) stroke.push(this.#place(one));
    this.#draw();
    this.changed();
  }

  #key(event) {
    const step = this.canvas.width / 28;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (event.key in moves) {
      const [x, y] = moves[event.key];
      this.pen.x = Math.min(this.canvas.width, Math.max(0, this.pen.x + x));
      this.pen.y = Math.min(this.canvas.height, Math.max(0, this.pen.y + y));
      this.pen.stroke?.push([this.pen.x, this.pen.y]);
    } else if (event.key === " ") {
      this.pen.stroke = this.pen.stroke ? null : [[this.pen.x, this.pen.y]];
      if (this.pen.stroke) this.strokes.push(this.pen.stroke);
    } else if (event.key === "Escape") {
      this.clear();
    } else if (event.key === "z" && (event.ctrlKey || event.metaKey)) {
      this.undo();
    } else {
      return;
    }
    event.preventDefault();
    this.pen.shown = true;
    this.#draw();
    if (this.pen.stroke) this.changed();
  }

  /** What was drawn, without the keyboard's pen. */
  drawn() {
    this.#draw(false);
    const { width, height } = this.canvas;
    const pixels = this.context.getImageData(0, 0, width, height);
    this.#draw();
    return { data: pixels.data, width, height };
  }

  #draw(withPen = true) {
    const { context: c, canvas } = this;
    c.fillStyle = PAPER;
    c.fillRect(0, 0, canvas.width, canvas.height);
    if (this.picture) {
      const scale = Math.min(canvas.width / this.picture.width, canvas.height / this.picture.height);
      const w = this.picture.width * scale, h = this.picture.height * scale;
      c.imageSmoothingEnabled = scale < 1;
      c.drawImage(this.picture, (canvas.width - w) / 2, (canvas.height - h) / 2, w, h);
    }
    c.strokeStyle = c.fillStyle = INK;
    c.lineWidth = this.thick;
    c.lineCap = c.lineJoin = "round";
    for (const stroke of this.strokes) {
      c.beginPath();
      stroke.forEach(([x, y], i) => i ? c.lineTo(x, y) : c.moveTo(x, y));
      if (stroke.length === 1) c.lineTo(stroke[0][0] + 0.01, stroke[0][1]);
      c.stroke();
    }
    if (withPen && this.pen.shown) {
      c.strokeStyle = this.pen.stroke ? "#D55E00" : "#0072B2";
      c.lineWidth = 2;
      c.beginPath();
      c.arc(this.pen.x, this.pen.y, this.thick / 2, 0, 7);
      c.stroke();
    }
  }
}
