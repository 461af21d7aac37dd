// p has two humps of width HUMP, at -apart / 2 with the share `share`, and at apart / 2. q = N(mean, width^2).
const HUMP = 0.7, LOG_2PI = Math.log(2 * Math.PI), MEANS = [-6, 6], WIDTHS = [0.2, 5];
const normalLog = (x, mean, width) => -0.5 * (((x - mean) / width) ** 2 + LOG_2PI) - Math.log(width);

function logP(x, apart, share) {
  const a = Math.log(share) + normalLog(x, -apart / 2, HUMP), b = Math.log(1 - share) + normalLog(x, apart / 2, HUMP);
  return Math.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b)));
}

// The first and the second derivative of log p: a mixture of the two humps' own.
function slopes(x, apart, share) {
  const a = Math.log(share) + normalLog(x, -apart / 2, HUMP), b = Math.log(1 - share) + normalLog(x, apart / 2, HUMP);
  const left = 1 / (1 + Math.exp(b - a)), [u, v] = [-(x + apart / 2) / HUMP ** 2, -(x - apart / 2) / HUMP ** 2];
  return [left * u + (1 - left) * v, left * (1 - left) * (u - v) ** 2 - 1 / HUMP ** 2];
}

// KL(p, q): E_p log p by a sum over a grid, and the rest from the mean and the variance of p.
function moments(apart, share) {
  return { mean: (0.5 - share) * apart, variance: HUMP ** 2 + share * (1 - share) * apart ** 2 };
}

function negativeEntropy(apart, share) {
  const half = apart / 2 + 9 * HUMP, num = 2401, h = 2 * half / (num - 1);
  let sum = 0;
  for (let i = 0; i < num; i++) { const log = logP(-half + i * h, apart, share); sum += Math.exp(log) * log; }
  return h * sum;
}

function forward(apart, share, mean, width, entropy = negativeEntropy(apart, share)) {
  const p = moments(apart, share);
  return entropy + 0.5 * LOG_2PI + Math.log(width) + 0.5 * (p.variance + (p.mean - mean) ** 2) / width ** 2;
}

// KL(q, p): E_q log p by a sum over mean + width u, where u has the weights of a normal.
function nodes(num, half) {
  const u = spaced(-half, half, num), h = u[1] - u[0];
  return { u, weight: u.map(x => h * Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI)) };
}
const FINE = nodes(4001, 10), COARSE = nodes(401, 8);

function reverse(apart, share, mean, width, { u, weight } = FINE) {
  let sum = 0;
  for (let i = 0; i < u.length; i++) sum += weight[i] * logP(mean + width * u[i], apart, share);
  return -0.5 * (1 + LOG_2PI) - Math.log(width) - sum;
}

function bestForward(apart, share) {
  const { mean, variance } = moments(apart, share);
  return [mean, Math.sqrt(variance)];
}

// Newton's method in the mean and the log of the width, held back until it goes down.
function descend(apart, share, mean, width) {
  let value = reverse(apart, share, mean, width, COARSE);
  for (let round = 0; round < 40; round++) {
    let [g, ug, h, uh, uuh] = [0, 0, 0, 0, 0];
    COARSE.u.forEach((u, i) => {
      const [one, two] = slopes(mean + width * u, apart, share), w = COARSE.weight[i];
      g += w * one; ug += w * u * one; h += w * two; uh += w * u * two; uuh += w * u * u * two;
    });
    const slope = [-g, -1 - width * ug], [a, b] = [-h, -width * uh];
    let c = -width * ug - width ** 2 * uuh, more = 0;
    while ((a + more) * (c + more) - b * b < 1e-3 || a + more <= 0) more = 2 * more + 0.1;
    const det = (a + more) * (c + more) - b * b;
    const step = [((c + more) * slope[0] - b * slope[1]) / det, ((a + more) * slope[1] - b * slope[0]) / det];
    let t = 1, next;
    do {
      next = reverse(apart, share, mean - t * step[0], width * Math.exp(-t * step[1]), COARSE);
      t /= 2;
    } while (next > value && t > 1e-6);
    if (next > value) break;
    [mean, width] = [mean - 2 * t * step[0], width * Math.exp(-2 * t * step[1])];
    const gained = value - next;
    value = next;
    if (gained < 1e-14 && Math.hypot(...slope) < 1e-7) break;
  }
  return { mean, width, value };
}

// The lowest of the descents from each hump, the likelier one first, and from between.
function bestReverse(apart, share) {
  const humps = share > 0.5 ? [-apart / 2, apart / 2] : [apart / 2, -apart / 2];
  const found = humps.map(hump => descend(apart, share, hump, HUMP));
  found.push(descend(apart, share, ...bestForward(apart, share)));
  const best = found.reduce((a, b) => b.value < a.value - 1e-9 ? b : a);
  return [best.mean, best.width];
}
page.checks = { forward, reverse: (...args) => reverse(...args), bestForward };
page.bestReverse = bestReverse;

// Both divergences over the plane of mean and log width, row by row. Only to look at: log p is interpolated.
const ROWS = 41, COLUMNS = 61, DRAFT = nodes(61, 4);
const planeMeans = spaced(...MEANS, COLUMNS), planeWidths = spaced(...WIDTHS.map(Math.log), ROWS).map(Math.exp);
function planes(apart, share) {
  const entropy = negativeEntropy(apart, share), low = -27, h = 0.02;
  const table = Float64Array.from({ length: 2701 }, (_, i) => logP(low + i * h, apart, share));
  const total = DRAFT.weight.reduce((sum, w) => sum + w);
  const expected = (mean, width) => {
    let sum = 0;
    for (let i = 0; i < DRAFT.u.length; i++) {
      const at = (mean + width * DRAFT.u[i] - low) / h, j = Math.floor(at);
      sum += DRAFT.weight[i] * (table[j] + (at - j) * (table[j + 1] - table[j]));
    }
    return sum / total;
  };
  const over = f => planeWidths.flatMap(width => planeMeans.map(mean => f(mean, width)));
  return {
    forward: over((mean, width) => forward(apart, share, mean, width, entropy)),
    reverse: over((mean, width) => -0.5 * (1 + LOG_2PI) - Math.log(width) - expected(mean, width)),
  };
}
