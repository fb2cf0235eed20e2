"""Mixing two images and their targets: mixup, cutmix. One mixing ratio a batch."""

from __future__ import annotations

from functools import cache
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Generator, Tensor

from fittingroom.augment.erase import within
from fittingroom.augment.registry import AUGMENTATIONS

Alpha = Annotated[float, Field(gt=0)]
QUANTILES = 4097  # of a Beta distribution, between which a draw is interpolated


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
    side = (1 - _beta(alpha, generator)).sqrt()
    box_HW = _around(height, side, generator)[:, None] & _around(width, side, generator)
    other = _others(len(images_NCHW), generator)
    share = 1 - box_HW.float().mean()
    return torch.where(box_HW, images_NCHW[other], images_NCHW), torch.lerp(targets_NK[other], targets_NK, share)


def _around(length: int, side: Tensor, generator: Generator) -> Tensor:
    """Which pixels of an axis lie within a stretch of `side` × `length` around a random one; its end may be cut off."""
    centre = torch.randint(0, length, (), generator=generator, device=generator.device)
    half = (length * side).floor() // 2
    return within(torch.arange(length, device=generator.device), centre - half, 2 * half)


def _others(n: int, generator: Generator) -> Tensor:
    return torch.randperm(n, generator=generator, device=generator.device)


def _beta(alpha: float, generator: Generator) -> Tensor:
    """One draw from Beta(alpha, alpha), on the generator's device: no step waits to hear how it came out."""
    quantiles = _quantiles(alpha, str(generator.device))
    place = torch.rand((), generator=generator, device=generator.device) * (QUANTILES - 1)
    below = place.long().clamp_max(QUANTILES - 2)
    return torch.lerp(quantiles.take(below), quantiles.take(below + 1), place - below)


@cache
def _quantiles(alpha: float, device: str) -> Tensor:
    from scipy.special import betaincinv  # a third of a second, which nobody else has to wait

    shares = betaincinv(alpha, alpha, np.linspace(0, 1, QUANTILES))
    return torch.from_numpy(shares.astype(np.float32)).to(device)
