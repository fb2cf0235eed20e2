"""A network's parameters and buffers as plain arrays by name, and back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from fittingroom.models.neighbours import make_room
from fittingroom.spec.errors import FittingroomError


def to_arrays(model: nn.Module) -> dict[str, np.ndarray]:
    """A model's parameters and buffers as arrays, by name."""
    return {name: value.detach().cpu().numpy().copy() for name, value in model.state_dict().items()}


def load_arrays(model: nn.Module, arrays: Mapping[str, np.ndarray]) -> None:
    """Put `arrays` into the model in place, which keeps each tensor's memory format.

    Raises `FittingroomError` that names the first tensor for which they are not made.
    """
    make_room(model, arrays)
    own = model.state_dict()
    for name in [*own, *arrays]:
        there = _shape(arrays[name]) if name in arrays else "missing"
        here = _shape(own[name]) if name in own else "nothing"
        if there != here:
            raise FittingroomError(
                f"these weights are of another network: {name.removeprefix('body.')} is {there} there and {here} here; "
                "give the recipe that they were trained with"
            )
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(torch.from_numpy(arrays[name]))


def _shape(array: torch.Tensor | np.ndarray) -> str:
    return "×".join(map(str, array.shape)) or "one number"
