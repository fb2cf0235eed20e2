"""Mirror images: left-right, top-bottom."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Generator, Tensor

from fittingroom.augment.registry import AUGMENTATIONS, uniform

Probability = Annotated[float, Field(ge=0, le=1)]


@AUGMENTATIONS.register
def hflip(
    images_NCHW: Tensor, targets_NK: Tensor, generator: Generator, *, p: Probability = 0.5
) -> tuple[Tensor, Tensor]:
    """Mirror each image left-right with probability `p`."""
    return _flip(images_NCHW, generator, p, axis=3), targets_NK


@AUGMENTATIONS.register
def vflip(
    images_NCHW: Tensor, targets_NK: Tensor, generator: Generator, *, p: Probability = 0.5
) -> tuple[Tensor, Tensor]:
    """Mirror each image top-bottom with probability `p`."""
    return _flip(images_NCHW, generator, p, axis=2), targets_NK


def _flip(images_NCHW: Tensor, generator: Generator, p: float, axis: int) -> Tensor:
    flipped_N = uniform(len(images_NCHW), 0, 1, generator) < p
    return torch.where(flipped_N[:, None, None, None], images_NCHW.flip(axis), images_NCHW)
