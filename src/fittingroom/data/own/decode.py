"""From a picture file to pixels: eight bits, grey or colour, upright. The one place that decodes what a stranger made."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fittingroom.data.own.listing import Picture

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")  # nothing else is tried: some decoders start other programs
MOST_PIXELS = 178_956_970  # a larger picture could be made to fill the memory; Pillow's own limit
BACKGROUND = 255  # white, behind what is transparent


class Unreadable(Exception):
    """Why a picture gives no pixels."""


def is_file(path: Path) -> bool:
    """Whether `path` is a plain file; False, too, for what no system could call a path."""
    try:
        return bool(path.is_file())
    except (OSError, ValueError):
        return False


def opened(picture: Picture) -> Image.Image:
    """The picture with its header read, and no pixel yet. Raises `Unreadable`."""
    if isinstance(picture, np.ndarray):
        return Image.fromarray(picture[..., 0] if picture.ndim == 3 and picture.shape[2] == 1 else picture)
    try:
        if not isinstance(picture, bytes) and not is_file(picture):
            raise Unreadable("no such file")
        image = Image.open(io.BytesIO(picture) if isinstance(picture, bytes) else picture, formats=FORMATS)
    except UnidentifiedImageError:
        raise Unreadable("is no PNG, JPEG, WebP, BMP, GIF or TIFF") from None
    except Image.DecompressionBombError:
        raise Unreadable(f"has more than {MOST_PIXELS:,} pixels") from None
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError) as error:
        raise Unreadable(_reason(error)) from None
    if image.width * image.height > MOST_PIXELS:
        image.close()
        raise Unreadable(f"has {image.width:,} × {image.height:,} pixels, more than {MOST_PIXELS:,}")
    return image


def upright(image: Image.Image) -> Image.Image:
    """Its first frame in mode L or RGB, turned as its EXIF says, on white where it is transparent. Raises `Unreadable`.

    Sixteen-bit grey keeps its upper eight bits.
    """
    try:
        image.load()
        with contextlib.suppress(Exception):  # broken EXIF says nothing
            image = ImageOps.exif_transpose(image)
        return _eight_bit(image)
    except Unreadable:
        raise
    except Exception as error:  # a decoder fed with a stranger's bytes may raise anything
        raise Unreadable(_reason(error)) from None


def decode(picture: Picture) -> Image.Image:
    """`opened` and `upright` in one. Pillow may warn of oddities; muting that is for the caller, once around all threads.

    >>> decode(np.full((2, 3), 7, np.uint8)).size
    (3, 2)
    """
    with opened(picture) as image:
        return upright(image)


def is_grey(image: Image.Image, tolerance: int = 8) -> bool:
    """Whether a picture shows grey only, though it may be stored in colour (JPEG's rounding is tolerated).

    >>> is_grey(Image.new("RGB", (2, 2), (9, 9, 9))), is_grey(Image.new("RGB", (2, 2), (200, 9, 9)))
    (True, False)
    """
    if image.mode == "L":
        return True
    pixels = np.asarray(image, np.int16)
    return bool((pixels.max(2) - pixels.min(2)).max(initial=0) <= tolerance)


def _eight_bit(image: Image.Image) -> Image.Image:
    match image.mode:
        case "L" | "RGB":
            return image.copy() if "transparency" not in image.info else _on_white(image.convert("RGBA"), image.mode)
        case "1":
            grey = image.convert("L")
            if "transparency" in image.info:
                grey.info["transparency"] = 255 if image.info["transparency"] else 0
            return _eight_bit(grey)
        case "I" | "I;16" | "I;16B" | "I;16L":
            values = np.asarray(image).astype(np.int64)
            if values.min() < 0 or values.max() > 65535:
                raise Unreadable(f"has values from {values.min()} to {values.max()}; 0 … 65535 are read")
            eight = (values >> 8).astype(np.uint8)
            if "transparency" in image.info:
                eight[values == image.info["transparency"]] = BACKGROUND
            return Image.fromarray(eight)
        case "LA" | "La":
            return _on_white(image.convert("LA").convert("RGBA"), "L")
        case "P" if "transparency" not in image.info and image.palette is not None and image.palette.mode == "RGB":
            return image.convert("RGB")
        case "P" | "PA" | "RGBA" | "RGBa" | "RGBX":
            return _on_white(image.convert("RGBA"), "RGB")
        case "CMYK" | "YCbCr":
            return image.convert("RGB")
    raise Unreadable(f"has pixels of a kind that is not read ({image.mode})")


def _on_white(image: Image.Image, mode: str) -> Image.Image:
    below = Image.new("RGBA", image.size, (BACKGROUND, BACKGROUND, BACKGROUND, 255))
    return Image.alpha_composite(below, image).convert(mode)


def _reason(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    detail = text[0] if text and isinstance(error, OSError | SyntaxError | ValueError) else type(error).__name__
    return f"cannot be decoded ({error.strerror if isinstance(error, OSError) and error.strerror else detail})"
