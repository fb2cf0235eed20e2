"""From a picture file to pixels: eight bits, grey or colour, upright. The one place that decodes what a stranger made.

Pictures of more than eight bits (10 or 12 in 16, 32-bit whole numbers, floats) are brought to eight by a range of the whole data
set, `data.range`: each by its own would make a dim one bright.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError, features

from fittingroom.data.own.listing import Picture

# nothing else is tried: some decoders start other programs
OPTIONAL = tuple(name for name, part in (("JPEG2000", "jpg_2000"), ("AVIF", "avif")) if features.check(part))
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", *OPTIONAL)  # MPO is opened as JPEG
KINDS = "PNG, JPEG, WebP, BMP, GIF, TIFF, PPM, PGM, JPEG 2000 or AVIF"
TIFF = (b"II*\0", b"MM\0*")
HEADS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", *TIFF, b"RIFF", b"\0\0\0\x0cjP")  # of the most usual
MOST_PIXELS = 178_956_970  # a larger picture could be made to fill the memory; Pillow's own limit
BACKGROUND = 255  # white, behind what is transparent
WIDE = ("I", "I;16", "I;16B", "I;16L", "F")  # Pillow's modes of more than eight bits

Range = tuple[float, float]  # the values that become black and white


class Unreadable(Exception):
    """Why a picture gives no pixels."""


def is_file(path: Path) -> bool:
    """Whether `path` is a plain file; False, too, for what no system could call a path."""
    try:
        return bool(path.is_file())
    except (OSError, ValueError):
        return False


def begins_like_one(path: Path) -> bool:
    """Whether a file's first bytes are those of a picture; False for what cannot be read."""
    return _head(path).startswith(HEADS)


def _head(picture: Path | bytes) -> bytes:
    """The first eight bytes; none of what cannot be read."""
    if isinstance(picture, bytes):
        return picture[:8]
    try:
        with picture.open("rb") as file:
            return file.read(8)
    except OSError:
        return b""


def opened(picture: Picture) -> Image.Image:
    """The picture with its header read, and no pixel yet. Raises `Unreadable`."""
    if isinstance(picture, np.ndarray):
        return Image.fromarray(picture[..., 0] if picture.ndim == 3 and picture.shape[2] == 1 else picture)
    if not isinstance(picture, bytes) and not is_file(picture):
        raise Unreadable("no such file")
    try:
        image = Image.open(io.BytesIO(picture) if isinstance(picture, bytes) else picture, formats=FORMATS)
    except UnidentifiedImageError:
        if _head(picture).startswith(TIFF):
            raise Unreadable(
                "is a TIFF of a kind that is not read (of five bands and more, for example), or damaged"
            ) from None
        raise Unreadable(f"is no {KINDS}") from None
    except Image.DecompressionBombError:
        raise Unreadable(f"has more than {MOST_PIXELS:,} pixels") from None
    except Exception as error:  # a decoder fed with a stranger's bytes may raise anything
        raise Unreadable(_reason(error)) from None
    if image.width * image.height > MOST_PIXELS:
        image.close()
        raise Unreadable(f"has {image.width:,} × {image.height:,} pixels, more than {MOST_PIXELS:,}")
    return image


def values_of(picture: Picture) -> Range | None:
    """The least and the largest value of a picture of more than eight bits; None for any other, and for what is unreadable."""
    if isinstance(picture, np.ndarray):
        values = picture if picture.dtype != np.uint8 else None
    else:
        try:
            with opened(picture) as image:
                values = np.asarray(image) if image.mode in WIDE else None
        except Exception:  # it will be told when it is decoded
            return None
    if values is None or not values.size or not np.isfinite(values).all():
        return None
    return float(values.min()), float(values.max())


def to_bytes(values: np.ndarray, scale: Range) -> np.ndarray:
    """Values of any kind as uint8: `scale` becomes 0 and 255, what lies outside is cut off. Raises `Unreadable` for NaN.

    >>> to_bytes(np.array([-1.0, 0.0, 1.0, 7.0]), (-1.0, 1.0)).tolist()
    [0, 128, 255, 255]
    """
    low, high = scale
    wide = values.astype(np.float64)
    if not np.isfinite(wide).all():
        raise Unreadable("has pixels that are no numbers")
    return np.floor((wide - low) * (255 / max(high - low, 1e-300)) + 0.5).clip(0, 255).astype(np.uint8)


def upright(image: Image.Image, scale: Range | None = None) -> Image.Image:
    """Its first frame in mode L or RGB, turned as its EXIF says, on white where it is transparent. Raises `Unreadable`.

    More than eight bits are brought to eight by `scale`; without one, sixteen-bit grey keeps its upper eight.
    """
    try:
        image.load()
        with contextlib.suppress(Exception):  # broken EXIF says nothing
            image = ImageOps.exif_transpose(image)
        return _eight_bit(image, scale)
    except Unreadable:
        raise
    except Exception as error:  # a decoder fed with a stranger's bytes may raise anything
        raise Unreadable(_reason(error)) from None


def decode(picture: Picture, scale: Range | None = None) -> Image.Image:
    """`opened` and `upright` in one. Pillow may warn of oddities; muting that is for the caller, once around all threads.

    >>> decode(np.full((2, 3), 7, np.uint8)).size
    (3, 2)
    """
    if isinstance(picture, np.ndarray) and picture.dtype != np.uint8:
        picture = to_bytes(picture, scale or (0.0, 255.0))
    with opened(picture) as image:
        return upright(image, scale)


def is_grey(image: Image.Image, tolerance: int = 8) -> bool:
    """Whether a picture shows grey only, though it may be stored in colour (JPEG's rounding is tolerated).

    >>> is_grey(Image.new("RGB", (2, 2), (9, 9, 9))), is_grey(Image.new("RGB", (2, 2), (200, 9, 9)))
    (True, False)
    """
    if image.mode == "L":
        return True
    pixels = np.asarray(image, np.int16)
    return bool((pixels.max(2) - pixels.min(2)).max(initial=0) <= tolerance)


def _eight_bit(image: Image.Image, scale: Range | None) -> Image.Image:
    match image.mode:
        case "L" | "RGB":
            return image.copy() if "transparency" not in image.info else _on_white(image.convert("RGBA"), image.mode)
        case "1":
            grey = image.convert("L")
            if "transparency" in image.info:
                grey.info["transparency"] = 255 if image.info["transparency"] else 0
            return _eight_bit(grey, scale)
        case mode if mode in WIDE and scale:
            eight = to_bytes(np.asarray(image), scale)
            if "transparency" in image.info:
                eight[np.asarray(image) == image.info["transparency"]] = BACKGROUND
            return Image.fromarray(eight)
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
