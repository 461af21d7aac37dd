// The data are a mixture of Gaussians (share, mean, width); the generator's density is N(mean, width^2).
const MEANS = [-6, 6], WIDTHS = [0.3, 3], LOG_2PI = Math.log(2 * Math.PI);
const DATA = { one: [[1, 0, 1]], two: [[0.5, -2, 0.6], [0.5, 2, 0.6]] };
const H = 0.02, GRID = Float64Array.from({ length: 3001 }, (_, i) => -30 + H * i);
const softplus = a => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a)));
const sigmoid = a => Math.exp(-softplus(-a));
const normalLog = (y, mean, width) => -0.5 * (((y - mean) / width) ** 2 + LOG_2PI) - Math.log(width);

function mixtureLog(y, mixture) {
  const logs = mixture.map(([share, mean, width]) => Math.log(share) + normalLog(y, mean, width)),
    top = Math.max(...logs);
  return top + Math.log(logs.reduce((sum, l) => sum + Math.exp(l - top), 0));
}

function score(y, mixture) {  // d log p / dy
  const log = mixtureLog(y, mixture);
  return mixture.reduce((sum, [share, mean, width]) =>
    sum + share * Math.exp(normalLog(y, mean, width) - log) * (mean - y) / width ** 2, 0);
}

// Of each loss the derivative of g in the critic's logit a.
const LOSSES = {
  minimax: a => -sigmoid(a),
  nonSaturating: a => -sigmoid(-a),
  maximumLikelihood: a => -Math.exp(Math.min(a, 700)),
};

const LOG_P = Object.fromEntries(Object.entries(DATA).map(([name, mixture]) =>
  [name, GRID.map(y => mixtureLog(y, mixture))]));

// The slopes of E_q g(a) in the mean and in the log of the width, with the critic held still: E_q g(a) d log q.
// every: sums over each, or each fifth, ... point of the grid.
function slopes(data, mean, width, every = 1) {
  const log_p = LOG_P[data], sums = [[0, 0], [0, 0], [0, 0]];
  for (let i = 0; i < GRID.length; i += every) {
    const u = (GRID[i] - mean) / width, log_q = -0.5 * (u * u + LOG_2PI) - Math.log(width), a = log_p[i] - log_q;
    const q = Math.exp(log_q), soft = softplus(a);  // q e^a = p, and softplus(-a) = softplus(a) - a
    [-q * soft, q * (soft - a), -Math.exp(log_p[i])].forEach((weight, loss) => {
      sums[loss][0] += weight * u;
      sums[loss][1] += weight * (u * u - 1);
    });
  }
  return sums.map(([first, second]) => [H * every * first / width, H * every * second]);
}

// V(D*), the Jensen-Shannon divergence, KL(data, generator) and KL(generator, data), in nats.
function values(data, mean, width) {
  let [value, jensen, there, back] = [0, 0, 0, 0];
  for (let i = 0; i < GRID.length; i++) {
    const log_p = LOG_P[data][i], log_q = normalLog(GRID[i], mean, width), a = log_p - log_q;
    const [p, q] = [Math.exp(log_p), Math.exp(log_q)];
    value -= H * (p * softplus(-a) + q * softplus(a));
    there += H * p * a;
    back -= H * q * a;
    jensen += H / 2 * (p * (Math.LN2 - softplus(-a)) + q * (Math.LN2 - softplus(a)));
  }
  return [value, jensen, there, back];
}

// How a draw at y is pushed by each loss, -g'(a) a'(y), and D*(y).
function pushes(data, mean, width, y) {
  const a = mixtureLog(y, DATA[data]) - normalLog(y, mean, width);
  const slope = score(y, DATA[data]) + (y - mean) / width ** 2;
  return Object.values(LOSSES).map(g => -g(a) * slope);
}
const critic = (data, mean, width, y) => sigmoid(mixtureLog(y, DATA[data]) - normalLog(y, mean, width));
page.checks = { slopes, values, critic };
page.pushes = pushes;

const plots = {
  curves: new Plot("curves", { class: "around" }), pushes: new Plot("pushes"),
  slopes: new Plot("slopes", { class: "across" }),
};
slider("mean", { label: "generator’s mean", min: MEANS[0], max: MEANS[1], step: 0.02, value: 4 });
slider("width", { label: "its width", min: WIDTHS[0], max: WIDTHS[1], step: 0.02, value: 0.8 });
choice("density", { label: "data", options: { one: "one hump", two: "two humps" }, value: "one" });
plots.curves.drag((x, y) => {
  page.set.mean(x);
  page.set.width(1 / (Math.sqrt(2 * Math.PI) * Math.max(y, 0.01)));
});
plots.slopes.drag(x => page.set.mean(x));

