// p has two humps of width HUMP, at -apart / 2 with the share `share`, and at apart / 2. q = N(mean, width^2).
const HUMP = 0.7, LOG_2PI = Math.log(2 * Math.PI), MEANS = [-6, 6], WIDTHS = [0.2, 5];
const normalLog = (x, mean, width) => -0.5 * (((x - mean) / width) ** 2 + LOG_2PI) - Math.log(width);
const softplus = t => Math.max(t, 0) + Math.log1p(Math.exp(-Math.abs(t)));

// Both humps have one width, so the log of their ratio is a line, and log p a parabola and the softplus of that line.
const ratio = (apart, share) => ({ odds: Math.log((1 - share) / share), slope: apart / HUMP ** 2 });

function logP(x, apart, share) {
  const { odds, slope } = ratio(apart, share);
  return Math.log(share) + normalLog(x, -apart / 2, HUMP) + softplus(odds + slope * x);
}

// E softplus(m + s u) for a normal u, and its derivatives: a sum over a grid of u. Softplus is smooth up to pi from the
// real line, so a grid with the step h is wrong by about exp(-2 pi^2 / (s h)): the larger s, the finer it is.
const FINEST = 1 / 128, HALF = 9 / FINEST;
const NORMAL = Float64Array.from({ length: 2 * HALF + 1 }, (_, i) => Math.exp(-0.5 * ((i - HALF) * FINEST) ** 2));
function softplusMean(m, s) {
  let stride = 64, total = 0, value = 0, one = 0, u1 = 0, two = 0, u2 = 0, uu2 = 0;
  while (stride > 1 && s * stride * FINEST > 0.65) stride /= 2;
  for (let i = 0; i < NORMAL.length; i += stride) {
    const u = (i - HALF) * FINEST, w = NORMAL[i], t = m + s * u, e = Math.exp(-Math.abs(t)), d = w / (1 + e);
    const first = t > 0 ? d : e * d, second = e * d / (1 + e);
    total += w; value += w * ((t > 0 ? t : 0) + Math.log1p(e));
    one += first; u1 += u * first; two += second; u2 += u * second; uu2 += u * u * second;
  }
  return { value: value / total, m: one / total, s: u1 / total, mm: two / total, ms: u2 / total, ss: uu2 / total };
}

function expectedLogP(apart, share, mean, width) {
  const { odds, slope } = ratio(apart, share), spread = (mean + apart / 2) ** 2 + width ** 2;
  return Math.log(share) - 0.5 * (LOG_2PI + spread / HUMP ** 2) - Math.log(HUMP)
    + softplusMean(odds + slope * mean, slope * width).value;
}

// KL(p, q): E_p log p over each hump, and the rest from the mean and the variance of p.
function moments(apart, share) {
  return { mean: (0.5 - share) * apart, variance: HUMP ** 2 + share * (1 - share) * apart ** 2 };
}

function negativeEntropy(apart, share) {
  const [left, right] = [-apart / 2, apart / 2].map(hump => expectedLogP(apart, share, hump, HUMP));
  return share * left + (1 - share) * right;
}

function forward(apart, share, mean, width, entropy = negativeEntropy(apart, share)) {
  const p = moments(apart, share);
  return entropy + 0.5 * LOG_2PI + Math.log(width) + 0.5 * (p.variance + (p.mean - mean) ** 2) / width ** 2;
}

function reverse(apart, share, mean, width) {
  return -0.5 * (1 + LOG_2PI) - Math.log(width) - expectedLogP(apart, share, mean, width);
}

function bestForward(apart, share) {
  const { mean, variance } = moments(apart, share);
  return [mean, Math.sqrt(variance)];
}

// KL(q, p), its slope and its curvature in the mean and the log of the width.
function surface(apart, share, mean, width) {
  const { odds, slope } = ratio(apart, share), steep = slope * width, G = softplusMean(odds + slope * mean, steep);
  const spread = (mean + apart / 2) ** 2 + width ** 2, per = 1 / HUMP ** 2;
  return {
    value: 0.5 * (per * spread - 1) + Math.log(HUMP / width) - Math.log(share) - G.value,
    slope: [per * (mean + apart / 2) - slope * G.m, per * width ** 2 - 1 - steep * G.s],
    curvature: [per - slope ** 2 * G.mm, -slope * steep * G.ms,
      2 * per * width ** 2 - steep * G.s - steep ** 2 * G.ss],
  };
}

