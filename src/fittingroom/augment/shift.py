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
    offset_2N = torch.randint(0, 2 * pixels + 1, (2, n), generator=generator, device=generator.device)
    shifted = torch.empty_like(images_NCHW)
    for dy in range(2 * pixels + 1):  # a few slices of many images are faster than a gather of every pixel
        for dx in range(2 * pixels + 1):
            rows = ((offset_2N[0] == dy) & (offset_2N[1] == dx)).nonzero()[:, 0]
            shifted[rows] = padded[rows, :, dy : dy + height, dx : dx + width]
    return shifted, targets_NK
