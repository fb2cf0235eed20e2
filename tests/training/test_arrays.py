"""Weights are put into the network that they are of, and into no other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from fittingroom.spec.errors import FittingroomError
from fittingroom.training.arrays import load_arrays, to_arrays

Arrays = dict[str, np.ndarray]


def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def test_tensors_keep_their_memory_format() -> None:
    arrays, model = to_arrays(net()), net()
    load_arrays(model, arrays)
    assert all(np.array_equal(value, arrays[name]) for name, value in to_arrays(model).items())
    assert model.get_parameter("0.weight").is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda a: a.pop("0.bias"), "0.bias is missing there and 4 here; give the recipe"),
        (lambda a: a.update({"more": np.zeros((2, 3))}), "more is 2×3 there and nothing here"),
        (lambda a: a.update({"0.bias": np.zeros(1, np.float32)}), "0.bias is 1 there and 4 here"),  # NumPy would repeat it
        (lambda a: a.update({"0.weight": a["0.weight"][:, :1]}), "0.weight is 4×1×3×3 there and 4×3×3×3 here"),
        (lambda a: a.update({"1.num_batches_tracked": np.zeros(1, np.int64)}), "1.num_batches_tracked is 1 there and one number here"),
    ],
)  # fmt: skip
def test_weights_of_another_network_are_refused_and_nothing_is_changed(
    change: Callable[[Arrays], object], told: str
) -> None:
    model, arrays = net(), to_arrays(net())
    before = to_arrays(model)
    change(arrays)
    with pytest.raises(FittingroomError, match=f"these weights are of another network: {told}"):
        load_arrays(model, arrays)
    assert all(np.array_equal(value, before[name]) for name, value in to_arrays(model).items())
