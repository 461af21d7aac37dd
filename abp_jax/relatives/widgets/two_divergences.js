// Shows the picture, and tells where on it a pressed pointer is: at most once for each frame of the screen.
function render({ model, el }) {
  const image = document.createElement("img");
  image.style.cssText = "display: block; width: 100%; max-width: 960px; touch-action: none; cursor: crosshair";
  image.alt = "left: p(z|y) and q; right: maps of KL(q||p) and KL(p||q) over the mean and the width of q";
  image.draggable = false;
  el.appendChild(image);
  let address = null;
  const draw = () => {
    const old = address;
    address = URL.createObjectURL(new Blob([model.get("png")], { type: "image/png" }));
    image.onload = () => old && URL.revokeObjectURL(old);
    image.src = address;
  };
  let latest = null;
  const tell = () => {
    if (latest) {
      model.set("pointed", [...latest, Date.now()]);
      model.save_changes();
    }
    latest = null;
  };
  const follow = (event) => {
    if (!event.buttons) return;
    const box = image.getBoundingClientRect();
    if (!latest) requestAnimationFrame(tell);
    latest = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  const press = (event) => {
    image.setPointerCapture(event.pointerId);
    follow(event);
  };
  image.addEventListener("pointerdown", press);
  image.addEventListener("pointermove", follow);
  model.on("change:png", draw);
  draw();
  return () => {
    model.off("change:png", draw);
    if (address) URL.revokeObjectURL(address);
  };
}

export default { render };
