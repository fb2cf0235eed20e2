"""Gaussian noise."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Generator, Tensor

from fittingroom.augment.registry import AUGMENTATIONS


@AUGMENTATIONS.register
def noise(
    images_NCHW: Tensor, targets_NK: Tensor, generator: Generator, *, sd: Annotated[float, Field(ge=0, le=1)] = 0.05
) -> tuple[Tensor, Tensor]:
    """Add independent normal noise of standard deviation `sd` (of the range 0 … 1) to every value, clipped to 0 … 1."""
    added = torch.randn(images_NCHW.shape, generator=generator, device=generator.device) * sd
    return (images_NCHW + added).clamp(0, 1), targets_NK
