"""Whole-pixel shifts, which are random crops of the padded image."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor

from fittingroom.augment.registry import AUGMENTATIONS


@AUGMENTATIONS.register
def shift(
    images_NCHW: Tensor,
    targets_NK: Tensor,
    generator: Generator,
    *,
    pixels: Annotated[int, Field(ge=1)] = 2,
    fill: Literal["black", "reflect", "edge"] = "black",
) -> tuple[Tensor, Tensor]:
    """Move each image by up to `pixels` in each direction; what comes in from outside is `fill`."""
    n, _, height, width = images_NCHW.shape
    mode = {"black": "constant", "reflect": "reflect", "edge": "replicate"}[fill]
    padded = F.pad(images_NCHW, (pixels,) * 4, mode=mode)
    top_N, left_N = torch.randint(0, 2 * pixels + 1, (2, n), generator=generator, device=generator.device)
    few = images_NCHW.device.type == "cpu" and (2 * pixels + 1) ** 2 <= n  # slices, of so many images
    move = _sliced if few else _gathered
    return move(padded, top_N, left_N, (height, width)), targets_NK


def _sliced(padded_NCHW: Tensor, top_N: Tensor, left_N: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut `size` out of each image: a few slices of many images, on a CPU faster than a gather of every pixel."""
    out = padded_NCHW.new_empty((*padded_NCHW.shape[:2], *size))
    for y in range(padded_NCHW.shape[2] - size[0] + 1):
        for x in range(padded_NCHW.shape[3] - size[1] + 1):
            rows = ((top_N == y) & (left_N == x)).nonzero()[:, 0]
            out[rows] = padded_NCHW[rows, :, y : y + size[0], x : x + size[1]]
    return out


def _gathered(padded_NCHW: Tensor, top_N: Tensor, left_N: Tensor, size: tuple[int, int]) -> Tensor:
    """The same, without asking the device how many images go where."""
    rows_NH, columns_NW = (
        first[:, None] + torch.arange(n, device=first.device) for first, n in zip((top_N, left_N), size, strict=True)
    )
    images_N11 = torch.arange(len(top_N), device=top_N.device)[:, None, None]
    return padded_NCHW[images_N11, :, rows_NH[:, :, None], columns_NW[:, None, :]].permute(0, 3, 1, 2)
