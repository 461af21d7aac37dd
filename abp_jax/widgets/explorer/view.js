// The screen of the latent explorer: plane, sliders, thumbnails, path and buttons. It knows no generator: it calls
// options.moved(point) when the hand moves, and is told what to show. The notebook's widget and the exported page
// both use it.
//
// options: axes, the names of the coordinates; low, high, their range; start, a point (a list of numbers, one for each
// axis); thumbs, [{name, source, point, index}]; width, height, channels of the image; leading, how many sliders are not
// folded away; moved(point). Where they can be had: random(), a point; toZ(point), its z; posterior(index or -1), to be
// asked for; busy(), whether the hand has to wait.
function explorerView(root, options) {
  const { axes, low, high, thumbs, width, height, channels } = options;
  const span = high - low, flat = axes.length > 1, listeners = new AbortController(), { signal } = listeners;
  const on = (target, name, act) => target.addEventListener(name, act, { signal });
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const percent = v => 100 * (Math.min(high, Math.max(low, v)) - low) / span;
  const make = (tag, name, parent, attributes = {}) => {
    const element = document.createElement(tag);
    element.className = name;
    element.dataset.lmSuppressShortcuts = "true";  // keys pressed here are not for the notebook's cells
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    parent?.append(element);
    return element;
  };
  const button = (text, parent, title) => {
    const element = make("button", "abp-button", parent, { type: "button", title });
    element.textContent = text;
    return element;
  };
  let point = [...options.start], chosen = [], playing = 0;

  // ---- what there is to see
  root.classList.add("abp-explorer");
  const stage = make("div", "abp-stage", root);
  const plane = make("div", "abp-plane", stage, { tabindex: -1, role: "group", "aria-label": "The plane of z" });
  const backdrop = make("canvas", "abp-backdrop", plane, { "aria-hidden": "true" });
  const drawing = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  drawing.setAttribute("class", "abp-drawing");
  drawing.setAttribute("viewBox", [low, -high, span, span].join(" "));
  drawing.setAttribute("aria-hidden", "true");
  const line = name => {
    const path = document.createElementNS(drawing.namespaceURI, "path");
    path.setAttribute("class", name);
    path.setAttribute("vector-effect", "non-scaling-stroke");
    drawing.append(path);
    return path;
  };
  plane.append(drawing);
  const contours = line("abp-contours"), way = line("abp-way"), trails = line("abp-trails"), best = line("abp-best");
  const ring = make("div", "abp-ring", plane, {
    tabindex: 0, role: "slider", "aria-label": "Place on the plane. Arrow keys move it, with Shift in larger steps",
    "aria-valuemin": low, "aria-valuemax": high,
  });
  make("span", "abp-axis abp-across", plane, { "aria-hidden": "true" }).textContent = axes[0] + " →";
  make("span", "abp-axis abp-up", plane, { "aria-hidden": "true" }).textContent = (axes[1] ?? "") + " ↑";
  const lens = make("figure", "abp-lens", plane, { hidden: "" });
  plane.hidden = !flat;
  stage.classList.toggle("abp-alone", !flat);
  const picture = make("div", "abp-picture", stage);
  const canvas = make("canvas", "abp-image", picture, { role: "img", "aria-label": "The image that the generator draws" });
  [canvas.width, canvas.height] = [width, height];

  const controls = make("div", "abp-controls", root), folded = make("details", "abp-folded");
  const sliders = axes.map((name, i) => {
    if (i === options.leading) {
      controls.append(folded);
      make("summary", "", folded).textContent = `the other ${axes.length - i} directions`;
    }
    const row = make("label", "abp-row", i < options.leading ? controls : folded);
    make("span", "abp-name widget-label", row).textContent = name;
    const slider = make("input", "abp-slider", row, { type: "range", min: low, max: high, step: "any", "aria-label": name });
    const value = make("span", "abp-value", row, { "aria-hidden": "true" });
    on(slider, "input", () => go(point.map((v, k) => (k === i ? Number(slider.value) : v))));
    on(slider, "keydown", event => {
      const sign = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
      if (!sign || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      go(point.map((v, k) => (k === i ? clamp(v + (event.shiftKey ? 0.25 : 0.05) * sign) : v)));
    });
    return { slider, value };
  });
  const path = make("div", "abp-row abp-path", controls), play = button("Play", path, "Play the straight path");
  const scrub = make("input", "abp-slider", path, {
    type: "range", min: 0, max: 1, step: "any", value: 0, "aria-label": "Place on the path between the two chosen images",
  });
  const where = make("span", "abp-value abp-hint", path);
  path.hidden = !flat || !thumbs.length;

  const buttons = make("div", "abp-buttons", root);
  const random = button("Random z", buttons, "Draw z from the prior N(0, I)");
  const reset = button("Reset", buttons, "Back to where the explorer began");
  const copy = button("Copy z", buttons, "Copy z to the clipboard"), save = button("Save image", buttons, "Save as PNG");
  let box = null;
  if (options.posterior && flat) {
    const label = make("label", "abp-button abp-box", buttons, { title: "How sure is z of the chosen image?" });
    box = make("input", "", label, { type: "checkbox" });
    label.append("Posterior");
    label.hidden = !thumbs.length;
  }
  const status = make("div", "abp-status", root, { role: "status" });
  const failure = make("div", "abp-failure", root, { role: "alert", hidden: "" });

  // ---- the hand
  // only the coordinate that the hand moves is kept between low and high: an inferred z may lie outside
  const clamp = v => Math.min(high, Math.max(low, v));
  function go(next) { stop(); move(next); }
  function move(next) {
    if (options.busy?.()) return;
    point = [...next];
    show();
    options.moved(point);
  }
  function show() {
    ring.style.left = percent(point[0]) + "%";
    ring.style.top = 100 - percent(point[1] ?? 0) + "%";
    ring.setAttribute("aria-valuenow", clamp(point[0]).toFixed(2));
    ring.setAttribute("aria-valuetext", axes.slice(0, 2).map((name, i) => `${name} ${point[i].toFixed(2)}`).join(", "));
    sliders.forEach(({ slider, value }, i) => {
      slider.value = point[i];
      slider.setAttribute("aria-valuetext", point[i].toFixed(2));
      value.textContent = point[i].toFixed(2).replace("-", "−");
    });
    point.slice(0, 2).forEach((v, i) => { plane.dataset["z" + (i + 1)] = v; });
  }
  function follow(event) {
    const frame = plane.getBoundingClientRect();
    const across = (event.clientX - frame.left) / frame.width, down = (event.clientY - frame.top) / frame.height;
    go([clamp(low + span * across), clamp(high - span * down), ...point.slice(2)]);
  }
  let dragging = null;  // the pointer that does
  on(plane, "pointerdown", event => {
    if (event.button || dragging !== null || event.target.closest(".abp-thumb")) return;
    dragging = event.pointerId;
    plane.setPointerCapture(event.pointerId);
    ring.focus({ preventScroll: true });
    follow(event);
    event.preventDefault();
  });
  on(plane, "pointermove", event => dragging === event.pointerId && follow(event));
  const release = event => { if (dragging === event.pointerId) dragging = null; };
  for (const name of ["pointerup", "pointercancel"]) on(plane, name, release);
  on(plane, "keydown", event => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey || event.target.closest(".abp-thumb")) return;
    event.preventDefault();
    const size = event.shiftKey ? 0.25 : 0.05;
    go(point.map((v, i) => (step[i] ? clamp(v + size * step[i]) : v)));
  });

  // ---- thumbnails, and the path between two of them
  const markers = [];
  function mark(thumb, name = "abp-thumb") {
    const i = markers.length;
    const marker = make("button", name, plane, { type: "button", title: thumb.name, "aria-label": "Go to " + thumb.name });
    marker.style.left = percent(thumb.point[0]) + "%";
    marker.style.top = 100 - percent(thumb.point[1] ?? 0) + "%";
    if (!thumb.source) marker.tabIndex = -1;  // hundreds of dots are not for the Tab key; the sliders go everywhere
    else make("img", "", marker, { src: thumb.source, alt: "", draggable: "false" });
    on(marker, "click", () => choose(i));
    markers.push({ ...thumb, marker });
    return i;
  }
  function choose(i) {
    stop();
    chosen = chosen.length === 1 && chosen[0] !== i ? [chosen[0], i] : [i];
    scrub.value = chosen.length - 1;
    showPath();
    move(markers[i].point);
    if (box?.checked) options.posterior(markers[i].index);
  }
  function showPath() {
    const ends = chosen.map(i => markers[i]), ready = ends.length === 2;
    way.setAttribute("d", ready ? `M${ends.map(({ point: [x, y] }) => `${x} ${-y}`).join("L")}` : "");
    play.disabled = scrub.disabled = !ready;
    where.textContent = ready ? ends.map(end => end.name).join(" → ")
      : ends.length ? `${ends[0].name} → choose another image` : "choose two images on the plane";
    markers.forEach(({ marker }, i) => marker.setAttribute("aria-pressed", chosen.includes(i)));
  }
  function along(t) {
    const [a, b] = chosen.map(i => markers[i].point);
    scrub.value = t;
    move(a.map((v, k) => v + t * (b[k] - v)));
  }
  function stop() { playing = 0; play.textContent = "Play"; }
  on(scrub, "input", () => { stop(); along(Number(scrub.value)); });
  on(play, "click", () => {
    if (playing) return stop();
    const from = Number(scrub.value) % 1;
    if (still.matches) return along(Math.min(1, from + 0.25));  // who wants no motion goes a quarter of the path a press
    const begin = performance.now(), run = playing = begin;
    play.textContent = "Stop";
    const frame = now => {
      if (playing !== run) return;
      const t = Math.min(1, from + Math.max(0, now - begin) / 4000);
      along(t);
      if (t < 1) requestAnimationFrame(frame); else stop();
    };
    requestAnimationFrame(frame);
  });

  // ---- buttons
  const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
  on(random, "click", () => go(options.random ? options.random() : point.map(normal)));
  on(reset, "click", () => {
    chosen = [];
    if (box?.checked) { box.checked = false; options.posterior(-1); }
    trails.setAttribute("d", "");
    best.setAttribute("d", "");
    say("");
    showPath();
    go(options.start);
  });
  on(copy, "click", async () => {
    const text = JSON.stringify((options.toZ?.(point) ?? point).map(v => Number(v.toFixed(4))));
    try { await navigator.clipboard.writeText(text); say("Copied z = " + text); } catch { say("z = " + text); }
  });
  on(save, "click", () => {
    const link = make("a", "");
    link.download = "z_" + point.slice(0, 2).map(v => v.toFixed(2)).join("_") + ".png";
    link.href = canvas.toDataURL("image/png");
    buttons.append(link);
    link.click();
    link.remove();
  });
  if (box) on(box, "change", () => {
    if (box.checked && !chosen.length) choose(nearest());
    else options.posterior(box.checked ? markers[chosen.at(-1)].index : -1);
  });
  function nearest() {
    const far = markers.map(({ point: p }) => Math.hypot(...p.map((v, i) => v - point[i])));
    return far.indexOf(Math.min(...far));
  }

  // ---- light and dark, as the page around has it
  const system = matchMedia("(prefers-color-scheme: dark)");
  function theme() {
    const body = document.body, html = document.documentElement;
    const dark = body.dataset.jpThemeLight ? body.dataset.jpThemeLight === "false"
      : html.getAttribute("theme") ? html.getAttribute("theme") === "dark"
      : body.dataset.vscodeThemeKind ? !body.dataset.vscodeThemeKind.includes("light") : system.matches;
    root.dataset.theme = dark ? "dark" : "light";
  }
  const observer = new MutationObserver(theme);
  observer.observe(document.body, { attributes: true });
  observer.observe(document.documentElement, { attributes: true });
  on(system, "change", theme);

  // ---- what others tell it to show
  const pixels = new ImageData(width, height);
  function paint(values, onto = canvas) {  // height x width x channels numbers from 0 to 255
    for (let i = 0, j = 0; j < pixels.data.length; i += channels, j += 4) {
      for (let k = 0; k < 3; k++) pixels.data[j + k] = values[i + (channels === 3 ? k : 0)];
      pixels.data[j + 3] = 255;
    }
    onto.getContext("2d").putImageData(pixels, 0, 0);
  }
  function say(text) { status.textContent = text; }
  function fail(text) { failure.textContent = text; failure.hidden = !text; if (text) say(""); }
  function showPosterior(posterior) {  // {contours, lens: {contours, at, box, text}}, paths in the units of z; or null
    contours.setAttribute("d", posterior?.contours ?? "");
    lens.hidden = !posterior;
    if (box) box.checked = Boolean(posterior);
    if (!posterior) return;
    const { paths, at, viewBox, text } = posterior.lens;
    lens.innerHTML = `<svg viewBox="${viewBox}" aria-hidden="true">`
      + paths.map(d => `<path d="${d}" vector-effect="non-scaling-stroke"/>`).join("") + "</svg>";
    make("figcaption", "", lens).textContent = text;
    lens.classList.toggle("abp-right", at[0] < low + span / 2);
    lens.classList.toggle("abp-top", at[1] < low + span / 2);
  }
  function showTrails(chains, follow) {  // lists of points; the index of the best chain, or -1
    const track = points => points.length ? "M" + points.map(([x, y]) => `${x} ${-y}`).join("L") : "";
    if (!flat) return;
    trails.setAttribute("d", chains.map(track).join(""));
    best.setAttribute("d", track(chains[follow] ?? []));
  }

  thumbs.forEach(thumb => mark(thumb, thumb.source ? "abp-thumb" : "abp-thumb abp-dot"));
  showPath();
  theme();
  show();
  return {
    make, buttons, backdrop, paint, say, fail, showPosterior, showTrails,
    place(next) { if (dragging === null) { point = [...next]; show(); } },
    get point() { return point; },
    get playing() { return playing !== 0; },
    add(thumb) {
      mark(thumb, "abp-thumb abp-own");
      path.hidden = !flat;
      if (box) box.parentElement.hidden = false;
      showPath();
    },
    destroy() { stop(); listeners.abort(); observer.disconnect(); root.replaceChildren(); },
  };
}
