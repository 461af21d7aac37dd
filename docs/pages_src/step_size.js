// Lengths along each direction are measured in its own standard deviation: there a step is x' = A x + noise u.
const CHAINS = 1000, MOST = 300, START = 2.5, LIMIT = 2;

// How a step acts along the stiff and the soft direction. preconditioned: true or false.
function motion(s, kappa, preconditioned) {
  const noise = preconditioned ? [s, s] : [s, s / Math.sqrt(kappa)];
  return { noise, A: noise.map(n => 1 - n * n / 2) };
}

const stationary = (s, kappa, preconditioned) =>
  motion(s, kappa, preconditioned).noise.map(n => n < LIMIT ? 1 / (1 - n * n / 4) : Infinity);

// Mean and variance after k steps from START, exactly: A^k START, and noise^2 (1 + A^2 + ... + A^(2k - 2)).
function law(s, kappa, preconditioned, k) {
  const { A, noise } = motion(s, kappa, preconditioned);
  const sum = a => Math.abs(1 - a * a) < 1e-12 ? k : (1 - a ** (2 * k)) / (1 - a * a);
  return { mean: A.map(a => START * a ** k), variance: noise.map((n, i) => n * n * sum(A[i])) };
}
page.checks = { stationary, multipliers: (...args) => motion(...args).A };
page.law = law;

const random = normals(2), noises = [];  // one array of 2 CHAINS numbers for each step, made when it is needed
let cloud = { key: "", k: 0, x: null };
function chains(s, kappa, preconditioned, k) {
  const key = [s, kappa, preconditioned].join();
  if (cloud.key !== key || cloud.k > k) cloud = { key, k: 0, x: new Float64Array(2 * CHAINS).fill(START) };
  const { A, noise } = motion(s, kappa, preconditioned), { x } = cloud;
  for (; cloud.k < k; cloud.k++) {
    const u = noises[cloud.k] ??= Float32Array.from({ length: 2 * CHAINS }, random);
    for (let i = 0; i < 2; i++) for (let j = i; j < 2 * CHAINS; j += 2) x[j] = A[i] * x[j] + noise[i] * u[j];
  }
  return [0, 1].map(i => x.filter((_, j) => j % 2 === i));
}
page.chains = chains;

function variance(x) {
  const mean = x.reduce((sum, v) => sum + v, 0) / x.length;
  return x.reduce((sum, v) => sum + (v - mean) ** 2, 0) / x.length;
}

const plots = { stiff: new Plot("stiff"), plane: new Plot("plane"), bias: new Plot("bias", { class: "across" }) };
slider("s", { label: "step size <i>s</i>", min: 0.05, max: 2.3, step: 0.01, value: 0.5 });
slider("kappa", { label: "condition number κ", min: 1, max: 25, step: 0.5, value: 9, show: x => fixed(x, 1) });
slider("k", { label: "steps taken", min: 0, max: MOST, step: 1, value: 8, show: String });
choice("kind", { label: "chain", options: { plain: "plain", preconditioned: "preconditioned" }, value: "plain" });
plots.bias.drag(s => page.set.s(s));
const advance = () => { page.set.k(page.state.k + 1); return page.state.k < MOST; };
let frame = 0;
const run = runner("run", () => {  // about twelve steps a second: slow enough to be followed
  if (!still.matches && frame++ % 5) return true;
  if (page.state.k === MOST) page.set.k(0);
  return advance();
});
element("step").addEventListener("click", advance);
element("again").addEventListener("click", () => page.set.k(0));

const normal = (x, mean, v) => Math.exp(-0.5 * (x - mean) ** 2 / v) / Math.sqrt(2 * Math.PI * v);
const line = spaced(-7, 7, 281);

function drawStiff(x, mean, v) {
  const plot = plots.stiff, top = v > 0 ? clamp(1.15 / Math.sqrt(2 * Math.PI * v), 0.46, 1.2) : 1.2, width = 0.25;
  plot.axes({ x: { range: [-7, 7], ticks: [-6, -3, 0, 3, 6], name: "z, in standard deviations" },
    y: { range: [0, top], name: "density" }, left: 14 });
  const counts = new Float64Array(56);
  for (const value of x) {
    const i = Math.floor((value + 7) / width);
    if (i >= 0 && i < 56) counts[i] += 1 / CHAINS / width;
  }
  plot.inside(() => {
    plot.area(line, line.map(z => normal(z, 0, 1)), { colour: ink.soft });
    plot.pen.fillStyle = ink.c0;
    plot.pen.globalAlpha = 0.5;
    counts.forEach((c, i) => {
      const [a, b] = [plot.x(-7 + i * width), plot.x(-7 + (i + 1) * width)];
      plot.pen.fillRect(a + 0.5, plot.y(c), b - a - 1, plot.box[3] - plot.y(c));
    });
    plot.pen.globalAlpha = 1;
    if (v > 0) plot.line(line, line.map(z => normal(z, mean, v)));
  });
  plot.says(`The chains along the stiff direction: exact mean ${shown(mean)}, exact variance ${shown(v)}; the `
    + `target has 0 and 1.`);
}

