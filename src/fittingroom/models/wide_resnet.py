"""Wide residual networks (Zagoruyko & Komodakis 2016, arXiv:1605.07146): shallow, wide, normalisation first."""

from __future__ import annotations

from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from fittingroom.models.kernels import Dropout
from fittingroom.models.registry import MODELS, Rate, Size, Width
from fittingroom.spec.errors import FittingroomError


@MODELS.register
def wide_resnet(
    channels: int,
    size: Size,
    classes: int,
    *,
    depth: Annotated[int, Field(ge=10)] = 16,
    widen: Width = 4,
    dropout: Rate = 0.0,
) -> nn.Module:
    """WRN-`depth`-`widen`: three stages of (depth - 4) / 6 blocks, 16, 32, 64 channels × `widen`."""
    if (depth - 4) % 6:
        fits = 4 + 6 * round((depth - 4) / 6)
        raise FittingroomError.at(
            "model.args.depth", f"{depth} must be 6·n + 4 (10, 16, 22, 28, 40 …); nearest: {fits}"
        )
    layers: list[nn.Module] = [nn.Conv2d(channels, 16, 3, padding=1, bias=False)]
    before = 16
    for stage in range(3):
        for block in range((depth - 4) // 6):
            after = 16 * widen * 2**stage
            layers.append(WideBlock(before, after, stride=2 if stage > 0 and block == 0 else 1, dropout=dropout))
            before = after
    layers += [nn.BatchNorm2d(before), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes)]
    return nn.Sequential(*layers)


class WideBlock(nn.Module):
    """Norm, ReLU, convolution, twice; the shortcut starts after the first ReLU where the shape changes."""

    def __init__(self, before: int, after: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.dropout = Dropout(dropout)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.shortcut = None if stride == 1 and before == after else nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.norm1(x))
        short = x if self.shortcut is None else self.shortcut(active)
        out = self.conv1(active)
        out = self.conv2(self.dropout(F.relu(self.norm2(out))))
        summed: Tensor = short + out
        return summed