// Newton's method, held back until it goes down.
function descend(apart, share, mean, width) {
  let at = surface(apart, share, mean, width);
  for (let round = 0; round < 40; round++) {
    const [a, b, c] = at.curvature, { slope } = at;
    let more = 0;
    while ((a + more) * (c + more) - b * b < 1e-3 || a + more <= 0) more = 2 * more + 0.1;
    const det = (a + more) * (c + more) - b * b;
    const step = [((c + more) * slope[0] - b * slope[1]) / det, ((a + more) * slope[1] - b * slope[0]) / det];
    let t = 1, place, next;
    do {
      place = [mean - t * step[0], width * Math.exp(-t * step[1])];
      next = surface(apart, share, ...place);
      t /= 2;
    } while (next.value > at.value && t > 1e-6);
    if (next.value > at.value) break;
    const gained = at.value - next.value;
    [mean, width] = place;
    at = next;
    if (gained < 1e-14 && Math.hypot(...slope) < 1e-7) break;
  }
  return { mean, width, value: at.value };
}

// The lowest of the descents from each hump, the likelier one first, and from between.
function bestReverse(apart, share) {
  const humps = share > 0.5 ? [-apart / 2, apart / 2] : [apart / 2, -apart / 2];
  const found = humps.map(hump => descend(apart, share, hump, HUMP));
  found.push(descend(apart, share, ...bestForward(apart, share)));
  const best = found.reduce((a, b) => b.value < a.value - 1e-9 ? b : a);
  return [best.mean, best.width];
}
page.checks = { forward, reverse, bestForward };
page.bestReverse = bestReverse;

// Both divergences over the plane of mean and log width, row by row. Only to look at: log p is kept at a tenth of the
// step between two means, and its mean under q is a sum over some of these places, the same for all means of a row.
const ROWS = 41, COLUMNS = 61, TENTH = (MEANS[1] - MEANS[0]) / (COLUMNS - 1) / 10, REACH = 4 * WIDTHS[1];
const planeMeans = spaced(...MEANS, COLUMNS), planeWidths = spaced(...WIDTHS.map(Math.log), ROWS).map(Math.exp);
const rows = planeWidths.map(width => {
  const stride = Math.max(1, Math.round(width / 8 / TENTH)), half = Math.floor(4 * width / (stride * TENTH));
  const weight = Float64Array.from({ length: 2 * half + 1 }, (_, i) =>
    Math.exp(-0.5 * ((i - half) * stride * TENTH / width) ** 2));
  const total = weight.reduce((sum, w) => sum + w);
  return { stride, first: Math.round(REACH / TENTH) - half * stride, weight: weight.map(w => w / total) };
});
const table = new Float64Array(Math.round((MEANS[1] - MEANS[0] + 2 * REACH) / TENTH) + 1);
const plane = { forward: new Float64Array(ROWS * COLUMNS), reverse: new Float64Array(ROWS * COLUMNS) };
function fillPlanes(apart, share) {
  const entropy = negativeEntropy(apart, share);
  for (let i = 0; i < table.length; i++) table[i] = logP(MEANS[0] - REACH + i * TENTH, apart, share);
  for (let r = 0; r < ROWS; r++) {
    const { stride, first, weight } = rows[r], negative = -0.5 * (1 + LOG_2PI) - Math.log(planeWidths[r]);
    for (let c = 0; c < COLUMNS; c++) {
      let sum = 0;
      for (let k = 0, j = first + 10 * c; k < weight.length; k++, j += stride) sum += weight[k] * table[j];
      plane.reverse[r * COLUMNS + c] = negative - sum;
      plane.forward[r * COLUMNS + c] = forward(apart, share, planeMeans[c], planeWidths[r], entropy);
    }
  }
}
