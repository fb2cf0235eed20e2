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
  return eightBit(await inflated(parts, height * (1 + BYTES * width), name), width, height, range, clear, name);
}

/** Of a PNG: its compressed parts, the value that is transparent (-1: none), and whether metadata may turn it. */
function chunks(view) {
  const parts = [], text = new TextDecoder("latin1");
  let clear = -1, turned = false;
  for (let at = 8; at + 12 <= view.byteLength;) {
    const length = view.getUint32(at), kind = String.fromCharCode(...new Uint8Array(view.buffer, at + 4, 4));
    if (at + 12 + length > view.byteLength) break; // what is missing is told when it is unpacked
    const content = new Uint8Array(view.buffer, at + 8, length);
    if (kind === "IDAT") parts.push(content);
    if (kind === "tRNS") clear = view.getUint16(at + 8);
    if (kind === "eXIf" || (kind === "iTXt" && text.decode(content).includes("Orientation"))) turned = true;
    at += 12 + length;
  }
  return { parts, clear, turned };
}

/** What zlib packed, which must have `size` bytes: more is not unpacked, so that a small file cannot fill the memory. */
async function inflated(parts, size, name) {
  const bytes = new Uint8Array(size);
  let at = 0;
  try {
    const reader = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      if (at + next.value.length > size) { await reader.cancel(); at = -1; break; }
      bytes.set(next.value, at);
      at += next.value.length;
    }
  } catch { at = -1; }
  if (at !== size) throw new Unreadable(`${name} is a PNG that cannot be decoded`);
  return bytes;
}

/** Undo each row's filter (PNG specification, 9.2) in place, and bring its values to eight bits. */
function eightBit(bytes, width, height, range, clear, name) {
  const [low, high] = range ?? [0, 0], step = 255 / Math.max(high - low, 1e-300), row = BYTES * width;
  const data = new Uint8ClampedArray(4 * width * height).fill(255);
  let above = new Uint8Array(row);
  for (let y = 0; y < height; y++) {
    const filter = bytes[y * (row + 1)], line = bytes.subarray(y * (row + 1) + 1, (y + 1) * (row + 1));
    if (filter > 4) throw new Unreadable(`${name} is a PNG that cannot be decoded`);
    for (let i = 0; filter && i < row; i++) {
      const left = i < BYTES ? 0 : line[i - BYTES], up = above[i];
      if (filter === 1) line[i] += left;
      else if (filter === 2) line[i] += up;
      else if (filter === 3) line[i] += (left + up) >> 1;
      else line[i] += paeth(left, up, i < BYTES ? 0 : above[i - BYTES]);
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
  const a = Math.abs(up - corner), b = Math.abs(left - corner), c = Math.abs(left + up - 2 * corner);
  return a <= b && a <= c ? left : b <= c ? up : corner;
}
