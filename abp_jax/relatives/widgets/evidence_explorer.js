// The screen of the evidence explorer: boxes with a bar for each value, arrows, and a table below. What the hand does goes
// to the kernel as the traits evidence and query; the kernel answers with _shown, which holds every number and text.
const TITLE = 28, ROW = 20, LEFT = 60, RIGHT = 50;  // as abp_jax/relatives/widgets/beliefs.py has them; the room of a bar

function render({ model, el }) {
  const { nodes, arrows } = model.get("_config"), listeners = new AbortController(), { signal } = listeners;
  const on = (target, name, act) => target.addEventListener(name, act, { signal });
  const make = (tag, name, parent, attributes = {}) => {
    const element = document.createElement(tag);
    element.className = name;
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    parent.append(element);
    return element;
  };
  const draw = (tag, name, parent, attributes = {}) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    element.setAttribute("class", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    parent.append(element);
    return element;
  };
  const press = (element, act) => {  // by a click, or by the keyboard
    element.dataset.lmSuppressShortcuts = "true";  // keys pressed here are not for the notebook's cells
    on(element, "click", act);
    on(element, "keydown", event => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      event.stopPropagation();
      act();
    });
  };
  const tell = (name, value) => { model.set(name, value); model.save_changes(); };

  // ---- what there is to see
  const root = make("div", "abp-evidence", el);
  const width = Math.max(...nodes.map(({ box }) => box[0] + box[2])), height = Math.max(...nodes.map(({ box }) => box[1] + box[3]));
  const svg = draw("svg", "", root, { viewBox: `-3 -3 ${width + 6} ${height + 6}`, role: "group", "aria-label": "The network" });
  svg.style.maxWidth = `${1.2 * width}px`;
  const lines = arrows.map(({ name, ends: [x1, y1, x2, y2] }) => {
    const long = Math.hypot(x2 - x1, y2 - y1), [u, v] = [(x2 - x1) / long, (y2 - y1) / long];
    const [x, y] = [x2 - 11 * u, y2 - 11 * v];  // where the point of the arrow begins
    const line = draw("path", "abp-arrow", svg, { d: `M${x1} ${y1}L${x} ${y}` });
    const point = draw("path", "abp-point", svg, { d: `M${x2} ${y2}L${x - 6 * v} ${y + 6 * u}L${x + 6 * v} ${y - 6 * u}Z` });
    return { name, parts: [line, point] };
  });
  const boxes = nodes.map(({ name, title, values, box: [left, top, wide, high], prior }) => {
    const group = draw("g", "abp-node", svg, { transform: `translate(${left} ${top})` });
    draw("rect", "abp-box", group, { width: wide, height: high, rx: 6 });
    const head = draw("g", "abp-head", group, { tabindex: 0, role: "button", "aria-label": `Ask about ${title}` });
    draw("rect", "", head, { x: 1.5, y: 1.5, width: wide - 3, height: TITLE - 6, rx: 5 });
    draw("text", "", head, { x: 8, y: 18 }).textContent = title === name ? title : `${title} (${name})`;
    press(head, () => tell("query", name));
    const room = wide - LEFT - RIGHT;
    const rows = values.map((value, k) => {
      const row = draw("g", "abp-value", group, { tabindex: 0, role: "button", transform: `translate(0 ${TITLE + ROW * k - 3})` });
      draw("rect", "abp-hit", row, { x: 2, width: wide - 4, height: ROW });
      draw("text", "", row, { x: 8, y: 14.5 }).textContent = value;
      const bar = draw("rect", "abp-bar", row, { x: LEFT, y: 4, height: ROW - 8 });
      draw("path", "abp-tick", row, { d: `M${LEFT + room * prior[k]} 2V${ROW - 2}` });
      const number = draw("text", "abp-number", row, { x: wide - 7, y: 14.5 });
      press(row, () => {
        const { [name]: had, ...others } = model.get("evidence");
        tell("evidence", had === k ? others : { ...others, [name]: k });
      });
      return { row, value, show: p => { bar.style.width = `${room * p}px`; number.textContent = p.toFixed(3); } };
    });
    return { name, title, group, head, rows };
  });
  const says = make("div", "abp-says", root, { role: "status" });
  const table = make("table", "abp-told", root);
  const back = make("button", "abp-back", root, { type: "button" });
  back.textContent = "Take all evidence back";
  on(back, "click", () => tell("evidence", {}));
  const failed = make("div", "abp-failed", root, { role: "alert" });

  // ---- what the kernel tells
  function show() {
    const evidence = model.get("evidence"), query = model.get("query"), shown = model.get("_shown");
    for (const { name, title, group, head, rows } of boxes) {
      group.classList.toggle("abp-known", name in evidence);
      group.classList.toggle("abp-asked", name === query);
      head.setAttribute("aria-pressed", name === query);
      rows.forEach(({ row, value, show }, k) => {
        show(shown.bars[name][k]);
        row.setAttribute("aria-pressed", evidence[name] === k);
        row.setAttribute("aria-label", `${title} = ${value}: ${shown.bars[name][k].toFixed(3)}`);
      });
    }
    for (const { name, parts } of lines) parts.forEach(part => part.classList.toggle("abp-open", shown.arrows.includes(name)));
    says.textContent = shown.says;
    table.replaceChildren();
    for (const { title, told, trails, open } of shown.rows) {
      const row = make("tr", open ? "abp-way" : "abp-shut", table);
      for (const text of [title, `${told.toFixed(4)} nats`, trails]) make("td", "", row).textContent = text;
    }
    back.disabled = !Object.keys(evidence).length;
    failed.textContent = model.get("_failure");
    failed.hidden = !failed.textContent;
  }
  const names = ["evidence", "query", "_shown", "_failure"].map(name => `change:${name}`);
  for (const name of names) model.on(name, show);

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
  theme();
  show();
  return () => {
    for (const name of names) model.off(name, show);
    listeners.abort();
    observer.disconnect();
    root.remove();
  };
}

export default { render };
