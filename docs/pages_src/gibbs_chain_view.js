const plots = {
  ring: new Plot("ring"), bars: new Plot("bars"), memory: new Plot("memory"),
  wait: new Plot("wait", { class: "across" }),
};
slider("strength", { label: "strength of the ties", min: 0, max: LARGEST, step: 0.01, value: 1 });
slider("k", { label: "steps taken", min: 0, max: MOST, step: 1, value: 300, show: x => x.toLocaleString("en") });
choice("scan", { label: "a step redraws", options: SCANS, value: "random" });
choice("pace", { label: "Run takes, a frame", options: { 1: "1 step", 10: "10", 100: "100" }, value: "10" });
plots.wait.drag(x => page.set.strength(x));
const advance = count => { page.set.k(page.state.k + count); return page.state.k < MOST; };
runner("run", () => {
  if (page.state.k === MOST) page.set.k(0);
  return advance(Number(page.state.pace));
}, { leap: 10 });
element("step").addEventListener("click", () => advance(1));
element("again").addEventListener("click", () => page.set.k(0));

const binary = x => x.toString(2).padStart(4, "0");
const ROUND = [
  "0110", "0010", "0000", "0001", "1001", "1101", "1111", "1110",
  "1010", "0100", "0011", "1000", "0101", "1011", "1100", "0111",
];
const WANTS = [true, true, false, true];  // whether the pair would rather agree, as its factor has it

function drawRing(x) {
  const plot = plots.ring, { pen } = plot;
  plot.axes({ x: { range: [-1.6, 1.6] }, y: { range: [-1.6, 1.6] }, left: 4, right: 4, top: 4, bottom: 4, bare: true });
  const place = [[0, 1.1], [1.1, 0], [0, -1.1], [-1.1, 0]], radius = 0.33 * (plot.x(1) - plot.x(0));
  for (let i = 0; i < 4; i++) {
    const j = (i + 1) % 4, content = (bit(x, i) === bit(x, j)) === WANTS[i];
    plot.line([place[i][0], place[j][0]], [place[i][1], place[j][1]],
      { colour: content ? ink.c1 : ink.soft, width: content ? 4 : 2, dash: content ? [] : [5, 5] });
  }
  place.forEach(([a, b], i) => {
    pen.beginPath();
    pen.arc(plot.x(a), plot.y(b), radius, 0, 2 * Math.PI);
    [pen.fillStyle, pen.strokeStyle, pen.lineWidth] = [bit(x, i) ? ink.c0 : ink.paper, ink.ink, 2];
    pen.fill();
    pen.stroke();
    const style = { align: "center", colour: bit(x, i) ? ink.paper : ink.ink, weight: "600" };
    plot.words(`${"ABCD"[i]} = ${bit(x, i)}`, plot.x(a), plot.y(b) + 5, style);
  });
  plot.words(binary(x), plot.x(0), plot.y(0) + 6, { align: "center", colour: ink.ink, weight: "600" });
  plot.says(`The state is ${binary(x)}: ${[..."ABCD"].map((name, i) => `${name} is ${bit(x, i)}`).join(", ")}.`);
}

function drawBars(p, shares, x) {
  const plot = plots.bars, top = Math.max(0.2, Math.ceil(10 * Math.max(...p, ...shares)) / 10), { pen } = plot;
  plot.axes({ x: { range: [0, top], ticks: [0, top / 2, top], show: t => t.toFixed(2), name: "share of the time" },
    y: { range: [16, 0] },
    top: 6, left: 42, right: 20 });
  ROUND.forEach((name, row) => {
    const state = parseInt(name, 2), [a, b] = [plot.y(row + 0.12), plot.y(row + 0.88)];
    [pen.fillStyle, pen.globalAlpha] = [ink.c0, 0.55];
    pen.fillRect(plot.x(0), a, plot.x(shares[state]) - plot.x(0), b - a);
    [pen.fillStyle, pen.globalAlpha] = [ink.c1, 1];
    pen.fillRect(plot.x(p[state]) - 1.5, a - 1, 3, b - a + 2);
    const style = state === x ? { colour: ink.ink, weight: "700" } : {};
    plot.words(name, 36, (a + b) / 2 + 4.5, { align: "right", ...style });
  });
  plot.says(`Shares of the visits and exact probabilities: ${ROUND.slice(0, 8).map(name =>
    `${name} ${fixed(shares[parseInt(name, 2)])} and ${fixed(p[parseInt(name, 2)])}`).join(", ")}.`);
}

