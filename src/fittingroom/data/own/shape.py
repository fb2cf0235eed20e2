"""One size, one number of channels, one way to get there: chosen from the pictures where the recipe leaves it open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from fittingroom.data.own.decode import Unreadable
from fittingroom.spec.recipe import ShapeSpec

LARGEST_AS_THEY_ARE = 64  # pictures all of one size up to this are taken as they are
SIDES = (28, 32, 48, 64)  # else a square: a larger one costs with its area; ask for it
SAME_ASPECT = 0.03  # two aspects closer than this look the same
MOST_BETWEEN = 16_000_000  # pixels between the two steps of resizing, if the picture itself has fewer
FILTER = Image.Resampling.BILINEAR  # with antialiasing; ONNX's Resize can do the same


@dataclass(frozen=True)
class Look:
    """What of a picture decides its target."""

    height: int
    width: int
    mode: str  # Pillow's: L or RGB
    grey: bool


@dataclass(frozen=True)
class Target:
    """What every picture becomes: (C,H,W) uint8."""

    channels: int
    height: int
    width: int
    resize: Literal["pad", "crop", "stretch"]

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.channels, self.height, self.width

    def fit(self, picture: Image.Image) -> np.ndarray:
        """An upright picture as (C,H,W) uint8. Padding is black. Raises `Unreadable` for one that is far too thin.

        >>> Target(1, 4, 4, "pad").fit(Image.new("L", (4, 2), 255))[0, :, 0].tolist()
        [0, 255, 255, 0]
        """
        size = (self.width, self.height)
        picture = picture.convert("L" if self.channels == 1 else "RGB")
        if picture.size != size:
            match self.resize:
                case "pad":
                    scale = min(self.width / picture.width, self.height / picture.height)
                    inner = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
                    below = Image.new(picture.mode, size)
                    below.paste(resized(picture, inner), ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2))
                    picture = below
                case "crop":
                    picture = resized(picture, size, box=_largest(picture.size, size))
                case "stretch":
                    picture = resized(picture, size)
        pixels = np.asarray(picture)
        return pixels[None] if self.channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def resized(
    picture: Image.Image,
    size: tuple[int, int],
    by: Image.Resampling = FILTER,
    box: tuple[float, float, float, float] | None = None,
) -> Image.Image:
    """Pillow's resize (of the part `box`) to (width, height): along the rows first, then along the columns.

    Left to itself, Pillow takes the cheaper order, by a rule that changes with its version and with it the pixels.
    Raises `Unreadable` for a picture so thin and long that the first step would make gigabytes of a few bytes.

    >>> resized(Image.new("L", (4, 2), 7), (2, 3)).getpixel((1, 2))
    7
    """
    if size[0] * picture.height > max(MOST_BETWEEN, picture.width * picture.height):
        raise Unreadable(f"is too thin to be resized ({picture.width:,} × {picture.height:,} pixels)")
    left, top, right, bottom = box or (0, 0, *picture.size)
    rows = picture.resize((size[0], picture.height), by, (left, 0, right, picture.height))
    return rows.resize(size, by, (0, top, size[0], bottom))


def _largest(of: tuple[int, int], shape: tuple[int, int]) -> tuple[float, float, float, float]:
    """The largest box with the aspect of `shape` in the middle of a picture of the size `of`, both (width, height)."""
    aspect = shape[0] / shape[1]
    width, height = float(of[0]), float(of[1])
    if width / height > aspect:
        width = aspect * height
    elif width / height < aspect:
        height = width / aspect
    left, top = (of[0] - width) * 0.5, (of[1] - height) * 0.5
    return left, top, left + width, top + height


def choose(spec: ShapeSpec, sample: Sequence[Look]) -> tuple[Target, list[str]]:
    """The target for pictures like those of `sample` (not empty), and what to say about each choice."""
    sizes = np.array([(p.height, p.width) for p in sample])
    said = []
    if spec.image_size is not None:
        height, width = (spec.image_size, spec.image_size) if isinstance(spec.image_size, int) else spec.image_size
    elif (sizes == sizes[0]).all() and sizes[0].max() <= LARGEST_AS_THEY_ARE:
        height, width = (int(n) for n in sizes[0])
    else:
        short = int(np.median(sizes.min(1)))
        height = width = max((side for side in SIDES if side <= short), default=SIDES[0])
        h, w = (int(n) for n in np.median(sizes, axis=0))
        dearer = f"; more detail at a cost that grows with the area: data.image_size={2 * height}"
        said.append(f"data.image_size = {height}: half of the pictures are at least {short} pixels on their shorter side"
                    f" (median {w}×{h}){dearer if short >= 2 * height else ''}")  # fmt: skip
    grey = all(p.grey for p in sample)
    channels = spec.channels or (1 if grey else 3)
    if spec.channels is None and grey and any(p.mode != "L" for p in sample):
        said.append("data.channels = 1: the pictures are stored in colour, but show only grey")
    aspect = sizes[:, 1] / sizes[:, 0] / (width / height)
    alike = bool((abs(np.log(aspect)) <= SAME_ASPECT).all())
    resize = spec.resize or ("stretch" if alike else "pad")
    if spec.resize is None and not alike:
        said.append(
            'data.resize = "pad": shapes differ, and so nothing is cut off or distorted ("crop" and "stretch" do)'
        )
    return Target(channels, height, width, resize), said
