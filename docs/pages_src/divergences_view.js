const plots = Object.fromEntries(["curves", "forward", "reverse"].map(id => [id, new Plot(id, { class: "around" })]));
slider("apart", { label: "distance of humps", min: 0, max: 8, step: 0.05, value: 4 });
slider("share", { label: "share of the left", min: 0.1, max: 0.9, step: 0.01, value: 0.5 });
slider("mean", { label: "mean of <i>q</i>", min: MEANS[0], max: MEANS[1], step: 0.02, value: 0.6 });
slider("width", { label: "width of <i>q</i>", min: WIDTHS[0], max: WIDTHS[1], step: 0.01, value: 1.2, log: true });
choice("hold", { label: "<i>q</i> follows",
  options: { hand: "the hand", forward: "lowest KL(p, q)", reverse: "lowest KL(q, p)" }, value: "hand" });
const place = (mean, width) => { page.set.hold("hand"); page.set.mean(mean); page.set.width(width); };
for (const id of ["mean", "width"]) element(`${id}-input`).addEventListener("input", () => page.set.hold("hand"));
plots.curves.drag((x, y) => place(x, 1 / (Math.sqrt(2 * Math.PI) * Math.max(y, 0.01))));
plots.forward.drag(place);
plots.reverse.drag(place);

const LEVELS = [0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32];

// Marching squares: the line where the values, bent straight along the edges of a cell, have a level. The ends of its
// pieces are shares of the plane's sides: x, y, x, y and so on; two pieces a cell and level at most.
const MOST = 2 * 4 * LEVELS.length * (ROWS - 1) * (COLUMNS - 1);
function contours(values, lines) {
  let count = 0;
  for (let r = 0; r + 1 < ROWS; r++) for (let c = 0; c + 1 < COLUMNS; c++) {
    const i = r * COLUMNS + c, a = values[i], b = values[i + 1], d = values[i + COLUMNS + 1], e = values[i + COLUMNS];
    const low = Math.min(a, b, d, e), high = Math.max(a, b, d, e);
    for (const level of LEVELS) {
      if (level <= low || level > high) continue;
      const end = (x, y) => { lines[count++] = x / (COLUMNS - 1); lines[count++] = y / (ROWS - 1); };
      if ((a < level) !== (b < level)) end(c + (level - a) / (b - a), r);
      if ((b < level) !== (d < level)) end(c + 1, r + (level - b) / (d - b));
      if ((d < level) !== (e < level)) end(c + (level - e) / (d - e), r + 1);
      if ((e < level) !== (a < level)) end(c, r + (level - a) / (e - a));
    }
  }
  return count;
}

const pixels = new ImageData(COLUMNS, ROWS);
function shade(values, picture) {  // dark where the divergence is low, a pixel for each value; the browser smooths it
  const rgb = ink.c1.match(/[\da-f]{2}/gi).map(x => parseInt(x, 16));
  for (let i = 0; i < values.length; i++) {
    const row = ROWS - 1 - Math.floor(i / COLUMNS), at = 4 * (row * COLUMNS + i % COLUMNS);
    for (let k = 0; k < 3; k++) pixels.data[at + k] = rgb[k];
    pixels.data[at + 3] = 190 * Math.exp(-values[i] / 1.5);
  }
  picture.getContext("2d").putImageData(pixels, 0, 0);
}

const known = { key: "" };  // what depends on p alone
for (const name of ["forward", "reverse"]) {
  known[name] = { picture: document.createElement("canvas"), lines: new Float32Array(MOST), count: 0 };
  [known[name].picture.width, known[name].picture.height] = [COLUMNS, ROWS];
}
function ofP({ apart, share }) {
  const key = `${apart} ${share} ${ink.c1}`;
  if (known.key !== key) {
    fillPlanes(apart, share);
    known.key = key;
    known.entropy = negativeEntropy(apart, share);
    known.best = { forward: bestForward(apart, share), reverse: bestReverse(apart, share) };
    for (const name of ["forward", "reverse"]) {
      shade(plane[name], known[name].picture);
      known[name].count = contours(plane[name], known[name].lines);
    }
  }
  return known;
}

