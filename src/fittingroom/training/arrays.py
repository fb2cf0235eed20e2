"""A network's parameters and buffers as plain arrays by name, and back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn


def to_arrays(model: nn.Module) -> dict[str, np.ndarray]:
    """A model's parameters and buffers as arrays, by name."""
    return {name: value.detach().cpu().numpy().copy() for name, value in model.state_dict().items()}


def load_arrays(model: nn.Module, arrays: Mapping[str, np.ndarray]) -> None:
    """Put `arrays` into the model in place, which keeps each tensor's memory format."""
    with torch.no_grad():
        for name, value in model.state_dict().items():
            value.copy_(torch.from_numpy(arrays[name]))
