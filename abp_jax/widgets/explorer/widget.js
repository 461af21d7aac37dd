// The latent explorer in a notebook: what the hand does goes to the kernel as the one trait z, and the kernel answers with
// the image. Comes after explorer_view.js in one module.
function render({ model, el }) {
  const config = model.get("_config"), { origin, directions } = config;
  const bytes = view => new Uint8Array(view.buffer ?? view, view.byteOffset ?? 0, view.byteLength);
  // z = origin + sum over k of point_k directions_k, which are orthonormal
  const toZ = point => origin.map((o, j) => o + point.reduce((sum, p, k) => sum + p * directions[k][j], 0));
  const toPoint = z => directions.map(v => v.reduce((sum, c, j) => sum + c * (z[j] - origin[j]), 0));
  const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());

  const root = document.createElement("div");
  el.append(root);
  const view = explorerView(root, {
    ...config, start: toPoint(config.start), toZ, busy: () => model.get("_busy"),
    moved: point => { model.set("z", toZ(point)); model.save_changes(); },
    random: () => toPoint(origin.map(normal)),
    posterior: index => { model.set("posterior_of", index); model.save_changes(); },
  });
  const backdrop = new Image(), atlas = model.get("_backdrop");
  backdrop.onload = () => {
    [view.backdrop.width, view.backdrop.height] = [backdrop.width, backdrop.height];
    view.backdrop.getContext("2d").drawImage(backdrop, 0, 0);
    URL.revokeObjectURL(backdrop.src);
  };
  if (atlas?.byteLength) backdrop.src = URL.createObjectURL(new Blob([bytes(atlas)], { type: "image/jpeg" }));
  if (config.upload) addUpload(view, root, model);

  // ---- what the kernel tells
  const follow = {
    z: z => view.place(toPoint(z)),
    _frame: frame => frame.byteLength && view.paint(bytes(frame)),
    _posterior: posterior => view.showPosterior(posterior),
    _own: own => own.slice(shown).forEach(thumb => { shown = own.length; view.add(thumb); }),
    _status: text => view.say(text),
    _failure: text => view.fail(text),
  };
  let shown = 0, chains = [];
  const told = message => {
    if (message.kind !== "trails" || !(message.first || chains.length)) return;  // a view may come in the middle
    chains = message.first ? message.trails : chains.map((trail, i) => trail.concat(message.trails[i]));
    view.showTrails(chains, message.best);
  };
  const handlers = Object.entries(follow).map(([name, show]) => [`change:${name}`, () => show(model.get(name))]);
  for (const [name, handler] of handlers) { model.on(name, handler); handler(); }
  model.on("msg:custom", told);
  return () => {
    for (const [name, handler] of handlers) model.off(name, handler);
    model.off("msg:custom", told);
    view.destroy();
  };
}

// A button, and the whole explorer as a place to drop a picture. What the browser can read is made small here, so that a
// photograph fits into one message to the kernel.
function addUpload(view, root, model) {
  const label = view.make("label", "abp-button abp-file", view.buttons, { title: "Or drop a picture on the explorer" });
  const file = view.make("input", "", label, { type: "file", accept: "image/*" });
  label.append("Your picture…");
  async function take(picked) {
    if (!picked) return;
    view.fail("");
    view.say(`${picked.name} is read …`);
    let content;
    try {
      const bitmap = await createImageBitmap(picked, { imageOrientation: "from-image" });
      const scale = Math.min(1, 512 / Math.min(bitmap.width, bitmap.height)), small = document.createElement("canvas");
      [small.width, small.height] = [bitmap.width * scale, bitmap.height * scale].map(Math.ceil);
      const context = small.getContext("2d");
      context.imageSmoothingQuality = "high";
      context.drawImage(bitmap, 0, 0, small.width, small.height);
      content = small.toDataURL("image/png");
    } catch {
      if (picked.size > 4e6) {
        return view.fail(`${picked.name} is no image that this browser can read. Choose a JPEG or PNG file.`);
      }
      content = await new Promise(done => {  // perhaps the kernel can read it, and if not it says why
        const reader = new FileReader();
        reader.onload = () => done(reader.result);
        reader.readAsDataURL(picked);
      });
    }
    // in the message itself, since not every front end passes buffers on to the kernel
    model.send({ kind: "picture", name: picked.name, data: content.split(",")[1] ?? "" });
  }
  file.addEventListener("change", () => { take(file.files[0]); file.value = ""; });
  for (const name of ["dragenter", "dragover"]) root.addEventListener(name, event => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    root.classList.add("abp-dropping");
  });
  root.addEventListener("dragleave", event => {
    if (!root.contains(event.relatedTarget)) root.classList.remove("abp-dropping");
  });
  root.addEventListener("drop", event => {
    event.preventDefault();
    event.stopPropagation();
    root.classList.remove("abp-dropping");
    take(event.dataTransfer.files[0]);
  });
}

export default { render };