const circle = spaced(0, 2 * Math.PI, 121);
function drawPlane([stiff, soft], { mean, variance: v }, kappa) {
  const plot = plots.plane, root = Math.sqrt(kappa), half = Math.max(6, 3.6 * root);
  const high = half * (plot.canvas.clientHeight - 64) / (plot.canvas.clientWidth - 28);
  const ticks = half > 10 ? [-15, -10, -5, 0, 5, 10, 15] : half > 7 ? [-8, -4, 0, 4, 8] : [-6, -3, 0, 3, 6];
  plot.axes({ x: { range: [-half, half], ticks: ticks.filter(t => Math.abs(t) < half), name: "soft direction" },
    y: { range: [-high, high], name: "stiff direction" }, left: 14, right: 14 });
  const ellipse = (m, w) => [circle.map(t => root * (m[1] + 2 * Math.sqrt(w[1]) * Math.cos(t))),
    circle.map(t => m[0] + 2 * Math.sqrt(w[0]) * Math.sin(t))];
  plot.inside(() => {
    plot.trace(...ellipse([0, 0], [1, 1]));
    [plot.pen.fillStyle, plot.pen.globalAlpha] = [ink.soft, 0.22];
    plot.pen.fill();
    plot.specks(soft.map(x => root * x), stiff);
    if (v[0] < 1e6) plot.line(...ellipse(mean, v));
  });
  plot.says(`A cloud of ${CHAINS} chains over the target. Exact standard deviations, as multiples of the target's: `
    + `stiff ${shown(Math.sqrt(v[0]))}, soft ${shown(Math.sqrt(v[1]))}.`);
}

const steps = spaced(0.02, 1.999, 300);
function drawBias({ s, kappa }, preconditioned, now) {
  const plot = plots.bias;
  plot.axes({ x: { range: [0, 2.3], ticks: [0, 0.5, 1, 1.5, 2], name: "step size s" },
    y: { range: [0.1, 100], log: true, ticks: [0.1, 1, 10, 100], name: "variance / target’s" } });
  plot.inside(() => {
    plot.pen.fillStyle = ink.fill;
    plot.pen.fillRect(plot.x(LIMIT), plot.box[1], plot.box[2] - plot.x(LIMIT), plot.box[3] - plot.box[1]);
    const curves = steps.map(step => stationary(step, kappa, preconditioned));
    plot.line(steps, curves.map(c => c[0]));
    plot.line(steps, curves.map(c => c[1]), { colour: ink.c2, dash: [7, 5] });
    plot.line([LIMIT, LIMIT], [0.1, 100], { colour: ink.soft, width: 1 });
    plot.line([s, s], [0.1, 100], { colour: ink.c0, width: 1 });
    plot.dots([s, s], now.map(v => clamp(v, 0.1, 100)), { edge: true, radius: 5.5 });
  });
  plot.words("limit", plot.x(LIMIT) - 6, plot.box[1] + 14, { align: "right" });
  plot.says(`Step size ${fixed(s)}; the limit is ${LIMIT}. The variance settles at `
    + `${stationary(s, kappa, preconditioned)
      .map(v => shown(v)).join(" times the target's in the stiff direction, and ")} times in the soft one. `
    + `Drag sideways to move s.`);
}

function explain({ s, kappa, k }, preconditioned, { variance: v }, [a]) {
  const times = fixed(Math.abs(a)), limit = kappa > 1 && !preconditioned
    ? " The soft direction alone would still be stable." : "";
  if (Math.abs(s - LIMIT) < 1e-9) return `s = 2 is the limit itself: A = −1. Every step turns the cloud over and `
    + `adds 4 to its variance, without end.${limit}`;
  if (s > LIMIT) return `s = ${fixed(s)} is beyond the limit 2: A = −${times}. Every step throws a chain to the `
    + `other side, ${times} times as far `
    + `out as it was. After ${k} steps the exact standard deviation is ${shown(Math.sqrt(v[0]))}, and there is `
      + `nothing to settle at.${limit}`;
  if (s > Math.SQRT2 + 0.005) return `A = −${times} is negative: a chain overshoots to the other side at every `
    + `step, and the cloud settles too wide.`;
  if (s > 1.39) return "A is nearly 0: a chain forgets in one step where it was. "
    + "The price is a variance twice as large as it should be.";
  const halved = Math.log(0.5) / Math.log(motion(s, kappa, preconditioned).A[1]);
  return `A = ${times}: the chain is stable. Along the soft direction a distance is halved in ${shown(halved, 2)} steps`
    + (halved > 20 ? ": small steps are nearly unbiased, and get nowhere." : ".");
}

page.draw = () => {
  const { s, kappa, k } = page.state, preconditioned = page.state.kind === "preconditioned";
  const x = chains(s, kappa, preconditioned, k), now = law(s, kappa, preconditioned, k);
  const { A } = motion(s, kappa, preconditioned);
  const measured = x.map(variance), end = stationary(s, kappa, preconditioned);
  drawStiff(x[0], now.mean[0], now.variance[0]);
  drawPlane(x, now, kappa);
  drawBias(page.state, preconditioned, measured);
  const halved = a => {
    const n = Math.log(0.5) / Math.log(Math.abs(a));
    return n > 0 ? shown(Math.max(n, 0.01), 2) : "never";
  };
  fill("numbers", ["stiff", "soft"].map((name, i) =>
    [name, fixed(A[i], 3), halved(A[i]), shown(now.variance[i], 4), shown(measured[i], 4), shown(end[i], 4)]));
  says(explain(page.state, preconditioned, now, A), s >= LIMIT);
};