function drawPlane(name, { picture, lines, count }, best, q, value) {
  const plot = plots[name], { pen } = plot;
  plot.axes({ x: { range: MEANS, ticks: [-6, -3, 0, 3, 6], name: "mean of q" },
    y: { range: WIDTHS, log: true, ticks: [0.2, 0.5, 1, 2, 5], name: "width of q" }, left: 36, right: 16 });
  const [x0, y0, x1, y1] = plot.box, dx = (x1 - x0) / (COLUMNS - 1) / 2, dy = (y1 - y0) / (ROWS - 1) / 2;
  plot.inside(() => {
    pen.drawImage(picture, x0 - dx, y0 - dy, x1 - x0 + 2 * dx, y1 - y0 + 2 * dy);
    pen.beginPath();
    for (let i = 0; i < count; i += 4) {
      pen.moveTo(x0 + (x1 - x0) * lines[i], y1 + (y0 - y1) * lines[i + 1]);
      pen.lineTo(x0 + (x1 - x0) * lines[i + 2], y1 + (y0 - y1) * lines[i + 3]);
    }
    [pen.strokeStyle, pen.globalAlpha] = [ink.ink, 0.45];
    pen.stroke();
    pen.globalAlpha = 1;
  });
  plot.dots([best[0]], [best[1]], { colour: ink.c2, radius: 5, edge: true });
  plot.dots([q[0]], [q[1]], { radius: 6, edge: true });
  plot.says(`${name === "forward" ? "KL(p, q)" : "KL(q, p)"} over the mean and the width of q. q has `
    + `${shown(value)} nats; the lowest is `
    + `at mean ${fixed(best[0])} and width ${fixed(best[1])}. Drag to move q.`);
}

const line = spaced(-8, 8, 401);
function drawCurves({ apart, share }, [mean, width]) {
  const plot = plots.curves;
  plot.axes({ x: { range: [-8, 8], ticks: [-6, -3, 0, 3, 6], name: "z" },
    y: { range: [0, 0.75], name: "density" }, left: 14, right: 14 });
  const p = line.map(z => Math.exp(logP(z, apart, share)));
  plot.inside(() => {
    plot.area(line, p, { alpha: 0.3 });
    plot.line(line, p);
    plot.line(line, line.map(z => Math.exp(normalLog(z, mean, width))), { colour: ink.c0, width: 2.5 });
  });
  plot.dots([mean], [Math.min(0.75, Math.exp(normalLog(mean, mean, width)))], { radius: 6, edge: true });
  plot.says(`p has humps at ${fixed(-apart / 2)} and ${fixed(apart / 2)}; q has mean ${fixed(mean)} and width `
    + `${fixed(width)}. `
    + "Drag sideways to move its mean, upwards to make it narrower.");
}

page.draw = () => {
  const { apart, share, hold } = page.state, p = ofP(page.state);
  const q = hold === "hand" ? [page.state.mean, page.state.width] : p.best[hold];
  if (hold !== "hand") {  // the sliders follow
    if (Math.abs(q[0] - page.state.mean) > 0.011) page.set.mean(q[0]);
    if (Math.abs(Math.log10(q[1] / page.state.width)) > 0.0055) page.set.width(q[1]);
  }
  const both = ([mean, width]) => [forward(apart, share, mean, width, p.entropy), reverse(apart, share, mean, width)];
  const now = both(q);
  const row = (name, at) => [name, fixed(at[0]), fixed(at[1]), ...both(at).map(value => fixed(value, 4))];
  drawCurves(page.state, q);
  drawPlane("forward", p.forward, p.best.forward, q, now[0]);
  drawPlane("reverse", p.reverse, p.best.reverse, q, now[1]);
  fill("numbers", [row("q now", q), row("lowest KL(p, q)", p.best.forward), row("lowest KL(q, p)", p.best.reverse)]);
  const split = Math.abs(p.best.reverse[0] - p.best.forward[0]) > 0.3;
  says(`KL(p, q) = ${fixed(now[0], 3)} and KL(q, p) = ${fixed(now[1], 3)} nats. ` + (split
    ? "The lowest KL(p, q) covers both humps, the lowest KL(q, p) picks one."
    : "The humps are so near that both divergences choose nearly the same q."));
};
