"""What networks of photos share: a head for new classes, and weights for pictures that are grey or of another size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from fittingroom.models.registry import Rate

Hidden = Annotated[int, Field(ge=0, le=8192)]


def head(features: int, hidden: Hidden, dropout: Rate, classes: int) -> list[tuple[str, nn.Module]]:
    """What tells the classes apart by the features: one layer, or two with `hidden` neurons between them."""
    dense = [("hidden", nn.Linear(features, hidden)), ("act3", nn.ReLU())] if hidden else []
    return [*dense, ("drop", nn.Dropout(dropout)), ("classifier", nn.Linear(hidden or features, classes))]


class Grey(nn.Module):
    """One channel as three that are alike: what a network of colour pictures is given of a grey one."""

    def forward(self, x: Tensor) -> Tensor:
        return x.expand(-1, 3, -1, -1)


class Positions(nn.Module):
    """Adds to each token what its place in a grid is known by; the first has none in it, and one of its own."""

    def __init__(self, width: int, rows: int, columns: int) -> None:
        super().__init__()
        self.grid = rows, columns
        self.weight = nn.Parameter(torch.randn(1, 1 + rows * columns, width) * 0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens + self.weight.to(tokens.dtype)

    def resampled(self, weight_1TC: np.ndarray) -> np.ndarray:
        """The positions of a square grid of another size as those of this one: bicubic, antialiased, as in timm."""
        side = math.isqrt(weight_1TC.shape[1] - 1)
        if weight_1TC.shape[1] == self.weight.shape[1] or side * side != weight_1TC.shape[1] - 1:
            return weight_1TC
        first, places = torch.from_numpy(weight_1TC).split([1, side * side], 1)
        square = places.transpose(1, 2).unflatten(2, (side, side))
        fitted = F.interpolate(square, self.grid, mode="bicubic", antialias=True, align_corners=False)
        return torch.cat([first, fitted.flatten(2).transpose(1, 2)], 1).numpy()


def adapted(model: nn.Module, weights: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """`weights` as `model` needs them for its pictures: one channel's mean of three, positions of its grid."""
    found = dict(weights)
    for name, module in model.named_modules():
        if isinstance(module, Grey):
            normal = {n: found[n] for n in ("mean", "scale") if n in found and found[n].ndim == 4}
            found |= {n: value.mean(1, keepdims=True) for n, value in normal.items()}
        elif isinstance(module, Positions) and f"{name}.weight" in found:
            found[f"{name}.weight"] = module.resampled(found[f"{name}.weight"])
    return found
