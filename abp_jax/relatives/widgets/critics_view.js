// Shows the drawing, and tells where the hand drags p_G. Only one place is on its way at a time: the next is told when the
// kernel has answered with a new drawing, so that a slow kernel is never far behind the hand. (At the end of a range the
// drawing stays as it is, and no answer comes: then it is told after PATIENCE milliseconds.)
const PATIENCE = 200;

function render({ model, el }) {
  el.classList.add("abp-critics-view");
  let start = null, wanted = null, waiting = false, timer = null;
  const tell = () => {
    if (waiting || !wanted) return;
    model.set("dragged", wanted);
    wanted = null;
    waiting = true;
    timer = setTimeout(go, PATIENCE);
    model.save_changes();
  };
  const go = () => {
    clearTimeout(timer);
    waiting = false;
    tell();
  };
  const draw = () => {
    el.innerHTML = model.get("svg");
    go();
  };
  const units = () => {  // units of the SVG for a pixel of the screen
    const svg = el.querySelector("svg");
    return svg ? svg.viewBox.baseVal.width / Math.max(svg.getBoundingClientRect().width, 1) : 1;
  };
  const down = (event) => {
    if (event.button) return;
    event.preventDefault();
    el.setPointerCapture(event.pointerId);
    start = { id: event.pointerId, x: event.clientX, y: event.clientY, at: model.get("at") };
  };
  const move = (event) => {
    if (!start || event.pointerId !== start.id) return;
    const unit = units(), [mean, width] = start.at;
    const across = ((event.clientX - start.x) * unit) / model.get("scale"), fallen = (event.clientY - start.y) * unit;
    wanted = [mean + across, width * Math.exp(fallen / 120)];
    tell();
  };
  const up = (event) => {
    if (start && event.pointerId === start.id) start = null;
  };
  const all = { pointerdown: down, pointermove: move, pointerup: up, pointercancel: up };
  for (const [name, act] of Object.entries(all)) el.addEventListener(name, act);
  model.on("change:svg", draw);
  draw();
  return () => {
    clearTimeout(timer);
    for (const [name, act] of Object.entries(all)) el.removeEventListener(name, act);
    model.off("change:svg", draw);
  };
}

export default { render };
