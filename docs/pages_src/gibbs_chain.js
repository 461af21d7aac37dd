// A state is a number from 0 to 15, whose binary digits are A, B, C, D. Matrices are arrays of 256 numbers, row by row.
const N = 16, MOST = 10000, FIRST = 0b1001, BOB = 1, LARGEST = 1.2;
const bit = (x, i) => (x >> (3 - i)) & 1;
const flip = (x, i) => x ^ (1 << (3 - i));
const states = Array.from({ length: N }, (_, x) => x);
const SCANS = { random: "one at random", sweep: "a sweep", blocks: "blocks" };
const ORDERS = { sweep: [0, 1, 2, 3], blocks: [0, 2, 1, 3] };  // given B and D, A and C are independent

function distribution(strength) {
  const log = states.map(x => data.factors.reduce((sum, [[i, j], table]) =>
    sum + Math.log(table[bit(x, i)][bit(x, j)]), 0));
  const top = Math.max(...log), weights = log.map(l => Math.exp(strength * (l - top)));
  const Z = weights.reduce((sum, w) => sum + w);
  return weights.map(w => w / Z);
}

const conditional = (p, i, y) => p[y] / (p[y] + p[flip(y, i)]);  // p(y_i | the others)

function redraw(p, i) {  // the matrix of redrawing bit i
  const T = new Float64Array(N * N);
  for (const x of states) for (const y of [x, flip(x, i)]) T[N * x + y] = conditional(p, i, y);
  return T;
}

function times(A, B) {
  const C = new Float64Array(N * N);
  for (let i = 0; i < N; i++) for (let k = 0; k < N; k++) {
    const a = A[N * i + k];
    if (a) for (let j = 0; j < N; j++) C[N * i + j] += a * B[N * k + j];
  }
  return C;
}

function matrix(strength, scan) {
  const p = distribution(strength), each = [0, 1, 2, 3].map(i => redraw(p, i));
  if (scan === "random") return each[0].map((_, j) => each.reduce((sum, T) => sum + T[j], 0) / 4);
  return ORDERS[scan].map(i => each[i]).reduce(times);
}

const probability = (p, i) => states.reduce((sum, x) => sum + p[x] * bit(x, i), 0);  // that bit i is 1

// |lambda_2|: T less its limit has only the other eigenvalues; the size of its powers 2, 4, ..., 2^40 tells the
// largest.
function secondEigenvalue(strength, scan) {
  const p = distribution(strength);
  let M = matrix(strength, scan).map((t, j) => t - p[j % N]), log = 0;
  for (let power = 1; power < 2 ** 40; power *= 2) {
    const size = Math.sqrt(M.reduce((sum, m) => sum + m * m, 0));
    if (size < 1e-300) return 0;
    log += Math.log(size) / power;
    M = M.map(m => m / size);
    M = times(M, M);
  }
  return Math.exp(log);
}

// rho_k of a bit, for k = 0, ..., lags: E f(X_0) f(X_k) / Var f in the stationary chain.
function autocorrelation(strength, scan, i, lags) {
  const p = distribution(strength), T = matrix(strength, scan), mean = probability(p, i);
  const f = states.map(x => bit(x, i) - mean);
  let after = f;
  const covariances = [];
  for (let k = 0; k <= lags; k++) {
    covariances.push(f.reduce((sum, v, x) => sum + p[x] * v * after[x], 0));
    after = states.map(x => after.reduce((sum, v, y) => sum + T[N * x + y] * v, 0));
  }
  return covariances.map(c => c / covariances[0]);
}

// tau = 1 + 2 sum rho_k: the sum over all k of T^k f is g, the solution of (I - T + 1 p) g = f.
function autocorrelationTime(strength, scan, i) {
  const p = distribution(strength), T = matrix(strength, scan), mean = probability(p, i);
  const f = states.map(x => bit(x, i) - mean);
  const rows = states.map(x => [...states.map(y => (x === y ? 1 : 0) - T[N * x + y] + p[y]), f[x]]);
  for (let c = 0; c < N; c++) {  // Gauss and Jordan, with pivots
    const best = states.slice(c).reduce((a, r) => Math.abs(rows[r][c]) > Math.abs(rows[a][c]) ? r : a, c);
    [rows[c], rows[best]] = [rows[best], rows[c]];
    for (let r = 0; r < N; r++) if (r !== c) {
      const factor = rows[r][c] / rows[c][c];
      for (let j = c; j <= N; j++) rows[r][j] -= factor * rows[c][j];
    }
  }
  const g = rows.map((row, x) => row[N] / row[x]), inner = h => f.reduce((sum, v, x) => sum + p[x] * v * h[x], 0);
  return 2 * inner(g) / inner(f) - 1;
}
page.checks = {
  distribution, secondEigenvalue, autocorrelation, autocorrelationTime, matrix: (...args) => [...matrix(...args)],
};

const uniform = uniforms(17), numbers = [];
const nextNumber = i => { while (numbers.length <= i) numbers.push(uniform()); return numbers[i]; };
let chain = { key: "", k: 0, path: new Uint8Array(MOST + 1) };
function visits(strength, scan, k) {  // the states after 0, 1, ..., k steps
  const key = `${strength} ${scan}`, p = distribution(strength);
  if (chain.key !== key) { chain = { ...chain, key, k: 0 }; chain.path[0] = FIRST; }
  for (; chain.k < k; chain.k++) {
    let x = chain.path[chain.k];
    const bits = scan === "random" ? [Math.floor(4 * nextNumber(5 * chain.k + 4))] : ORDERS[scan];
    bits.forEach((i, n) => {
      const one = x | (1 << (3 - i));
      x = nextNumber(5 * chain.k + n) < conditional(p, i, one) ? one : flip(one, i);
    });
    chain.path[chain.k + 1] = x;
  }
  return chain.path.subarray(0, k + 1);
}
page.visits = (...args) => [...visits(...args)];
