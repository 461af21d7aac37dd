// Shows the drawing, and tells which unit was clicked, or chosen by the keyboard. The third word tells clicks apart.
function render({ model, el }) {
  el.classList.add("abp-mask-viewer");
  const draw = () => {
    const focused = el.contains(document.activeElement) ? document.activeElement.dataset.unit : null;
    el.innerHTML = model.get("svg");
    for (const unit of el.querySelectorAll(".abp-input, .abp-output")) {
      unit.setAttribute("tabindex", "0");
      unit.setAttribute("role", "button");
      unit.setAttribute("aria-label", unit.dataset.unit.replace(/\d+/, (i) => Number(i) + 1));
      if (unit.dataset.unit === focused) unit.focus();
    }
  };
  const choose = (event) => {
    const unit = event.target.closest("[data-unit]");
    if (!unit) return;
    const [kind, index] = unit.dataset.unit.split(" ");
    model.set("clicked", [kind, Number(index), Date.now()]);
    model.save_changes();
  };
  const press = (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    choose(event);
  };
  el.addEventListener("click", choose);
  el.addEventListener("keydown", press);
  model.on("change:svg", draw);
  draw();
  return () => {
    el.removeEventListener("click", choose);
    el.removeEventListener("keydown", press);
    model.off("change:svg", draw);
  };
}

export default { render };
