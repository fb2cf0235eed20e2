"""EfficientNet-Lite (Tan & Le 2019, arXiv:1905.11946; Google 2020): no squeeze-and-excitation, ReLU6, stem and head of one size.

Modules are called as in timm, so that its weights load as they are.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from fittingroom.models.kernels import DepthwiseConv2d
from fittingroom.models.photos import Grey, Hidden, head
from fittingroom.models.registry import MODELS, Rate, Size

Scale = Annotated[float, Field(ge=0.25, le=4)]
STEM, HEAD = 32, 1280
STAGES = (  # expansion, channels, blocks, stride, kernel
    (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)  # fmt: skip


@MODELS.register
def efficientnet_lite(
    channels: int,
    size: Size,
    classes: int,
    *,
    width: Scale = 1.0,
    depth: Scale = 1.0,
    hidden: Hidden = 0,
    dropout: Rate = 0.2,
    norm_eps: Annotated[float, Field(gt=0, le=0.1)] = 1e-3,
) -> nn.Module:
    """Inverted bottlenecks in seven stages, `width` times the channels and `depth` times the blocks of lite0's.

    lite0 to lite4: width 1, 1, 1.1, 1.2, 1.4 and depth 1, 1.1, 1.2, 1.4, 1.8. Grey images become three channels inside.
    `hidden`: neurons of a dense layer before the last one, if there is to be one. timm trains with a `norm_eps` of 1e-5.
    """
    norm = partial(nn.BatchNorm2d, eps=norm_eps, momentum=0.01)
    stages, before = [], STEM
    for (expansion, wide, _, stride, kernel), several in zip(STAGES, blocks(depth), strict=True):
        after, stage = _divisible(wide * width), []
        for block in range(several):
            stage.append(_block(before, after, expansion, kernel, stride if block == 0 else 1, norm))
            before = after
        stages.append(nn.Sequential(*stage))
    parts: list[tuple[str, nn.Module]] = [
        ("conv_stem", nn.Conv2d(3, STEM, 3, 2, padding=1, bias=False)),
        ("bn1", norm(STEM)),
        ("act1", nn.ReLU6()),
        ("blocks", nn.Sequential(*stages)),
        ("conv_head", nn.Conv2d(before, HEAD, 1, bias=False)),
        ("bn2", norm(HEAD)),
        ("act2", nn.ReLU6()),
        ("global_pool", nn.AdaptiveAvgPool2d(1)),
        ("flatten", nn.Flatten()),
        *head(HEAD, hidden, dropout, classes),
    ]
    return nn.Sequential(OrderedDict([("grey", Grey())] * (channels == 1) + parts))


def blocks(depth: float) -> list[int]:
    """How many blocks each stage has; the first and the last stage stay as they are.

    >>> blocks(1.1)
    [1, 3, 3, 4, 4, 5, 1]
    """
    ends = (0, len(STAGES) - 1)
    return [n if i in ends else math.ceil(n * depth) for i, (_, _, n, _, _) in enumerate(STAGES)]


class Residual(nn.Sequential):
    """Layers beside a shortcut."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = super().forward(x)
        return out + x


def _block(
    before: int, after: int, expansion: int, kernel: int, stride: int, norm: Callable[[int], nn.Module]
) -> nn.Sequential:
    """An inverted bottleneck (Sandler et al. 2018): wider, each channel by itself, narrow again; no activation at its end."""
    wide = before * expansion
    depthwise = DepthwiseConv2d(wide, kernel, stride, padding=kernel // 2, bias=False)
    if expansion == 1:
        layers = [
            ("conv_dw", depthwise), ("bn1", norm(wide)), ("act1", nn.ReLU6()),
            ("conv_pw", nn.Conv2d(wide, after, 1, bias=False)), ("bn2", norm(after)),
        ]  # fmt: skip
    else:
        layers = [
            ("conv_pw", nn.Conv2d(before, wide, 1, bias=False)), ("bn1", norm(wide)), ("act1", nn.ReLU6()),
            ("conv_dw", depthwise), ("bn2", norm(wide)), ("act2", nn.ReLU6()),
            ("conv_pwl", nn.Conv2d(wide, after, 1, bias=False)), ("bn3", norm(after)),
        ]  # fmt: skip
    kind = Residual if stride == 1 and before == after else nn.Sequential
    return kind(OrderedDict(layers))


def _divisible(channels: float, by: int = 8) -> int:
    """The nearest multiple, which must not be more than a tenth below."""
    nearest = max(by, int(channels + by / 2) // by * by)
    return nearest + by if nearest < 0.9 * channels else nearest
