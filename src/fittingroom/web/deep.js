// Sixteen-bit grey PNGs, of which a canvas would keep eight bits: their values, brought to eight as Python does it.

import { Unreadable } from "./framing.js";

const PNG = [0x89504e47, 0x0d0a1a0a], GREY = 0, BYTES = 2; // of a value

/**
 * A PNG of sixteen-bit grey as { data, width, height }, four bytes a pixel; null for any other file. `range` are the values that
 * become black and white; without one the upper eight bits are kept. Throws `Unreadable`.
 */
export async function fromDeep(file, range, mostPixels) {
  if (file.size < 33) return null;
  const head = new DataView(await file.slice(0, 33).arrayBuffer());
  if (head.getUint32(0) !== PNG[0] || head.getUint32(4) !== PNG[1] || head.getUint8(24) !== 16 || head.getUint8(25) !== GREY) return null;
  const width = head.getUint32(16), height = head.getUint32(20), interlaced = head.getUint8(28);
  const name = file.name || "this";
  if (width * height > mostPixels) throw new Unreadable(`${name} has ${width} × ${height} pixels, more than ${mostPixels}`);
  const { parts, clear, turned } = chunks(new DataView(await file.arrayBuffer()));
  if (interlaced || turned) {
    throw new Unreadable(`${name} is a sixteen-bit PNG that is interlaced or turned; use fittingroom predict`);
  }
  return eightBit(await inflated(parts, height * (1 + BYTES * width), name), width, height, range, clear);
}

/** Of a PNG: its compressed parts, the value that is transparent (-1: none), and whether EXIF may turn it. */
function chunks(view) {
  const parts = [];
  let clear = -1, turned = false;
  for (let at = 8; at + 12 <= view.byteLength;) {
    const length = view.getUint32(at), kind = String.fromCharCode(...new Uint8Array(view.buffer, at + 4, 4));
    if (at + 12 + length > view.byteLength) break; // what is missing is told when it is unpacked
    if (kind === "IDAT") parts.push(new Uint8Array(view.buffer, at + 8, length));
    if (kind === "tRNS") clear = view.getUint16(at + 8);
    if (kind === "eXIf") turned = true;
    at += 12 + length;
  }
  return { parts, clear, turned };
}

async function inflated(parts, size, name) {
  try {
    const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
    const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
    if (bytes.length === size) return bytes;
  } catch { /* the same words */ }
  throw new Unreadable(`${name} is a PNG that cannot be decoded`);
}

/** Undo each row's filter (PNG specification, 9.2) in place, and bring its values to eight bits. */
function eightBit(bytes, width, height, range, clear) {
  const [low, high] = range ?? [0, 0], step = 255 / Math.max(high - low, 1e-300), row = BYTES * width;
  const data = new Uint8ClampedArray(4 * width * height).fill(255);
  let above = new Uint8Array(row);
  for (let y = 0; y < height; y++) {
    const filter = bytes[y * (row + 1)], line = bytes.subarray(y * (row + 1) + 1, (y + 1) * (row + 1));
    for (let i = 0; i < row; i++) {
      const left = i < BYTES ? 0 : line[i - BYTES], up = above[i], corner = i < BYTES ? 0 : above[i - BYTES];
      line[i] += [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter];
    }
    for (let x = 0; x < width; x++) {
      const value = line[BYTES * x] << 8 | line[BYTES * x + 1], at = 4 * (y * width + x);
      const eight = range ? Math.floor((value - low) * step + 0.5) : value >> 8;
      if (value !== clear) data[at] = data[at + 1] = data[at + 2] = eight; // clamped
    }
    above = line;
  }
  return { data, width, height };
}

function paeth(left, up, corner) {
  const [a, b, c] = [left, up, corner].map(value => Math.abs(left + up - corner - value));
  return a <= b && a <= c ? left : b <= c ? up : corner;
}
