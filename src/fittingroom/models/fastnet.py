"""The small residual net of `fast-fashion`, `best-fashion` and `fast-mnist`: few, large kernels, pooling early.

After David Page's DAWNBench ResNet and airbench (Jordan 2024, arXiv:2404.00498), cut down for a CPU: every pooling takes
ReLU with it in one pass, and norms come behind the pooling, where a quarter is left to do.
"""

from __future__ import annotations

from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from fittingroom.models.kernels import ReluMaxPool2d
from fittingroom.models.registry import MODELS, Depth, Size, Width


@MODELS.register
def fastnet(
    channels: int,
    size: Size,
    classes: int,
    *,
    width: Width = 16,
    stages: Depth = 3,
    early: bool = False,
    shrink: Annotated[int, Field(ge=1, le=32)] = 1,
    logit_scale: Annotated[float, Field(gt=0)] = 0.5,
) -> nn.Module:
    """A 3×3 convolution to `width` channels, then `stages` stages of two that halve the size and double the channels.

    `early` halves the size after the first convolution, too: three times as fast, and enough for digits. `shrink`: images
    are averaged to so many times smaller ones first. A max-pooled head with logits × `logit_scale`.
    """
    side = min(size) // shrink
    body: list[nn.Module] = [nn.AvgPool2d(shrink)] if shrink > 1 else []
    body.append(Halving(channels, width, pool=early and side >= 2))
    side = side // 2 if early else side
    for _ in range(stages):
        body += [Halving(width, 2 * width, pool=side >= 2), Residual(2 * width)]
        width, side = 2 * width, side // 2
    return nn.Sequential(*body, nn.AdaptiveMaxPool2d(1), nn.Flatten(), Scaled(width, classes, logit_scale))


class Halving(nn.Sequential):
    """Convolution, ReLU and 2×2 max-pooling (without `pool`: ReLU alone), BatchNorm."""

    def __init__(self, before: int, after: int, pool: bool) -> None:
        super().__init__(
            nn.Conv2d(before, after, 3, padding=1), ReluMaxPool2d() if pool else nn.ReLU(), nn.BatchNorm2d(after)
        )


class Residual(nn.Module):
    """Adds its input to convolution, ReLU, BatchNorm of it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.norm(F.relu(self.conv(x)))
        return y


class Scaled(nn.Module):
    """A dense layer without bias whose logits are scaled, which keeps early training calm."""

    def __init__(self, features: int, classes: int, scale: float) -> None:
        super().__init__()
        self.dense = nn.Linear(features, classes, bias=False)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.dense(x) * self.scale
        return logits
