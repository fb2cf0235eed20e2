"""The small residual net that `fast-fashion` and `fast-mnist` train: few, large kernels, pooling early.

After David Page's DAWNBench ResNet and airbench (Jordan 2024, arXiv:2404.00498), cut down for a CPU.
"""

from __future__ import annotations

from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from fittingroom.models.registry import MODELS, Depth, Size, Width


@MODELS.register
def fastnet(
    channels: int,
    size: Size,
    classes: int,
    *,
    width: Width = 16,
    stages: Depth = 4,
    logit_scale: Annotated[float, Field(gt=0)] = 0.5,
) -> nn.Module:
    """`stages` stages of two 3×3 convolutions, channels doubling from `width`, halved in size after the first.

    A max-pooled head with logits × `logit_scale`.
    """
    body, before = [], channels
    for stage in range(stages):
        after = width * 2**stage
        body.append(Stage(before, after, pool=stage > 0 and min(size) >= 2 ** (stage + 1)))
        before = after
    return nn.Sequential(*body, nn.AdaptiveMaxPool2d(1), nn.Flatten(), Scaled(before, classes, logit_scale))


class Stage(nn.Module):
    """Convolution (and pooling), then a residual convolution, each with BatchNorm and ReLU."""

    def __init__(self, before: int, after: int, pool: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, padding=1, bias=False)
        self.pool = nn.MaxPool2d(2) if pool else nn.Identity()  # before the norm, which then has a quarter to do
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm1(self.pool(self.conv1(x))))
        return x + F.relu(self.norm2(self.conv2(x)))


class Scaled(nn.Module):
    """A dense layer without bias whose logits are scaled, which keeps early training calm."""

    def __init__(self, features: int, classes: int, scale: float) -> None:
        super().__init__()
        self.dense = nn.Linear(features, classes, bias=False)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.dense(x) * self.scale
        return logits
