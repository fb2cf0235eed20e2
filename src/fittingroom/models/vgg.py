"""A small VGG (Simonyan & Zisserman 2014, arXiv:1409.1556) with batch normalisation, for small images."""

from __future__ import annotations

from torch import nn

from fittingroom.models.kernels import Dropout, fused
from fittingroom.models.registry import MODELS, Depth, Rate, Size, Width


@MODELS.register
def vgg(
    channels: int,
    size: Size,
    classes: int,
    *,
    width: Width = 32,
    stages: Depth = 3,
    dense: Width = 128,
    dropout: Rate = 0.5,
) -> nn.Module:
    """`stages` × [two 3×3 convolutions, max pooling], doubling the channels from `width`, then one dense layer."""
    layers: list[nn.Module] = []
    before, (height, wide) = channels, size
    for stage in range(stages):
        after = width * 2**stage
        for _ in range(2):
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
            before = after
        if min(height, wide) >= 2:  # more stages than the image has halvings: the rest keeps its size
            layers.append(nn.MaxPool2d(2))
            height, wide = height // 2, wide // 2
    head = [
        nn.Flatten(),
        nn.Linear(before * height * wide, dense),
        nn.ReLU(),
        Dropout(dropout),
        nn.Linear(dense, classes),
    ]
    return nn.Sequential(*fused(layers), *head)
