// A plot on the canvas `id`, with axes. Draws in CSS pixels, whatever the pixels of the device.
class Plot {
  constructor(id, { class: name = "" } = {}) {
    this.canvas = element(id);
    this.canvas.setAttribute("role", "img");
    if (name) this.canvas.classList.add(name);
    this.pen = this.canvas.getContext("2d");
    new ResizeObserver(() => page.redraw()).observe(this.canvas);
  }

  // Clears, and draws axes. x, y: { range: [low, high], log, ticks, name, label }; ticks false: none.
  axes({ x, y, left = 46, bottom = 40, top = 24, right = 12, bare = false }) {
    const pixels = devicePixelRatio || 1, { pen, canvas } = this;
    [this.width, this.height] = [canvas.clientWidth, canvas.clientHeight];
    const size = [Math.round(this.width * pixels), Math.round(this.height * pixels)];
    if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
    pen.setTransform(pixels, 0, 0, pixels, 0, 0);
    pen.clearRect(0, 0, this.width, this.height);
    this.box = [left, top, this.width - right, this.height - bottom];
    this.x = scale(x, left, this.width - right);
    this.y = scale(y, this.height - bottom, top);
    pen.font = "13px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
    pen.lineWidth = 1;
    this.ticks(x, true);
    this.ticks(y, false);
    if (bare) return;
    const [x0, , x1, y1] = this.box;
    pen.strokeStyle = ink.line;
    pen.beginPath();
    pen.moveTo(x0, y1 + 0.5);
    pen.lineTo(x1, y1 + 0.5);
    pen.stroke();
    pen.fillStyle = ink.soft;
    if (x.name) this.words(x.name, x1, this.height - 8, { align: "right" });
    if (y.name) this.words(y.name, 2, 13);
  }

  ticks({ ticks = [], show = x => String(x).replace("-", "−") }, across) {
    const { pen, box: [x0, y0, x1, y1] } = this;
    for (const tick of ticks || []) {
      const at = Math.round(across ? this.x(tick) : this.y(tick)) + 0.5;
      pen.strokeStyle = ink.grid;
      pen.beginPath();
      if (across) { pen.moveTo(at, y0); pen.lineTo(at, y1); } else { pen.moveTo(x0, at); pen.lineTo(x1, at); }
      pen.stroke();
      if (across) this.words(show(tick), at, y1 + 17, { align: "center", colour: ink.soft });
      else this.words(show(tick), x0 - 6, at + 4, { align: "right", colour: ink.soft });
    }
  }

  words(text, x, y, { align = "left", colour = ink.soft, weight = "" } = {}) {
    const { pen } = this;
    pen.font = `${weight} 13px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif`;
    [pen.textAlign, pen.fillStyle] = [align, colour];
    pen.fillText(text, x, y);
  }

  // Everything that `draw` draws stays inside the axes.
  inside(draw) {
    const { pen, box: [x0, y0, x1, y1] } = this;
    pen.save();
    pen.beginPath();
    pen.rect(x0, y0 - 1, x1 - x0, y1 - y0 + 2);
    pen.clip();
    draw();
    pen.restore();
  }

  trace(xs, ys) {
    this.pen.beginPath();
    for (let i = 0; i < xs.length; i++) this.pen.lineTo(this.x(xs[i]), this.y(ys[i]));
  }

  line(xs, ys, { colour = ink.c1, width = 2, dash = [], alpha = 1 } = {}) {
    const { pen } = this;
    this.trace(xs, ys);
    [pen.strokeStyle, pen.lineWidth, pen.globalAlpha, pen.lineJoin] = [colour, width, alpha, "round"];
    pen.setLineDash(dash);
    pen.stroke();
    pen.setLineDash([]);
    [pen.globalAlpha, pen.lineWidth] = [1, 1];
  }

  area(xs, ys, { colour = ink.c1, alpha = 0.2 } = {}) {
    const { pen } = this, floor = this.box[3];
    this.trace(xs, ys);
    pen.lineTo(this.x(xs[xs.length - 1]), floor);
    pen.lineTo(this.x(xs[0]), floor);
    [pen.fillStyle, pen.globalAlpha] = [colour, alpha];
    pen.fill();
    pen.globalAlpha = 1;
  }

  dots(xs, ys, { colour = ink.c0, radius = 4, alpha = 1, edge = false } = {}) {
    const { pen } = this;
    [pen.fillStyle, pen.globalAlpha] = [colour, alpha];
    pen.beginPath();
    for (let i = 0; i < xs.length; i++) {
      const [x, y] = [this.x(xs[i]), this.y(ys[i])];
      pen.moveTo(x + radius, y);
      pen.arc(x, y, radius, 0, 2 * Math.PI);
    }
    pen.fill();
    pen.globalAlpha = 1;
    if (edge) { [pen.strokeStyle, pen.lineWidth] = [ink.paper, 2]; pen.stroke(); pen.lineWidth = 1; }
  }

  // Many small points, as squares: a thousand of them take less than a millisecond.
  specks(xs, ys, { colour = ink.c0, size = 2.6, alpha = 0.55 } = {}) {
    const { pen } = this;
    [pen.fillStyle, pen.globalAlpha] = [colour, alpha];
    for (let i = 0; i < xs.length; i++) pen.fillRect(this.x(xs[i]) - size / 2, this.y(ys[i]) - size / 2, size, size);
    pen.globalAlpha = 1;
  }

  says(text) {
    this.canvas.setAttribute("aria-label", text);
  }

  // Calls move(x, y) in the units of the axes while a pointer is pressed, be it a mouse, a pen or a finger.
  drag(move) {
    let down = false;
    const tell = event => {
      const box = this.canvas.getBoundingClientRect();
      move(this.x.back(event.clientX - box.left), this.y.back(event.clientY - box.top));
    };
    this.canvas.addEventListener("pointerdown", event => {
      if (event.button !== 0) return;
      down = true;
      this.canvas.setPointerCapture(event.pointerId);
      tell(event);
    });
    this.canvas.addEventListener("pointermove", event => { if (down) tell(event); });
    for (const name of ["pointerup", "pointercancel"]) this.canvas.addEventListener(name, () => { down = false; });
  }
}

// From the units of an axis to pixels, and back.
function scale({ range: [low, high], log = false }, from, to) {
  const f = log ? Math.log : x => x, back = log ? Math.exp : x => x, [a, b] = [f(low), f(high)];
  const map = x => from + (f(x) - a) / (b - a) * (to - from);
  map.back = at => back(a + (at - from) / (to - from) * (b - a));
  return map;
}

const spaced = (low, high, num) => Array.from({ length: num }, (_, i) => low + (high - low) * i / (num - 1));

// Fills the body of the table `id` with rows of texts.
function fill(id, rows) {
  element(id).tBodies[0].innerHTML = rows.map(row => "<tr>" + row.map((text, i) =>
    i ? `<td>${text}</td>` : `<th scope="row">${text}</th>`).join("") + "</tr>").join("");
}

function says(text, warning = false) {
  const line = element("says");
  if (line.textContent !== text) line.textContent = text;
  line.classList.toggle("warning", warning);
}
