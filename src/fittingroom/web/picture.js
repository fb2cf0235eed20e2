// From a file or a canvas to pixels: upright, on white where it is transparent, as the camera or the pen left it.

import { Unreadable } from "./framing.js";

const MOST_PIXELS = 40_000_000;

/** Whether a file is a PNG of sixteen bits, of which a browser gives the upper eight. */
async function isDeep(file) {
  const head = new Uint8Array(await file.slice(0, 25).arrayBuffer());
  return head.length === 25 && head[1] === 0x50 && head[2] === 0x4e && head[3] === 0x47 && head[24] === 16;
}

/**
 * A picture file as { data, width, height }, four bytes a pixel. Throws `Unreadable`, also for one of sixteen bits where the
 * model brings those to eight by a `range` of its own.
 */
export async function fromFile(file, range = null) {
  if (range && (await isDeep(file))) {
    throw new Unreadable(`${file.name || "this"} has sixteen bits, of which a browser shows eight; use fittingroom predict`);
  }
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", imageOrientation: "from-image" });
  } catch {
    throw new Unreadable(`${file.name || "this"} is no picture that this browser can read`);
  }
  try {
    const { width, height } = bitmap;
    if (width * height > MOST_PIXELS) throw new Unreadable(`has ${width} × ${height} pixels, more than ${MOST_PIXELS}`);
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
