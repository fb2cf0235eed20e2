"""The last layer that learns by heart: it names the class of the training pictures whose features are nearest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fittingroom.spec.errors import FittingroomError

SHARPNESS = 1 / 0.07  # to begin with, as Wu et al. (2018) and DINO have it; learned from there


class Neighbours(nn.Module):
    """Features (N,D) to logits (N,K): the `k` nearest of M pictures in memory vote (by cosine), the nearer the louder.

    Wu et al. 2018 (arXiv:1805.01978), §3.4. How much louder is learned. While it trains the nearest has no vote, which is the
    picture itself. Logits are the logarithms of the votes and of one vote that all classes share.
    """

    memory: Tensor  # (M,D) features of length 1
    labels: Tensor  # (M,)

    def __init__(self, features: int, classes: int, k: int) -> None:
        super().__init__()
        self.k, self.classes, self.apart = k, classes, False
        self.sharpness = nn.Parameter(torch.full((1, 1), SHARPNESS))
        self.register_buffer("memory", torch.zeros(classes, features))
        self.register_buffer("labels", torch.arange(classes))

    def forward(self, features_ND: Tensor) -> Tensor:
        with torch.autocast(features_ND.device.type, enabled=False):  # in bfloat16 all neighbours are as near
            near_NM = F.normalize(features_ND.float(), dim=1) @ self.memory.T
            itself = int(self.training or self.apart)
            near, rows = near_NM.topk(min(self.k + itself, len(self.memory)), dim=1)
            share = torch.softmax(near[:, itself:] * self.sharpness, dim=1)
            own = F.one_hot(self.labels, self.classes).to(share.dtype)[rows[:, itself:]]
            return torch.log(self.k * (share[:, :, None] * own).sum(1) + 1 / self.classes)

    def remember(self, features_MD: Tensor, labels_M: Tensor) -> None:
        """Keep these instead of what is in memory."""
        self.memory = F.normalize(features_MD.detach().float(), dim=1).to(self.memory.device)
        self.labels = labels_M.detach().to(self.labels.device)

    def make_room(self, pictures: int) -> None:
        """For so many, before they are loaded."""
        self.memory = self.memory.new_zeros(pictures, self.memory.shape[1])
        self.labels = self.labels.new_zeros(pictures)


def by_neighbours(body: nn.Module, classes: int, k: int) -> nn.Module:
    """`body` with its last dense layer replaced. Raises `FittingroomError` for a network without one."""
    dense = [(name, module) for name, module in body.named_modules() if isinstance(module, nn.Linear)]
    if not dense or dense[-1][1].out_features != classes:
        raise FittingroomError.at("model.neighbours", "this network has no last dense layer that could be replaced")
    name, last = dense[-1]
    parent, _, own = name.rpartition(".")
    setattr(body.get_submodule(parent), own, Neighbours(last.in_features, classes, k))
    return body


def last_dense(model: nn.Module) -> nn.Module | None:
    """The layer that tells the classes apart; None for a network without a dense one."""
    return ([None] + [m for m in model.modules() if isinstance(m, nn.Linear | Neighbours)])[-1]


@contextmanager
def apart(model: nn.Module) -> Iterator[None]:
    """Pictures in memory are asked about as if they were not: the nearest, which is the picture itself, has no vote."""
    layers = [module for module in model.modules() if isinstance(module, Neighbours)]
    for layer in layers:
        layer.apart = True
    try:
        yield
    finally:
        for layer in layers:
            layer.apart = False


def make_room(model: nn.Module, arrays: Mapping[str, np.ndarray]) -> None:
    """For as many pictures as there are in the tensors that `model` is to get."""
    for name, module in model.named_modules():
        kept = arrays.get(f"{name}.labels")
        if isinstance(module, Neighbours) and kept is not None and kept.ndim == 1:
            module.make_room(len(kept))


def learn_by_heart(model: nn.Module, predict: Callable[[], Any], labels_M: Tensor) -> None:
    """Give a layer of neighbours, where `model` has one, what it meets while `predict` goes through the training pictures."""
    layer = last_dense(model)
    if isinstance(layer, Neighbours):
        met: list[Tensor] = []
        handle = layer.register_forward_pre_hook(lambda _, given: met.append(given[0]))
        predict()
        handle.remove()
        layer.remember(torch.cat(met), labels_M)
