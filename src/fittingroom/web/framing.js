// From any picture to the form of the training images: the same as fittingroom's data/framing.py, number by number.
// A picture is { data, width, height } with data as a canvas gives it: four bytes a pixel, nothing transparent.

import { BICUBIC, BILINEAR, resize } from "./resize.js";

const LOOKED_AT = 400, RING = 40, SAME_GROUND = [80, 24], FAINT = 12, SPECKS = 200; // reasons: data/framing.py

export class Unreadable extends Error {}

/** The picture as a Uint8Array (channels, height, width) in the form of `framing`. Throws `Unreadable`. */
export function frame(picture, framing) {
  const { width, height, subject } = framing;
  const asItIs = picture.width === width && picture.height === height;
  if (!subject || asItIs) return fitted(picture, framing);
  const alone = cutOut(reduced(grey(picture)), subject);
  const placed = place(alone, framing);
  const out = new Uint8Array(framing.channels * width * height);
  for (let c = 0; c < framing.channels; c++) out.set(placed, c * width * height);
  return out;
}

const halfUp = x => Math.floor(x + 0.5);

function halfEven(x) { // Python's round()
  const floor = Math.floor(x), rest = x - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}

function grey({ data, width, height }) {
  const plane = new Uint8Array(width * height);
  for (let i = 0, at = 0; i < plane.length; i++, at += 4) {
    plane[i] = (data[at] * 19595 + data[at + 1] * 38470 + data[at + 2] * 7471 + 0x8000) >> 16;
  }
  return { plane, width, height };
}

function fitted(picture, { channels, width, height, resize: how }) {
  const planes = channels === 1 ? [grey(picture).plane] : [0, 1, 2].map(c => {
    const plane = new Uint8Array(picture.width * picture.height);
    for (let i = 0; i < plane.length; i++) plane[i] = picture.data[4 * i + c];
    return plane;
  });
  const out = new Uint8Array(channels * width * height);
  planes.forEach((plane, c) => out.set(fittedPlane(plane, picture.width, picture.height, width, height, how), c * width * height));
  return out;
}

function fittedPlane(plane, w, h, width, height, how) {
  if (w === width && h === height) return plane;
  if (how === "stretch") return resize(plane, w, h, width, height, BILINEAR);
  if (how === "crop") {
    const ratio = width / height;
    let cutW = w, cutH = h;
    if (w / h > ratio) cutW = ratio * h;
    else if (w / h < ratio) cutH = w / ratio;
    const left = (w - cutW) * 0.5, top = (h - cutH) * 0.5;
    return resize(plane, w, h, width, height, BILINEAR, [left, top, left + cutW, top + cutH]);
  }
  const scale = Math.min(width / w, height / h);
  const inW = Math.max(1, halfEven(w * scale)), inH = Math.max(1, halfEven(h * scale));
  const inner = resize(plane, w, h, inW, inH, BILINEAR);
  const out = new Uint8Array(width * height);
  const left = Math.floor((width - inW) / 2), top = Math.floor((height - inH) / 2);
  for (let y = 0; y < inH; y++) out.set(inner.subarray(y * inW, (y + 1) * inW), (y + top) * width + left);
  return out;
}

function reduced({ plane, width, height }) {
  const share = LOOKED_AT / Math.max(width, height);
  if (share >= 1) return { plane, width, height };
  const w = Math.max(1, halfUp(width * share)), h = Math.max(1, halfUp(height * share));
  return { plane: resize(plane, width, height, w, h, BILINEAR), width: w, height: h };
}

/** The thing that a picture shows, cut out, light on black. */
function cutOut({ plane, width, height }, subject) {
  const { above, ring } = aboveGround(plane, width, height);
  const noise = 3 * quantile(counted(above, ring), 0.95);
  const counts = counted(above);
  let low, seen, high;
  if (subject.ink) {
    const middle = otsu(counts);
    low = Math.min(noise, Math.floor(middle / 2));
    seen = Math.max(low, Math.floor(middle / 2));
    high = Math.max(quantile(counts.map((n, shade) => shade > middle ? n : 0), 0.75), low + 1);
  } else {
    low = Math.min(noise, 254), seen = Math.max(noise, FAINT), high = 255;
  }
  const rows = new Int32Array(height), columns = new Int32Array(width);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) if (above[y * width + x] > seen) rows[y]++, columns[x]++;
  }
  const enough = Math.max(1, Math.floor(Math.max(height, width) / SPECKS));
  const first = n => n >= enough;
  const top = rows.findIndex(first), left = columns.findIndex(first);
  if (top < 0 || left < 0) throw new Unreadable("shows nothing that stands out from its background");
  const bottom = rows.findLastIndex(first) + 1, right = columns.findLastIndex(first) + 1;
  const shades = Uint8Array.from({ length: 256 }, (_, shade) =>
    Math.min(255, Math.max(0, Math.floor((shade - low) * 255 / (high - low) + 0.5))));
  const out = new Uint8Array((bottom - top) * (right - left));
  for (let y = top, i = 0; y < bottom; y++) for (let x = left; x < right; x++) out[i++] = shades[above[y * width + x]];
  return { plane: out, width: right - left, height: bottom - top };
}

