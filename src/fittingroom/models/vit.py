"""Vision transformers (Dosovitskiy et al. 2020, arXiv:2010.11929) as DINOv2 has them (Oquab et al. 2023, arXiv:2304.07193)."""

from __future__ import annotations

from collections import OrderedDict
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from fittingroom.models.photos import Grey, Hidden, Positions, head
from fittingroom.models.registry import MODELS, Depth, Rate, Size, Width
from fittingroom.spec.errors import FittingroomError

HEAD = 64  # channels of each that attends, in all sizes
MLP = 4  # times wider than a block


@MODELS.register
def vit(
    channels: int,
    size: Size,
    classes: int,
    *,
    width: Width = 192,
    depth: Depth = 12,
    patch: Annotated[int, Field(ge=2, le=64)] = 14,
    hidden: Hidden = 0,
    dropout: Rate = 0.0,
) -> nn.Module:
    """Attention among the patches of a picture; 5.5 M parameters unless told otherwise; DINOv2's small one is 384 wide.

    The last layer is given the token that sums up the picture and the mean of its patches, as in DINOv2's linear evaluation.
    What of a picture does not fill a patch is not looked at; grey images become three channels inside.
    """
    if width % HEAD:
        raise FittingroomError.at("model.args.width", f"{width} must be a multiple of {HEAD}, the channels of a head")
    if min(size) < patch:
        raise FittingroomError.at(
            "model.args.patch", f"pictures of {size[1]}×{size[0]} have no patch of {patch}; set data.image_size"
        )
    rows, columns = size[0] // patch, size[1] // patch
    parts: list[tuple[str, nn.Module]] = [
        ("patches", nn.Conv2d(3, width, patch, stride=patch)),
        ("tokens", Tokens(width)),
        ("positions", Positions(width, rows, columns)),
        ("blocks", nn.Sequential(*(Block(width) for _ in range(depth)))),
        ("norm", _norm(width)),
        ("pool", Pool(rows, columns)),
        *head(2 * width, hidden, dropout, classes),
    ]
    return nn.Sequential(OrderedDict([("grey", Grey())] * (channels == 1) + parts))


class Tokens(nn.Module):
    """Maps (N,C,h,w) as tokens (N, 1 + h·w, C): one that is to sum the picture up, then its patches, row by row."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.summary = nn.Parameter(torch.randn(1, 1, width) * 1e-2)

    def forward(self, map_NCHW: Tensor) -> Tensor:
        patches = map_NCHW.flatten(2).transpose(1, 2)
        return torch.cat([self.summary.to(patches.dtype).expand(patches.shape[0], -1, -1), patches], 1)


class Block(nn.Module):
    """Attention, then a perceptron, each after a norm, scaled, and beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.qkv = _norm(width), nn.Linear(width, 3 * width)
        self.proj, self.scale1 = nn.Linear(width, width), LayerScale(width)
        self.norm2, self.fc1 = _norm(width), nn.Linear(width, MLP * width)
        self.fc2, self.scale2 = nn.Linear(MLP * width, width), LayerScale(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.scale1(self.proj(self._attended(self.norm1(x))))
        out: Tensor = x + self.scale2(self.fc2(F.gelu(self.fc1(self.norm2(x)))))
        return out

    def _attended(self, x: Tensor) -> Tensor:
        n, tokens, width = x.shape
        q, k, v = self.qkv(x).reshape(n, tokens, 3, width // HEAD, HEAD).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, tokens, width)


class LayerScale(nn.Module):
    """A learned factor for each channel (Touvron et al. 2021, arXiv:2103.17239)."""

    def __init__(self, width: int, start: float = 1e-5) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), start))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Pool(nn.Module):
    """The token that sums a picture up, and the mean of its patches (N, 2 · width)."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.grid, self.mean = nn.Unflatten(2, (rows, columns)), nn.AdaptiveAvgPool2d(1)

    def forward(self, tokens: Tensor) -> Tensor:
        map_NCHW = self.grid(tokens[:, 1:].transpose(1, 2))  # as a map: where in the picture an answer rests
        return torch.cat([tokens[:, 0], self.mean(map_NCHW).flatten(1)], 1)


def _norm(width: int) -> nn.LayerNorm:
    return nn.LayerNorm(width, eps=1e-6)
