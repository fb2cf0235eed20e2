"""Residual networks (He et al. 2015, arXiv:1512.03385): with a 3×3 stem for small images, and their own for photos."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from fittingroom.models.photos import Grey, Hidden, head
from fittingroom.models.registry import MODELS, Rate, Size, Width


@MODELS.register
def resnet18(channels: int, size: Size, classes: int, *, width: Width = 64) -> nn.Module:
    """Four stages of two blocks, `width` × 1, 2, 4, 8 channels: 11.2 M parameters at the usual width of 64."""
    return _resnet(channels, classes, [width, 2 * width, 4 * width, 8 * width], blocks=2)


@MODELS.register
def resnet10(channels: int, size: Size, classes: int, *, width: Width = 32) -> nn.Module:
    """Four stages of one block: an eighth of resnet18's cost at half its width."""
    return _resnet(channels, classes, [width, 2 * width, 4 * width, 8 * width], blocks=1)


@MODELS.register
def resnet20(channels: int, size: Size, classes: int, *, width: Width = 16) -> nn.Module:
    """The paper's small CIFAR network: three stages of three blocks, 16, 32, 64 channels, 0.27 M parameters."""
    return _resnet(channels, classes, [width, 2 * width, 4 * width], blocks=3)


@MODELS.register
def resnet18_photos(
    channels: int, size: Size, classes: int, *, width: Width = 64, hidden: Hidden = 0, dropout: Rate = 0.0
) -> nn.Module:
    """The paper's own for photos: resnet18 behind a 7×7 stem and pooling. Grey images become three channels inside."""
    before, stages = width, []
    for stage in range(4):
        after = width * 2**stage
        stages.append(nn.Sequential(Block(before, after, stride=2 if stage else 1), Block(after, after, stride=1)))
        before = after
    parts: list[tuple[str, nn.Module]] = [
        ("conv1", nn.Conv2d(3, width, 7, 2, padding=3, bias=False)),
        ("norm1", nn.BatchNorm2d(width)),
        ("relu", nn.ReLU()),
        ("maxpool", nn.MaxPool2d(3, 2, padding=1)),
        ("stages", nn.Sequential(*stages)),
        ("pool", nn.AdaptiveAvgPool2d(1)),
        ("flatten", nn.Flatten()),
        *head(before, hidden, dropout, classes),
    ]
    return nn.Sequential(OrderedDict([("grey", Grey())] * (channels == 1) + parts))


def _resnet(channels: int, classes: int, widths: Sequence[int], blocks: int) -> nn.Sequential:
    stem = [nn.Conv2d(channels, widths[0], 3, padding=1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()]
    body, before = [], widths[0]
    for stage, width in enumerate(widths):
        for block in range(blocks):
            body.append(Block(before, width, stride=2 if stage > 0 and block == 0 else 1))
            before = width
    return nn.Sequential(*stem, *body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))


class Block(nn.Module):
    """Two 3×3 convolutions beside a shortcut, which is a 1×1 convolution where the shape changes."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        same = stride == 1 and before == after
        self.shortcut = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        )

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(out))
        return F.relu(out + self.shortcut(x))
