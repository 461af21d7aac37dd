// Names what ipywidgets leaves nameless, for screen readers: a slider's handle is called as its label says, the picture as
// the trait says. It stands in the box of what it names, shows nothing, and looks again at whatever comes into the box.
function render({ model, el }) {
  el.style.cssText = "flex: none; width: 1px; height: 1px; margin: 0; padding: 0; overflow: hidden";
  let box = null;
  const name = () => {
    if (!box) return;
    for (const handle of box.querySelectorAll(".noUi-handle")) {
      const label = handle.closest(".widget-slider")?.querySelector(".widget-label");
      if (label) handle.setAttribute("aria-label", label.textContent);
    }
    for (const image of box.querySelectorAll("img.widget-image")) image.alt = model.get("picture");
  };
  const later = new MutationObserver(name);
  const there = new ResizeObserver(() => {  // laid out: so it has come into the page
    box = el.parentElement?.closest(".widget-box");
    if (!box) return;
    there.disconnect();
    name();
    later.observe(box, { childList: true, subtree: true });
  });
  there.observe(el);
  model.on("change:picture", name);
  return () => { there.disconnect(); later.disconnect(); model.off("change:picture", name); };
}

export default { render };
