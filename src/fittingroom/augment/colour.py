"""Brightness and contrast (colour jitter)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Generator, Tensor

from fittingroom.augment.registry import AUGMENTATIONS, uniform


@AUGMENTATIONS.register
def colour(
    images_NCHW: Tensor,
    targets_NK: Tensor,
    generator: Generator,
    *,
    brightness: Annotated[float, Field(ge=0, le=1)] = 0.2,
    contrast: Annotated[float, Field(ge=0, le=1)] = 0.2,
) -> tuple[Tensor, Tensor]:
    """Multiply each image by a factor in 1 ± `brightness`, then its distance from its mean by one in 1 ± `contrast`.

    Clipped to 0 … 1 after each, as torchvision's ColorJitter does (brightness first).
    """
    n = len(images_NCHW)
    brightness_N = uniform(n, 1 - brightness, 1 + brightness, generator)[:, None, None, None]
    contrast_N = uniform(n, 1 - contrast, 1 + contrast, generator)[:, None, None, None]
    lit = (images_NCHW * brightness_N).clamp(0, 1)
    mean_N = lit.mean((1, 2, 3), keepdim=True)
    return ((lit - mean_N) * contrast_N + mean_N).clamp(0, 1), targets_NK
