// What a person sees of an answer: bars, the picture that the model sees, a heat map over it.

/** Bars for the likeliest classes in `list` (an <ol>); elements are kept, so that bars move instead of flickering. */
export function bars(list, classes, probabilities, most = 5) {
  const order = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]).slice(0, most);
  while (list.children.length < order.length) {
    const item = document.createElement("li");
    item.append(...["name", "bar", "percent"].map(kind => Object.assign(document.createElement("span"), { className: kind })));
    item.children[1].append(document.createElement("i"));
    list.append(item);
  }
  while (list.children.length > order.length) list.lastChild.remove();
  order.forEach((c, i) => {
    const [name, bar, percent] = list.children[i].children;
    name.textContent = classes[c];
    bar.firstChild.style.width = `${100 * probabilities[c]}%`;
    percent.textContent = `${(100 * probabilities[c]).toFixed(1)} %`;
  });
}

/** A (channels, height, width) image, pixel by pixel, on a canvas that has its size. */
export function pixels(canvas, image, { channels, height, width }) {
  Object.assign(canvas, { width, height });
  const out = new ImageData(width, height), n = width * height;
  for (let i = 0; i < n; i++) {
    for (let c = 0; c < 3; c++) out.data[4 * i + c] = image[channels === 1 ? i : c * n + i];
    out.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(out, 0, 0);
}

/** The same, with what speaks for the answer in orange and what speaks against it in blue; `heat` is (height, width). */
export function heated(canvas, image, shape, heat) {
  pixels(canvas, image, { ...shape });
  const { width, height } = shape, context = canvas.getContext("2d");
  const shown = context.getImageData(0, 0, width, height);
  const most = heat.reduce((a, b) => Math.max(a, Math.abs(b)), 0) || 1;
  for (let i = 0; i < heat.length; i++) {
    const share = Math.abs(heat[i]) / most * 0.85, colour = heat[i] > 0 ? [245, 138, 75] : [86, 169, 233];
    for (let c = 0; c < 3; c++) shown.data[4 * i + c] = shown.data[4 * i + c] * (1 - share) + colour[c] * share;
  }
  context.putImageData(shown, 0, 0);
}
