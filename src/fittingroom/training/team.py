"""Who shares one training: this process alone, or several that hold the same network and each see a part of every batch.

All see the same order and the same augmented batch, so that a training does not depend on how many share it, but for the last
bits of sums, for dropout (each draws masks of its own) and for BatchNorm (each normalises by its own part's statistics).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class PeerLost(RuntimeError):
    """Another process of the team has ended, so that nothing can be added up any more."""


LEAST = 2  # images in a part: one alone has no variance for BatchNorm


class Alone:
    """One process does it all."""

    rank, size = 0, 1

    def part(self, n: int) -> tuple[slice, float]:
        """Which of a batch's `n` images are this process's, and what each of them counts."""
        return slice(0, n), 1.0

    def add_up(self, parameters: Sequence[nn.Parameter], facts: Tensor) -> Tensor:
        """Make every gradient the sum of all processes' gradients; the sum of their `facts`, any vector."""
        return facts

    def agree(self, model: nn.Module) -> None:
        """Make BatchNorm's running statistics the mean of all processes'."""

    def each(self, n: int, call: Callable[[slice], np.ndarray]) -> np.ndarray:
        """`call` with the parts of `n` images, one for each process, and what they give, joined."""
        return call(slice(0, n))


class Team(Alone):
    """One of the processes of torch's default process group, which must be there; each method is called by all of them.

    >>> Team(rank=1, size=3).part(32), Team(rank=1, size=3).part(4)
    ((slice(10, 21, None), 1.0), (slice(0, 4, None), 0.3333333333333333))
    """

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size

    def part(self, n: int) -> tuple[slice, float]:
        if n < LEAST * self.size:  # the last of an epoch perhaps: all do it, and each counts little
            return slice(0, n), 1 / self.size
        return self._mine(n), 1.0

    def add_up(self, parameters: Sequence[nn.Parameter], facts: Tensor) -> Tensor:
        gradients = [p.grad for p in parameters if p.grad is not None]
        together = torch.cat([facts, *(g.reshape(-1) for g in gradients)])  # one message instead of many
        _add_up(together)
        place = len(facts)
        for gradient in gradients:
            gradient.copy_(together[place : place + gradient.numel()].view_as(gradient))
            place += gradient.numel()
        return together[: len(facts)]

    def agree(self, model: nn.Module) -> None:
        for layer in normalisations(model):
            for statistic in (layer.running_mean, layer.running_var):
                if statistic is not None:
                    _add_up(statistic)
                    statistic.div_(self.size)

    def each(self, n: int, call: Callable[[slice], np.ndarray]) -> np.ndarray:
        parts: list[np.ndarray] = [np.empty(0)] * self.size
        mine = call(self._mine(n))
        try:
            torch.distributed.all_gather_object(parts, mine)
        except RuntimeError as error:
            raise PeerLost(str(error)) from None
        return np.concatenate([part for part in parts if len(part)])

    def _mine(self, n: int) -> slice:
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)


ALONE = Alone()


def _add_up(tensor: Tensor) -> None:
    """Make a tensor the sum of all processes' tensors."""
    try:
        torch.distributed.all_reduce(tensor)
    except RuntimeError as error:
        raise PeerLost(str(error)) from None


def normalisations(model: nn.Module) -> list[_BatchNorm]:
    """The layers of a network that normalise by the statistics of their batch.

    >>> len(normalisations(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.LayerNorm(2))))
    1
    """
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]
