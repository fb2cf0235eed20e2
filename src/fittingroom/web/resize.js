// Pillow's resize for eight-bit pixels, number by number: libImaging/Resample.c. One plane (a Uint8Array) at a time.

const PRECISION = 22; // bits behind the point of a weight

export const BILINEAR = { support: 1, weight: x => (x = Math.abs(x)) < 1 ? 1 - x : 0 };

export const BICUBIC = {
  support: 2,
  weight: x => {
    const a = -0.5;
    x = Math.abs(x);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
  },
};

/** A plane of `width` × `height` at another size; `box` = [left, top, right, bottom] of it, all of it unless given. */
export function resize(plane, width, height, toWidth, toHeight, filter, box = [0, 0, width, height]) {
  const [left, top, right, bottom] = box.map(Math.fround);
  let out = plane;
  if (toWidth !== width || left !== 0 || right !== toWidth) {
    out = along(out, height, width, 1, width, weights(width, left, right, toWidth, filter));
  }
  if (toHeight !== height || top !== 0 || bottom !== toHeight) {
    out = along(out, toWidth, height, toWidth, 1, weights(height, top, bottom, toHeight, filter));
  }
  return out === plane ? plane.slice() : out;
}

/** For each place after the resize: where its pixels begin, and their weights as whole numbers. */
function weights(size, from, to, toSize, { support, weight }) {
  const scale = Math.fround(to - from) / toSize;
  const stretch = Math.max(scale, 1);
  const reach = support * stretch;
  const found = [];
  for (let i = 0; i < toSize; i++) {
    const centre = from + (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5));
    const last = Math.min(size, Math.trunc(centre + reach + 0.5));
    const row = new Float64Array(last - first);
    let total = 0;
    for (let j = 0; j < row.length; j++) {
      row[j] = weight((j + first - centre + 0.5) * (1 / stretch));
      total += row[j];
    }
    const whole = new Int32Array(row.length);
    for (let j = 0; j < row.length; j++) {
      const w = total !== 0 ? row[j] / total : row[j];
      whole[j] = Math.trunc((w < 0 ? -0.5 : 0.5) + w * (1 << PRECISION));
    }
    found.push([first, whole]);
  }
  return found;
}

/** One pass: `lines` lines of pixels that lie `step` apart, each line `next` after the one before. */
function along(plane, lines, size, step, next, rows) {
  const out = new Uint8Array(lines * rows.length);
  const outStep = step === 1 ? 1 : lines, outNext = step === 1 ? rows.length : 1;
  for (let line = 0; line < lines; line++) {
    const start = line * next;
    for (let i = 0; i < rows.length; i++) {
      const [first, whole] = rows[i];
      let sum = 1 << (PRECISION - 1);
      for (let j = 0, at = start + first * step; j < whole.length; j++, at += step) sum += plane[at] * whole[j];
      sum >>= PRECISION;
      out[line * outNext + i * outStep] = sum < 0 ? 0 : sum > 255 ? 255 : sum;
    }
  }
  return out;
}
