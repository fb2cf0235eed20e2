// Which parts an answer rests on: how far its probability falls when a grey square hides them (Zeiler & Fergus 2014).
// The same as fittingroom's inference/occlusion.py.

const BATCH = 64;

/** A map (height, width) of mean falls of the probability of class `c`; `probabilities(images, n)` asks the model. */
export async function occlusion(image, { channels, height, width }, c, probabilities) {
  const side = Math.max(2, Math.round(Math.min(height, width) / 7)), step = Math.max(1, Math.floor(side / 2));
  const places = [];
  for (const top of starts(height, side, step)) for (const left of starts(width, side, step)) places.push([top, left]);
  const [whole] = await probabilities(image, 1);
  const sum = new Float64Array(height * width), times = new Float64Array(height * width);
  for (let first = 0; first < places.length; first += BATCH) {
    const some = places.slice(first, first + BATCH), n = image.length;
    const hidden = new Uint8Array(some.length * n);
    some.forEach(([top, left], i) => {
      hidden.set(image, i * n);
      for (let k = 0; k < channels; k++) {
        for (let y = top; y < top + side; y++) {
          const row = i * n + (k * height + y) * width;
          hidden.fill(128, row + left, row + left + side);
        }
      }
    });
    const said = await probabilities(hidden, some.length);
    some.forEach(([top, left], i) => {
      const fall = whole[c] - said[i][c];
      for (let y = top; y < top + side; y++) {
        for (let x = left; x < left + side; x++) sum[y * width + x] += fall, times[y * width + x]++;
      }
    });
  }
  return sum.map((value, i) => value / times[i]);
}

/** Where squares begin, so that the last one ends at the edge. */
function starts(size, side, step) {
  const found = [];
  for (let at = 0; at + side < size; at += step) found.push(at);
  return [...found, size - side];
}