function measured(path, lag) {  // the autocorrelation of Bob's bit in the run
  const bob = Array.from(path, x => bit(x, BOB)), mean = bob.reduce((sum, b) => sum + b) / bob.length;
  let sum = 0;
  for (let t = lag; t < bob.length; t++) sum += (bob[t] - mean) * (bob[t - lag] - mean);
  return sum / bob.length / (mean * (1 - mean));
}

function drawMemory(exact, second, path, lags) {
  const plot = plots.memory, every = Math.max(1, lags / 25), some = spaced(0, lags, lags / every + 1).map(Math.round);
  plot.axes({ x: { range: [0, lags], ticks: [0, lags / 2, lags], name: "lag k, in steps" },
    y: { range: [-0.3, 1.02], ticks: [0, 0.5, 1], name: "ρₖ" }, left: 34, right: 16 });
  const xs = exact.map((_, k) => k);
  plot.inside(() => {
    plot.line(xs, xs.map(k => second ** k), { colour: ink.soft, width: 1.5, dash: [5, 4] });
    plot.line(xs, exact);
    if (path.length > 2 * lags) {
      const values = some.map(lag => measured(path, lag));
      if (values.every(Number.isFinite)) plot.dots(some, values, { radius: 3 });
    }
  });
  plot.says(`Autocorrelation of Bob's bit: after ${lags / 2} steps exactly ${shown(exact[lags / 2])}.`);
}

const strengths = spaced(0, LARGEST, 31), relaxations = {};
function drawWait({ strength, scan }, second) {
  const plot = plots.wait, values = relaxations[scan] ??= strengths.map(t => 1 / (1 - secondEigenvalue(t, scan)));
  plot.axes({ x: { range: [0, LARGEST], ticks: [0, 0.5, 1], name: "strength of the ties" },
    y: { range: [0.9, 500], log: true, ticks: [1, 10, 100], name: "steps" }, left: 36 });
  plot.inside(() => {
    plot.line(strengths, values);
    plot.line([strength, strength], [0.9, 500], { colour: ink.c0, width: 1 });
  });
  plot.dots([strength], [1 / (1 - second)], { edge: true, radius: 6 });
  plot.says(`Relaxation time ${shown(1 / (1 - second))} steps at strength ${fixed(strength)}. Drag sideways to `
    + `change the strength.`);
}

let exact = {};  // what does not depend on the run
page.draw = () => {
  const { strength, scan, k } = page.state, lags = scan === "random" ? 200 : 50, key = `${strength} ${scan}`;
  if (exact.key !== key) exact = { key, p: distribution(strength), second: secondEigenvalue(strength, scan),
    tau: autocorrelationTime(strength, scan, BOB), rho: autocorrelation(strength, scan, BOB, lags) };
  const { p, second, tau } = exact, path = visits(strength, scan, k), shares = new Float64Array(N);
  for (const x of path) shares[x] += 1 / path.length;
  const of = q => states.reduce((sum, x) => sum + q[x] * bit(x, BOB), 0);
  const distance = states.reduce((sum, x) => sum + Math.abs(shares[x] - p[x]) / 2, 0);
  drawRing(path[k]);
  drawBars(p, shares, path[k]);
  drawMemory(exact.rho, second, path, lags);
  drawWait(page.state, second);
  fill("numbers", [["exact", fixed(second, 5), shown(1 / (1 - second)), shown(tau), fixed(of(p), 4), "0"],
    ["this run", "", "", "", fixed(of(shares), 4), fixed(distance, 4)]]);
  says(`${k.toLocaleString("en")} steps from 1001 count as about ${shown(Math.max(k / tau, 0), 2)} independent `
    + `draws of Bob’s bit. `
    + `The visits are ${fixed(distance, 3)} from p in total variation.`);
};