/** How far each pixel is above the ground's shade, and which pixels are ground at the edge. */
function aboveGround(plane, width, height) {
  const thick = Math.max(1, Math.floor(Math.min(height, width) / RING));
  let ring = new Uint8Array(plane.length);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      ring[i] = y < thick || x < thick || y >= height - thick || x >= width - thick ? 1 : 0;
    }
  }
  let shade = quantile(counted(plane, ring), 0.5);
  const turned = shade > 127;
  if (turned) shade = 255 - shade;
  const off = new Int32Array(plane.length);
  for (let i = 0; i < plane.length; i++) off[i] = (turned ? 255 - plane[i] : plane[i]) - shade;
  let [base, byX, byY] = [0, 0, 0];
  const ground = (x, y) => base + byX * (2 * x - (width - 1)) + byY * (2 * y - (height - 1));
  for (const most of SAME_GROUND) {
    const near = new Uint8Array(plane.length);
    let some = false;
    for (let y = 0, i = 0; y < height; y++) {
      for (let x = 0; x < width; x++, i++) if (ring[i] && Math.abs(off[i] - ground(x, y)) <= most) near[i] = 1, some = true;
    }
    if (!some) break; // a ground of two shades, each far from their mean: the plane stays as it was
    ring = near;
    [base, byX, byY] = plain(off, ring, width, height);
  }
  const above = new Uint8Array(plane.length);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) above[i] = Math.min(255, Math.max(0, Math.floor(off[i] - ground(x, y) + 0.5)));
  }
  return { above, ring };
}

/** The least-squares plane through the ring's values. */
function plain(off, ring, width, height) {
  let n = 0, sx = 0, sy = 0, sz = 0, xx = 0, xy = 0, yy = 0, xz = 0, yz = 0;
  for (let row = 0, i = 0; row < height; row++) {
    for (let column = 0; column < width; column++, i++) {
      if (!ring[i]) continue;
      const x = 2 * column - (width - 1), y = 2 * row - (height - 1), z = off[i];
      n++, sx += x, sy += y, sz += z, xx += x * x, xy += x * y, yy += y * y, xz += x * z, yz += y * z;
    }
  }
  const all = n * (xx * yy - xy * xy) - sx * (sx * yy - xy * sy) + sy * (sx * xy - xx * sy);
  if (all === 0) return [sz / n, 0, 0];
  const a = sz * (xx * yy - xy * xy) - sx * (xz * yy - xy * yz) + sy * (xz * xy - xx * yz);
  const b = n * (xz * yy - xy * yz) - sz * (sx * yy - xy * sy) + sy * (sx * yz - xz * sy);
  const c = n * (xx * yz - xz * xy) - sx * (sx * yz - xz * sy) + sz * (sx * xy - xx * sy);
  return [a / all, b / all, c / all];
}

function counted(values, where) {
  const counts = Array(256).fill(0);
  for (let i = 0; i < values.length; i++) if (!where || where[i]) counts[values[i]]++;
  return counts;
}

function quantile(counts, share) {
  const total = counts.reduce((a, b) => a + b, 0);
  let running = 0;
  if (!total) return 0;
  return counts.findIndex(n => (running += n) >= share * total);
}

function otsu(counts) {
  const n = counts.reduce((a, b) => a + b, 0), total = counts.reduce((a, b, shade) => a + b * shade, 0);
  let best = -1, found = 0, below = 0, sumBelow = 0;
  counts.forEach((count, shade) => {
    below += count;
    sumBelow += shade * count;
    if (below === 0 || below === n) return;
    const apart = sumBelow / below - (total - sumBelow) / (n - below);
    const between = below * (n - below) * apart * apart;
    if (between > best) best = between, found = shade;
  });
  return found;
}

/** The thing, scaled to its box, in its place on black. */
function place(alone, { width, height, subject }) {
  const share = halfUp(subject.box * Math.min(height, width)) / Math.max(alone.width, alone.height);
  const w = Math.max(1, halfUp(alone.width * share)), h = Math.max(1, halfUp(alone.height * share));
  const scaled = resize(alone.plane, alone.width, alone.height, w, h, BICUBIC);
  const lightest = scaled.reduce((a, b) => Math.max(a, b), 0);
  if (lightest) for (let i = 0; i < scaled.length; i++) scaled[i] = Math.floor((scaled[i] * 510 + lightest) / (2 * lightest));
  let top = Math.floor((height - h) / 2), left = Math.floor((width - w) / 2);
  if (subject.centre === "mass" && lightest) {
    let total = 0, across = 0, down = 0;
    for (let y = 0, i = 0; y < h; y++) for (let x = 0; x < w; x++, i++) total += scaled[i], across += x * scaled[i], down += y * scaled[i];
    top = Math.min(Math.max(halfUp(height / 2 - down / total), 0), height - h);
    left = Math.min(Math.max(halfUp(width / 2 - across / total), 0), width - w);
  }
  const out = new Uint8Array(width * height);
  for (let y = 0; y < h; y++) out.set(scaled.subarray(y * w, (y + 1) * w), (y + top) * width + left);
  return out;
}