const NAMES = { minimax: "minimax", nonSaturating: "non-saturating", maximumLikelihood: "maximum likelihood" };
const DESCENDS = ["2 JSD", "KL(q, p) − 2 JSD", "KL(p, q)"];
const colours = () => [ink.c3, ink.c2, ink.c1];
const bent = x => Math.asinh(x * 5);  // even near 0, logarithmic far from it
const straight = t => fixed(Math.sinh(t) / 5, 0);
const bentTicks = [-100, -1, 0, 1, 100], line = spaced(-7, 7, 281);

function drawCurves({ mean, width, density }) {
  const plot = plots.curves, p = line.map(y => Math.exp(mixtureLog(y, DATA[density])));
  const q = line.map(y => Math.exp(normalLog(y, mean, width)));
  plot.axes({ x: { range: [-7, 7], ticks: [-6, -3, 0, 3, 6], name: "y" },
    y: { range: [0, 1.04], ticks: [0, 0.5, 1], name: "density, and D*" }, left: 34 });
  plot.inside(() => {
    plot.area(line, p, { colour: ink.c1, alpha: 0.25 });
    plot.line(line, p, { colour: ink.c1 });
    plot.area(line, q, { colour: ink.c0, alpha: 0.25 });
    plot.line(line, q, { colour: ink.c0 });
    plot.line(line, line.map(y => critic(density, mean, width, y)), { colour: ink.ink, width: 1.6 });
  });
  plot.dots([mean], [Math.min(1.04, Math.exp(normalLog(mean, mean, width)))], { radius: 6, edge: true });
  plot.says(`The generator has mean ${fixed(mean)} and width ${fixed(width)}; there the best critic says `
    + `${shown(critic(density, mean, width, mean))}. `
    + "Drag sideways to move the mean, upwards to make it narrower.");
}

function drawPushes({ mean, width, density }) {
  const plot = plots.pushes, all = line.map(y => pushes(density, mean, width, y));
  plot.axes({ x: { range: [-7, 7], ticks: [-6, -3, 0, 3, 6], name: "y" },
    y: { range: [-bent(1000), bent(1000)], ticks: bentTicks.map(bent), show: straight,
      name: "push, to the right above 0" }, left: 44 });
  plot.inside(() => {
    const [low, high] = [mean - 2 * width, mean + 2 * width].map(y => plot.x(y));
    [plot.pen.fillStyle, plot.pen.globalAlpha] = [ink.c0, 0.13];
    plot.pen.fillRect(low, plot.box[1], high - low, plot.box[3] - plot.box[1]);
    plot.pen.globalAlpha = 1;
    colours().forEach((colour, i) => plot.line(line, all.map(push => bent(push[i])), { colour }));
  });
  const middle = clamp(plot.x(mean), plot.box[0] + 55, plot.box[2] - 55);
  plot.words("95 % of its draws", middle, plot.box[1] + 15, { align: "center", colour: ink.ink });
  plot.says(`Pushes on a draw at the generator's mean: ${pushes(density, mean, width, mean).map((push, i) =>
    `${Object.values(NAMES)[i]} ${shown(push)}`).join(", ")}.`);
}

const means = spaced(...MEANS, 81);
let known = {};  // the slopes over all means, for this width and these data
function drawSlopes({ mean, width, density }, now) {
  const plot = plots.slopes, key = `${width} ${density}`;
  if (known.key !== key)
    known = { key, all: means.map(m => slopes(density, m, width, 5).map(([slope]) => bent(-slope))) };
  plot.axes({ x: { range: MEANS, ticks: [-6, -3, 0, 3, 6], name: "mean of the generator" },
    y: { range: [-bent(100), bent(100)], ticks: bentTicks.map(bent), show: straight,
      name: "− slope, to the right above 0" }, left: 44 });
  plot.inside(() => {
    plot.line([mean, mean], [-10, 10], { colour: ink.c0, width: 1 });
    colours().forEach((colour, i) => plot.line(means, known.all.map(slope => slope[i]), { colour }));
  });
  colours().forEach((colour, i) => plot.dots([mean], [bent(-now[i][0])], { colour, radius: 5, edge: true }));
  plot.says("Where each loss sends the mean: "
    + `${now.map(([slope], i) => `${Object.values(NAMES)[i]} ${shown(-slope)}`).join(", ")}. `
    + "Drag sideways to move the mean.");
}

page.draw = () => {
  const { mean, width, density } = page.state, now = slopes(density, mean, width);
  const [value, jensen, there, back] = values(density, mean, width);
  drawCurves(page.state);
  drawPushes(page.state);
  drawSlopes(page.state, now);
  const of = [2 * jensen, back - 2 * jensen, there];
  fill("numbers", Object.values(NAMES).map((name, i) =>
    [name, DESCENDS[i], fixed(of[i], 3), shown(-now[i][0]), shown(-now[i][1])]));
  says(`The best critic is worth V = ${fixed(value, 3)}, between −log 4 = −1.386 (it can only guess) and 0 (it is `
    + `always right). `
    + `JSD = ${fixed(jensen, 3)} of at most log 2 = 0.693 nats.`);
};
