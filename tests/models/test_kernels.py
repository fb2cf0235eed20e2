"""Our faster layers against torch's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from fittingroom.models import kernels
from fittingroom.models.kernels import Dropout, ReluMaxPool2d, _ReluMaxPool

sides = st.integers(2, 13)


@given(st.integers(1, 5), st.integers(1, 20), sides, sides, st.booleans(), st.integers(0, 99))
def test_relu_and_max_pool_in_one_pass_are_torchs_two_layers_bit_for_bit(
    images: int, channels: int, height: int, width: int, ties: bool, seed: int
) -> None:
    """Half of the examples have many equal values: a gradient goes to the first of them, as torch has it."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn((images, channels, height, width), generator=generator).bfloat16()
    x = (x.round() if ties else x).contiguous(memory_format=torch.channels_last).requires_grad_()
    oracle = F.max_pool2d(F.relu(x), 2)
    upstream = torch.randn(oracle.shape, generator=generator).bfloat16()
    for ours in (_ReluMaxPool.apply(x), ReluMaxPool2d()(x), ReluMaxPool2d()(x.contiguous())):
        assert torch.equal(ours, oracle)
        assert torch.equal(*(torch.autograd.grad(y, x, upstream, retain_graph=True)[0] for y in (ours, oracle)))


def test_blocks_of_images_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(7, 4, 6, 6).bfloat16().contiguous(memory_format=torch.channels_last).requires_grad_()
    whole = torch.autograd.grad(ReluMaxPool2d()(x).sum(), x)[0]
    monkeypatch.setattr(kernels, "BLOCK_BYTES", 1)
    assert torch.equal(whole, torch.autograd.grad(ReluMaxPool2d()(x).sum(), x)[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [0.0, 0.1, 0.25, 0.5, 0.9])
def test_dropout_drops_each_value_alone_with_probability_p_and_its_gradient_too(p: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.ones((200, 8, 7, 9), dtype=dtype).contiguous(memory_format=torch.channels_last).requires_grad_()
    y = Dropout(p)(x)
    y.sum().backward()
    assert torch.equal(y, x.grad)
    dropped = (y == 0).numpy(force=True)
    low, high = binom.interval(1 - 1e-9, x.numel(), p)
    assert low <= dropped.sum() <= high
    for shift in (1, 2, 3, 4, 8):  # neighbours in memory share no fate, though four come from one random number
        flat = np.moveaxis(dropped, 1, 3).ravel()
        both = (flat[shift:] & flat[:-shift]).mean()
        assert both == pytest.approx(p * p, abs=0.01)
    kept = y[y != 0].float().unique()
    assert len(kept) <= 1
    assert torch.allclose(kept, torch.full_like(kept, 1 / (1 - p)), rtol=1e-2 if dtype == torch.bfloat16 else 1e-4)


def test_dropout_is_repeatable_and_silent_in_evaluation() -> None:
    x, layer = torch.randn(64, 10), Dropout(0.5)
    first, second = ((torch.manual_seed(3), layer(x))[1] for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(layer.eval()(x), x)
