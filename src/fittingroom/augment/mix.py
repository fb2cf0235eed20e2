"""Mixing two images and their targets: mixup, cutmix. One mixing ratio a batch."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Generator, Tensor

from fittingroom.augment.registry import AUGMENTATIONS

Alpha = Annotated[float, Field(gt=0)]


@AUGMENTATIONS.register
def mixup(
    images_NCHW: Tensor, targets_NK: Tensor, generator: Generator, *, alpha: Alpha = 0.2
) -> tuple[Tensor, Tensor]:
    """Blend each image with another of the batch (Zhang et al. 2018, arXiv:1710.09412), ratio from Beta(alpha, alpha)."""
    share = _beta(alpha, generator)
    other = _others(len(images_NCHW), generator)
    return torch.lerp(images_NCHW[other], images_NCHW, share), torch.lerp(targets_NK[other], targets_NK, share)


@AUGMENTATIONS.register
def cutmix(
    images_NCHW: Tensor, targets_NK: Tensor, generator: Generator, *, alpha: Alpha = 1.0
) -> tuple[Tensor, Tensor]:
    """Paste a rectangle of another image of the batch (Yun et al. 2019, arXiv:1905.04899); targets mix by area."""
    _, _, height, width = images_NCHW.shape
    side = math.sqrt(1 - _beta(alpha, generator))
    y, x = (int(torch.randint(0, n, (1,), generator=generator, device=generator.device)) for n in (height, width))
    top, bottom = max(0, y - int(height * side) // 2), min(height, y + int(height * side) // 2)
    left, right = max(0, x - int(width * side) // 2), min(width, x + int(width * side) // 2)
    other = _others(len(images_NCHW), generator)
    mixed = images_NCHW.clone()
    mixed[:, :, top:bottom, left:right] = images_NCHW[other, :, top:bottom, left:right]
    share = 1 - (bottom - top) * (right - left) / (height * width)
    return mixed, torch.lerp(targets_NK[other], targets_NK, share)


def _others(n: int, generator: Generator) -> Tensor:
    return torch.randperm(n, generator=generator, device=generator.device)


def _beta(alpha: float, generator: Generator) -> float:
    """One draw from Beta(alpha, alpha), by Jöhnk's way, which needs uniform numbers only (so a generator can be passed)."""
    while True:
        u, v = torch.rand(2, generator=generator, device=generator.device).tolist()
        x, y = u ** (1 / alpha), v ** (1 / alpha)
        if 0 < x + y <= 1:
            return float(x / (x + y))
