// Lengths are in units of sigma: w = |W| / sigma, a = w^2. The goal is w = sqrt(v - 1).
const MOST = 3000, CLOSE = 0.01;

function emStep(w, v) {
  const a = w * w;
  return w * v * (1 + a) / (a * v + 1 + a);
}

// EM, and then the prior is fitted too: z is divided by the root of S_zz, and W is multiplied by it.
function expandedStep(w, v) {
  const a = w * w;
  return emStep(w, v) * Math.sqrt(a * v / (1 + a) ** 2 + 1 / (1 + a));
}

const STEPS = { EM: emStep, expanded: expandedStep };
const rates = v => [1 - 2 * (v - 1) / v ** 2, 1 / v ** 2];
const logLikelihood = (w, v) => -0.5 * (Math.log(2 * Math.PI) + Math.log1p(w * w) + v / (1 + w * w));
const below = (w, v) => {  // nats below the highest: (r - 1 - log r) / 2 with r = v / (1 + a), without cancellation
  const excess = (v - 1 - w * w) / (1 + w * w);
  return Math.abs(excess) < 1e-4 ? excess ** 2 / 4 - excess ** 3 / 6 : 0.5 * (excess - Math.log1p(excess));
};

function path(name, start, v, count) {  // w before each iteration, from the start on
  const w = [start * Math.sqrt(v - 1)];
  while (w.length <= count) w.push(STEPS[name](w[w.length - 1], v));
  return w;
}
page.checks = {
  steps: (start, v, count) => Object.keys(STEPS).map(name => path(name, start, v, count)),
  logLikelihood: (start, v, count) => Object.keys(STEPS).map(name =>
    path(name, start, v, count).map(w => logLikelihood(w, v))),
  rates,
};
page.below = below;

const plots = { map: new Plot("map", { class: "across" }), lengths: new Plot("lengths"), nats: new Plot("nats") };
slider("v", { label: "data variance <i>v</i>", min: 1.5, max: 1000, step: 0.01, value: 30, log: true,
  show: v => shown(v) });
slider("start", { label: "start, of best |<i>W</i>|", min: 0.02, max: 30, step: 0.01, value: 0.08, log: true,
  show: r => shown(r, 2) });
plots.map.drag(r => page.set.start(r));

const colours = () => ({ EM: ink.c1, expanded: ink.c0 });
const times = [1, 10, 100, 1000], powers = { range: [0.015, 40], log: true, ticks: [0.1, 1, 10] };

function drawMap(paths, v, start) {
  const plot = plots.map, goal = Math.sqrt(v - 1);
  const ratios = Array.from({ length: 121 }, (_, i) => 0.015 * (40 / 0.015) ** (i / 120));
  plot.axes({ x: { ...powers, name: "|W| / the best, now" }, y: { ...powers, name: "after an iteration" }, left: 34 });
  plot.inside(() => {
    plot.line([0.015, 40], [0.015, 40], { colour: ink.soft, width: 1.2, dash: [5, 4] });
    for (const [name, colour] of Object.entries(colours())) {
      plot.line(ratios, ratios.map(r => STEPS[name](r * goal, v) / goal), { colour });
      const w = paths[name].slice(0, 400).map(w => w / goal), xs = [w[0]], ys = [w[0]];
      for (let i = 1; i < w.length; i++) { xs.push(w[i - 1], w[i]); ys.push(w[i], w[i]); }
      plot.line(xs, ys, { colour, width: 1.1, alpha: 0.75 });
    }
    plot.line([start, start], [0.015, start], { colour: ink.soft, width: 1 });
    plot.dots([start], [start], { colour: ink.ink, edge: true, radius: 6 });
  });
  plot.says(`One iteration against no change. The start is ${shown(start, 2)} times the best length. Drag sideways `
    + `to move it.`);
}

function drawOver(plot, paths, f, y) {
  const xs = paths.EM.map((_, i) => i + 1);
  plot.axes({ x: { range: [1, MOST + 1], log: true, ticks: times, name: "iteration, 1 is the start" }, y });
  plot.inside(() => {
    for (const [name, colour] of Object.entries(colours())) {
      const values = paths[name].map(f);
      plot.line(xs, values, { colour });
      plot.dots(xs.slice(0, 12), values.slice(0, 12), { colour, radius: 3 });
    }
  });
}

function iterations(w, v) {
  const i = w.findIndex(one => below(one, v) < CLOSE);
  return i < 0 ? `over ${MOST.toLocaleString("en")}` : String(i);
}

const digits = rate => rate > 0.001 ? fixed(rate, 5) : shown(rate, 2);

page.draw = () => {
  const { v, start } = page.state, goal = Math.sqrt(v - 1);
  const paths = { EM: path("EM", start, v, MOST), expanded: path("expanded", start, v, MOST) };
  drawMap(paths, v, start);
  drawOver(plots.lengths, paths, w => w / goal, { ...powers, name: "|W| / the best" });
  drawOver(plots.nats, paths, w => Math.max(below(w, v), 1e-9),
    { range: [1e-6, 1e4], log: true, ticks: [1e-6, 1e-3, 1, 1e3], show: t => t < 1e-3 ? "10⁻⁶" : String(t),
      name: "nats below the best" });
  const now = {};
  const rows = [["EM", "EM"], ["expanded", "expanded EM"]].map(([name, text], i) => {
    const w = paths[name], error = j => Math.abs(Math.log(w[j] / goal)), rate = error(11) / error(10);
    now[name] = iterations(w, v);
    return [text, digits(rates(v)[i]), error(10) > 1e-12 ? digits(rate) : "arrived", now[name],
      fixed(logLikelihood(w[10], v), 3)];
  });
  fill("numbers", rows);
  plots.lengths.says(`From ${shown(start, 2)} times the best length: EM is at ${shown(paths.EM[10] / goal)} after `
    + `10 iterations, `
    + `expanded EM at ${shown(paths.expanded[10] / goal)}.`);
  plots.nats.says(`Iterations to come within ${CLOSE} nats of the highest likelihood: EM ${now.EM}, expanded EM `
    + `${now.expanded}.`);
  says(`With v = ${shown(v)} EM needs ${now.EM} iterations to come within ${CLOSE} nats of the highest likelihood, `
    + `expanded EM ${now.expanded}. `
    + `Near the goal an iteration of EM leaves ${shown(100 * rates(v)[0])} % of an error, one of expanded EM `
      + `${shown(100 * rates(v)[1], 2)} %.`);
};
