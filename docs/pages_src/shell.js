// What the pages share: controls that are native inputs, plots on a canvas, one drawing a frame, and a check at the
// start.

const page = { frames: [], state: {}, set: {}, draw: null, checks: {} };
const data = JSON.parse(document.getElementById("data").textContent);
const element = id => document.getElementById(id);
const clamp = (x, low, high) => Math.min(high, Math.max(low, x));
const still = matchMedia("(prefers-reduced-motion: reduce)");

// Numbers as people write them: a true minus sign, and powers of ten only where they are needed.
function shown(x, digits = 3) {
  if (Number.isNaN(x)) return "–";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  const size = Math.abs(x);
  let text = x === 0 ? "0" : size >= 1e5 || size < 1e-4 ? x.toExponential(digits - 1) : x.toPrecision(digits);
  if (text.includes("e") && size < 1e5 && size >= 1e-4) text = String(Math.round(x));
  const [digitsOf, power] = text.split("e");
  const raised = power?.replace("+", "").replace(/[-\d]/g, c => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] ?? "⁻");
  return (power ? `${digitsOf} · 10${raised}` : text).replace("-", "−");
}
const fixed = (x, digits = 2) => x.toFixed(digits).replace("-", "−");

// The picture is drawn at most once a frame, however often the hand moves.
let wanted = false;
page.redraw = () => {
  if (wanted) return;
  wanted = true;
  requestAnimationFrame(() => {
    wanted = false;
    const start = performance.now();
    page.draw();
    page.frames.push(performance.now() - start);
    if (page.frames.length > 1000) page.frames.shift();
  });
};

// Fills the row `id` with a range input. With log: the input counts whole steps, of equal ratio, from min to max.
function slider(id, { label, min, max, step, value, log = false, show = x => fixed(x) }) {
  const row = element(id), count = Math.round(Math.log10(max / min) / step);
  row.classList.add("row");
  row.innerHTML = `<label for="${id}-input">${label}</label><input type="range" id="${id}-input"><output `
    + `for="${id}-input"></output>`;
  const input = row.querySelector("input"), output = row.querySelector("output");
  const read = () => {
    page.state[id] = log ? min * (max / min) ** (input.value / count) : Number(input.value);
    output.textContent = show(page.state[id]);
    input.setAttribute("aria-valuetext", output.textContent);
    page.redraw();
  };
  [input.min, input.max, input.step] = log ? [0, count, 1] : [min, max, step];
  input.addEventListener("input", read);
  page.set[id] = x => {
    const inside = clamp(x, min, max);
    input.value = log ? Math.round(count * Math.log(inside / min) / Math.log(max / min)) : inside;
    read();
  };
  page.set[id](value);
}

// Fills the fieldset `id` with radio buttons; options: { value: label }.
function choice(id, { label, options, value }) {
  const set = element(id);
  set.classList.add("choices");
  set.innerHTML = `<legend>${label}</legend>` + Object.entries(options).map(([name, text]) =>
    `<label><input type="radio" name="${id}" value="${name}">${text}</label>`).join("");
  page.set[id] = x => {
    set.querySelector(`input[value="${x}"]`).checked = true;
    page.state[id] = x;
    page.redraw();
  };
  set.addEventListener("change", event => page.set[id](event.target.value));
  page.set[id](value);
}

// A button that starts and stops; tick() returns false at the end. Who wants no motion gets `leap` ticks in one go.
function runner(id, tick, { start = "Run", leap = 20 } = {}) {
  const button = element(id);
  let running = false;
  const label = () => { button.textContent = running ? "Pause" : still.matches ? `${leap} steps on` : start; };
  const step = () => {
    if (running) running = tick() !== false;
    if (running) requestAnimationFrame(step); else label();
  };
  button.addEventListener("click", () => {
    if (still.matches && !running) { for (let i = 0; i < leap && tick() !== false; i++); return; }
    running = !running;
    label();
    if (running) requestAnimationFrame(step);
  });
  still.addEventListener("change", () => { running = running && !still.matches; label(); });
  label();
  return { stop: () => { running = false; } };
}

// A generator of normal numbers from a seed, so that the same noise returns.
function normals(seed) {
  const uniform = uniforms(seed);
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

function uniforms(seed) {  // mulberry32
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

let ink = {};
function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["paper", "ink", "soft", "line", "grid", "fill", "c0", "c1", "c2", "c3", "accent"])
    ink[name] = style.getPropertyValue(`--${name}`).trim();
}
readColours();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); page.redraw(); });

// What two arrays of numbers differ by, relative to the larger of 1 and the size of the wanted one.
function difference(got, want) {
  if (!Array.isArray(want)) return Math.abs(got - want) / Math.max(1, Math.abs(want));
  return Math.max(...want.map((x, i) => difference(got[i], x)));
}

// Computes what the library computed when the page was made, and says how far the two are apart.
page.begin = () => {
  const apart = data.checks.map(([name, args, want]) => difference(page.checks[name](...args), want));
  page.error = Math.max(...apart);
  const count = data.checks.reduce((sum, [, , want]) => sum + [want].flat().length, 0);
  element("check").textContent = `When it opened, this page computed ${count} numbers that were computed by abp_jax `
    + `when it `
    + `was made. The largest difference, relative where they are above 1, is ${shown(page.error, 1)}.`;
};
