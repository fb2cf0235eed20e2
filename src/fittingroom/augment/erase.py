"""Random erasing, also known as cutout."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Generator, Tensor

from fittingroom.augment.flip import Probability
from fittingroom.augment.registry import AUGMENTATIONS, uniform


@AUGMENTATIONS.register
def erase(
    images_NCHW: Tensor,
    targets_NK: Tensor,
    generator: Generator,
    *,
    size: Annotated[int, Field(ge=1)] = 8,
    p: Probability = 1.0,
) -> tuple[Tensor, Tensor]:
    """Blacken a `size` × `size` square of each image with probability `p` (DeVries & Taylor 2017, arXiv:1708.04552).

    The square's centre is any pixel, so a part of it may lie outside.
    """
    return torch.where(
        square(images_NCHW, size, generator) & (uniform(len(images_NCHW), 0, 1, generator) < p)[:, None, None, None],
        torch.zeros_like(images_NCHW),
        images_NCHW,
    ), targets_NK


def square(images_NCHW: Tensor, size: int, generator: Generator) -> Tensor:
    """Where each image's random square lies, (N,1,H,W) bool."""
    n, _, height, width = images_NCHW.shape
    y_N = torch.randint(0, height, (n, 1), generator=generator, device=generator.device)
    x_N = torch.randint(0, width, (n, 1), generator=generator, device=generator.device)
    rows_NH = within(torch.arange(height, device=generator.device), y_N - size // 2, size)
    columns_NW = within(torch.arange(width, device=generator.device), x_N - size // 2, size)
    return (rows_NH[:, :, None] & columns_NW[:, None, :])[:, None]


def within(positions: Tensor, first: Tensor, size: int | Tensor) -> Tensor:
    """Which positions lie in a stretch of `size` from `first` on."""
    return (positions >= first) & (positions < first + size)
