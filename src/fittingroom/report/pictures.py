"""Small images as PNG data, enlarged without blur by the page."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image


def png_bytes(image_CHW: np.ndarray) -> bytes:
    """One uint8 image (C,H,W) with 1 or 3 channels as PNG."""
    channels = len(image_CHW)
    picture = Image.fromarray(image_CHW[0] if channels == 1 else np.moveaxis(image_CHW[:3], 0, 2))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def data_uri(content: bytes, kind: str = "image/png") -> str:
    """Bytes as a data: URI."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def sheet(images_RCHW: np.ndarray, columns: int, gap: int = 1, background: int = 128) -> np.ndarray:
    """Images in rows of `columns`, with grey lines between them, as one (C,H,W) image.

    >>> sheet(np.zeros((4, 1, 2, 2), np.uint8), columns=2).shape
    (1, 5, 5)
    """
    r, c, h, w = images_RCHW.shape
    rows = max(1, -(-r // columns))
    out = np.full((c, rows * (h + gap) - gap, columns * (w + gap) - gap), background, np.uint8)
    for i, image in enumerate(images_RCHW):
        y, x = (i // columns) * (h + gap), (i % columns) * (w + gap)
        out[:, y : y + h, x : x + w] = image
    return out
