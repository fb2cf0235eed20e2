// From a file or a canvas to pixels: upright, on white where it is transparent, as the camera or the pen left it.

import { fromDeep } from "./deep.js";
import { Unreadable } from "./framing.js";

const MOST_PIXELS = 40_000_000;

/**
 * A picture file as { data, width, height }, four bytes a pixel. `range` are the values that become black and white in pictures of
 * more than eight bits, where the model has such. Throws `Unreadable`.
 */
export async function fromFile(file, range = null) {
  const deep = await fromDeep(file, range, MOST_PIXELS);
  if (deep) return deep;
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", imageOrientation: "from-image" });
  } catch {
    throw new Unreadable(`${file.name || "this"} is no picture that this browser can read`);
  }
  try {
    const { width, height } = bitmap;
    if (width * height > MOST_PIXELS) throw new Unreadable(`${file.name || "this"} has ${width} × ${height} pixels, more than ${MOST_PIXELS}`);
    const canvas = new OffscreenCanvas(width, height);
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, width, height);
    pen.drawImage(bitmap, 0, 0);
    return fromCanvas(canvas);
  } finally {
    bitmap.close();
  }
}

/** A picture of this size on a canvas, at most `side` pixels on the longer side. */
export function scaled(source, width, height, side = Infinity) {
  const scale = Math.min(1, side / Math.max(width, height));
  const canvas = new OffscreenCanvas(Math.round(width * scale), Math.round(height * scale));
  canvas.getContext("2d").drawImage(source, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/** What a canvas shows. */
export function fromCanvas(canvas) {
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d", { willReadFrequently: true }).getImageData(0, 0, width, height);
  return { data, width, height };
}

/** The first picture of a drop or a paste, or null. */
export function pictureOf(transfer) {
  return [...(transfer?.files ?? [])].find(file => file.type.startsWith("image/")) ?? transfer?.files?.[0] ?? null;
}
