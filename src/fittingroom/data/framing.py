"""From any picture to the form of the training images. `web/framing.js` does the same, number by number."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from fittingroom.data.own.decode import MOST_PIXELS, Unreadable, opened, upright
from fittingroom.data.own.listing import Picture
from fittingroom.data.own.shape import Target, resized
from fittingroom.spec.framing import Framing, Subject

__all__ = ["Unreadable", "format_of", "frame", "pixels_of", "read_framed", "read_or_reason"]

LOOKED_AT = 400  # pixels: a larger picture is made smaller before its subject is looked for
RING = 40  # the ground is what the outermost 1/40 of a picture shows
SAME_GROUND = (80, 24)  # shades off the ground's median, then off its plane: what differs more is no ground
FAINT = 12  # shades above the ground, of 255: what is fainter belongs to no subject (Fashion-MNIST's makers took 5 %)
SPECKS = 200  # a row or column belongs to the subject if it has 1/200 of the longer side, or more, in pixels of it


def read_framed(picture: Picture, framing: Framing, most_pixels: int = MOST_PIXELS) -> np.ndarray:
    """A picture file (a path, or its bytes) as (C,H,W) uint8 in the form of `framing`.

    Raises `Unreadable`, "is no PNG …", say: what is wrong with it; so for one with more than `most_pixels`, undecoded.
    """
    with opened(picture) as image:
        _refuse_large(image, most_pixels)
        return frame(upright(image, framing.range), framing)


def _refuse_large(image: Image.Image, most_pixels: int) -> None:
    if image.width * image.height > most_pixels:
        raise Unreadable(f"has {image.width:,} × {image.height:,} pixels, more than {most_pixels:,}")


def read_or_reason(picture: Picture, framing: Framing, most_pixels: int = MOST_PIXELS) -> np.ndarray | str:
    """The same, or what is wrong with it: where one bad picture among many fails alone."""
    try:
        return read_framed(picture, framing, most_pixels)
    except Unreadable as reason:
        return str(reason)


def pixels_of(picture: Picture) -> int:
    """How many pixels a picture file says it has, undecoded; 0 for what is none."""
    try:
        with opened(picture) as image:
            return image.width * image.height
    except Unreadable:
        return 0


def format_of(picture: Picture, most_pixels: int = MOST_PIXELS) -> str:
    """The format (Pillow's name: "PNG") of a picture file that can be decoded to its end. Raises `Unreadable`."""
    with opened(picture) as image:
        _refuse_large(image, most_pixels)
        kind = image.format or ""
        upright(image, None)
        return kind


def frame(picture: Image.Image, framing: Framing) -> np.ndarray:
    """An upright picture (mode L or RGB) as (C,H,W) uint8 in the form of `framing`.

    One that has the right size already stays as it is. Else, where the training images show one thing on an empty
    ground, it is made grey, inverted if its ground is light, freed from the ground's shade (a plane, fitted to the
    picture's edge), cut to the thing, scaled, centred and padded: MNIST's own recipe (yann.lecun.com/exdb/mnist).
    Other pictures are padded, cropped or stretched, as those that were trained on.
    Raises `Unreadable` if such a picture shows nothing.

    >>> digit = Framing(channels=1, height=28, width=28, resize="pad", subject=Subject(box=5 / 7, centre="mass", ink=True))
    >>> page = np.full((100, 90), 240, np.uint8)
    >>> page[20:80, 40:46] = 30
    >>> one = frame(Image.fromarray(page), digit)[0]
    >>> one.any(1).nonzero()[0].tolist() == list(range(5, 25)), one.any(0).nonzero()[0].tolist(), int(one.max())
    (True, [14, 15], 255)
    """
    as_it_is = picture.size == (framing.width, framing.height)
    if framing.subject is None or as_it_is:
        return Target(framing.channels, framing.height, framing.width, framing.resize).fit(picture)
    alone = _subject(np.asarray(_reduced(picture.convert("L"))), framing.subject)
    placed = _placed(alone, framing)
    return np.broadcast_to(placed, framing.shape).copy()


def half_up(value: float) -> int:
    """To the nearest whole number, halves up: as JavaScript's `Math.round` does."""
    return math.floor(value + 0.5)


def _reduced(picture: Image.Image) -> Image.Image:
    share = LOOKED_AT / max(picture.size)
    if share >= 1:
        return picture
    return resized(picture, (max(1, half_up(picture.width * share)), max(1, half_up(picture.height * share))))


def _subject(grey_HW: np.ndarray, subject: Subject) -> np.ndarray:
    """The thing that a picture shows, cut out, light on black."""
    height, width = grey_HW.shape
    above_HW, ring = _above_ground(grey_HW)
    noise = 3 * _quantile(np.bincount(above_HW[ring], minlength=256), 0.95)
    counts = np.bincount(above_HW.ravel(), minlength=256)
    if subject.ink:
        middle = _otsu(counts)
        low = min(noise, middle // 2)
        seen = max(low, middle // 2)
        inked = np.where(np.arange(256) > middle, counts, 0)
        high = max(_quantile(inked, 0.75), low + 1)
    else:
        low, seen, high = min(noise, 254), max(noise, FAINT), 255
    there = above_HW > seen
    enough = max(1, max(height, width) // SPECKS)
    rows, columns = (np.flatnonzero(there.sum(axis) >= enough) for axis in (1, 0))
    if not len(rows) or not len(columns):
        raise Unreadable("shows nothing that stands out from its background")
    cut = above_HW[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    shades = np.floor((np.arange(256) - low) * 255 / (high - low) + 0.5).clip(0, 255).astype(np.uint8)
    return np.asarray(shades[cut])


def _above_ground(grey_HW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far each pixel is above the ground's shade (H,W) uint8, and which pixels are ground at the edge (H,W) bool."""
    height, width = grey_HW.shape
    thick = max(1, min(height, width) // RING)
    ring = np.ones((height, width), bool)
    ring[thick : height - thick, thick : width - thick] = False
    shade = _quantile(np.bincount(grey_HW[ring], minlength=256), 0.5)
    values = grey_HW.astype(np.int64)
    if shade > 127:
        values, shade = 255 - values, 255 - shade
    off = values - shade
    across = np.broadcast_to(2 * np.arange(width) - (width - 1), off.shape)  # whole numbers
    down = np.broadcast_to((2 * np.arange(height) - (height - 1))[:, None], off.shape)
    ground = np.zeros(off.shape)
    for most in SAME_GROUND:
        near = ring & (abs(off - ground) <= most)
        if not near.any():  # a ground of two shades, each far from their mean: the plane stays as it was
            break
        ring = near
        base, by_x, by_y = _plane(across[ring], down[ring], off[ring])
        ground = base + by_x * across + by_y * down
    return np.floor(off - ground + 0.5).clip(0, 255).astype(np.uint8), ring


def _plane(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[float, float, float]:
    """The least-squares plane z = a + b x + c y through whole-number points: sums are exact, the rest is Cramer's rule."""
    n = float(len(x))
    sx, sy, sz = float(x.sum()), float(y.sum()), float(z.sum())
    xx, xy, yy = float((x * x).sum()), float((x * y).sum()), float((y * y).sum())
    xz, yz = float((x * z).sum()), float((y * z).sum())
    all_of_it = n * (xx * yy - xy * xy) - sx * (sx * yy - xy * sy) + sy * (sx * xy - xx * sy)
    if all_of_it == 0:  # a line of points
        return sz / n, 0.0, 0.0
    a = sz * (xx * yy - xy * xy) - sx * (xz * yy - xy * yz) + sy * (xz * xy - xx * yz)
    b = n * (xz * yy - xy * yz) - sz * (sx * yy - xy * sy) + sy * (sx * yz - xz * sy)
    c = n * (xx * yz - xz * xy) - sx * (sx * yz - xz * sy) + sz * (sx * xy - xx * sy)
    return a / all_of_it, b / all_of_it, c / all_of_it


def _quantile(counts_256: np.ndarray, share: float) -> int:
    """The smallest shade that at least this share of the counted pixels does not exceed; 0 if none is counted."""
    total = np.cumsum(counts_256)
    return int(np.searchsorted(total, share * total[-1])) if total[-1] else 0


def _otsu(counts_256: np.ndarray) -> int:
    """The shade that parts dark from light best (Otsu 1979): pixels above it are light."""
    best, found = -1.0, 0
    n, total = int(counts_256.sum()), int((counts_256 * np.arange(256)).sum())
    below, sum_below = 0, 0
    for shade, count in enumerate(counts_256.tolist()):
        below += count
        sum_below += shade * count
        if below == 0 or below == n:
            continue
        apart = sum_below / below - (total - sum_below) / (n - below)
        between = below * (n - below) * apart * apart
        if between > best:
            best, found = between, shade
    return found


def _placed(alone_HW: np.ndarray, framing: Framing) -> np.ndarray:
    """The thing, scaled to its box, in its place on black (H,W)."""
    assert framing.subject is not None
    subject, height, width = framing.subject, framing.height, framing.width
    share = half_up(subject.box * min(height, width)) / max(alone_HW.shape)
    size = [max(1, half_up(side * share)) for side in alone_HW.shape]
    scaled = np.asarray(resized(Image.fromarray(alone_HW), (size[1], size[0]), Image.Resampling.BICUBIC)).astype(
        np.int64
    )
    if scaled.max():  # each image of either has a white pixel: measured
        scaled = (scaled * 510 + scaled.max()) // (2 * scaled.max())
    spare = height - size[0], width - size[1]
    at = [side // 2 for side in spare]
    if subject.centre == "mass" and scaled.sum():  # MNIST's lies at pixel 14 of 28, counted from 0: measured
        total = float(scaled.sum())
        mass = [float((scaled.sum(1 - axis) * np.arange(size[axis])).sum()) / total for axis in (0, 1)]
        at = [
            min(max(half_up(whole / 2 - middle), 0), room)
            for whole, middle, room in zip((height, width), mass, spare, strict=True)
        ]
    out = np.zeros((height, width), np.uint8)
    out[at[0] : at[0] + size[0], at[1] : at[1] + size[1]] = scaled
    return out
