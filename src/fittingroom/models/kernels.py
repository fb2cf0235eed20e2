"""Layers that torch does slowly on a CPU, with fewer passes over memory. Measured: docs/performance.md.

bfloat16 values are read as the 16-bit integers that their bits spell: positive ones compare as the numbers do, negative
ones are less than those, and -1 is a mask of all ones. Integers are compared and masked at memory's speed, where torch
turns every bfloat16 into a float32 and back.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BLOCK_BYTES = 1 << 20  # worked on at a time by each thread, so that it stays in a core's cache  # measured: docs/log.md
INTEGERS = {2: torch.int16, 4: torch.int32}


class ReluMaxPool2d(nn.MaxPool2d):
    """ReLU, then 2×2 max-pooling: the same values and gradients as torch's two layers, bit for bit.

    Pooling first gives the same and leaves ReLU a quarter to do. A training in bfloat16 on a CPU does both in one pass; a
    negative NaN becomes 0 there (what made it is found at the end of the epoch, when the network is scored).

    >>> layer, x = ReluMaxPool2d(), torch.randn(2, 3, 5, 4)
    >>> torch.equal(layer(x), F.max_pool2d(F.relu(x), 2))
    True
    """

    def __init__(self) -> None:
        super().__init__(2)

    def forward(self, x: Tensor) -> Tensor:
        channels_last = x.is_contiguous(memory_format=torch.channels_last)
        if x.device.type == "cpu" and x.dtype == torch.bfloat16 and x.requires_grad and channels_last:
            return _ReluMaxPool.apply(x)  # type: ignore[no-any-return]
        return F.relu(super().forward(x))


class DepthwiseConv2d(nn.Conv2d):
    """A convolution of each channel by itself, which a training in bfloat16 on a CPU computes in float32.

    oneDNN's gradients of such kernels take 4 to 40 times as long in bfloat16 as in float32 (5 × 5: docs/log.md 2026-11-27).

    >>> DepthwiseConv2d(4, kernel_size=3, padding=1)(torch.zeros(1, 4, 5, 5)).shape
    torch.Size([1, 4, 5, 5])
    """

    def __init__(self, channels: int, kernel_size: int, stride: int = 1, padding: int = 0, bias: bool = True) -> None:
        super().__init__(channels, channels, kernel_size, stride, padding, groups=channels, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float()).to(torch.get_autocast_dtype("cpu"))


def fused(layers: Iterable[nn.Module]) -> list[nn.Module]:
    """The same layers, with each ReLU in front of a 2×2 max-pooling done by the pooling; every layer keeps its number.

    >>> fused([nn.ReLU(), nn.MaxPool2d(2)])
    [Identity(), ReluMaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)]
    """
    found = list(layers)
    for i, (first, second) in enumerate(pairwise(found)):
        if type(first) is nn.ReLU and _halves(second):
            found[i : i + 2] = [nn.Identity(), ReluMaxPool2d()]
    return found


def _halves(layer: nn.Module) -> bool:
    return isinstance(layer, nn.MaxPool2d) and (layer.kernel_size, layer.stride, layer.padding) == (2, 2, 0)


class _ReluMaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        bits, rows = _windows(x)
        n, height, width, channels = bits.shape
        out = torch.empty((n, height // 2, width // 2, channels), dtype=x.dtype)
        for part, best in zip(bits.split(rows), out.view(torch.int16).flatten(2).split(rows), strict=True):
            torch.maximum(*_above_below(torch.maximum(*_left_right(part))), out=best)
            best.clamp_min_(0)
        ctx.save_for_backward(x, out)
        return out.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        x, out = ctx.saved_tensors
        below = torch.empty_like(x)
        _, _, height, width = x.shape
        below[:, :, height // 2 * 2 :] = 0  # an odd last row or column is in no window
        below[:, :, :, width // 2 * 2 :] = 0
        bits, rows = _windows(x)
        gradient = gradient.permute(0, 2, 3, 1).contiguous().view(torch.int16).flatten(2)
        parts = (bits, out.view(torch.int16).flatten(2), gradient, _windows(below)[0])
        for part, best, given, wanted in zip(*(tensor.split(rows) for tensor in parts), strict=True):
            let_through = given & (-best >> 15)  # the mask is all ones where the output is positive
            left, right = _left_right(part)
            larger = torch.maximum(left, right)
            passed = torch.empty_like(larger)
            _pass_down(let_through, _above_below(larger), _above_below(passed))
            _pass_down(passed, (left, right), _left_right(wanted))
        return below


def _windows(x_NCHW: Tensor) -> tuple[Tensor, int]:
    """The bits of what 2×2 windows cover, (N,H,W,C), and how many images make a block."""
    height, width = (side // 2 * 2 for side in x_NCHW.shape[2:])
    block_bytes = BLOCK_BYTES * torch.get_num_threads()
    images = max(1, block_bytes // (x_NCHW[0].numel() * x_NCHW.element_size()))
    return x_NCHW.permute(0, 2, 3, 1)[:, :height, :width].view(torch.int16), images


def _left_right(bits_NHWC: Tensor) -> tuple[Tensor, Tensor]:
    left, right = bits_NHWC.unflatten(2, (-1, 2)).unbind(3)
    return left, right


def _above_below(bits_NHWC: Tensor) -> tuple[Tensor, Tensor]:
    above, below = bits_NHWC.unflatten(1, (-1, 2)).flatten(3).unbind(2)
    return above, below


def _pass_down(gradient: Tensor, pair: tuple[Tensor, Tensor], wanted: tuple[Tensor, Tensor]) -> None:
    """Hand each gradient to the larger of a pair, to the first if they are equal; of two negative ones, gradients are 0."""
    first, second = wanted
    torch.lt(*pair, out=second).neg_()  # all ones where the second is larger
    second &= gradient
    torch.bitwise_xor(gradient, second, out=first)


class Dropout(nn.Dropout):
    """torch's dropout, with 16 random bits a value on a CPU: `p` is met to 1 in 32,768, survivors are scaled by the p met.

    >>> _ = torch.manual_seed(0)
    >>> round(Dropout(0.25)(torch.ones(100_000)).mean().item(), 2)
    1.0
    """

    def forward(self, x: Tensor) -> Tensor:
        dense = x.is_contiguous() or (x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last))
        if not self.training or self.p == 1 or x.device.type != "cpu" or not dense or x.element_size() not in INTEGERS:
            return super().forward(x)
        return _Dropout.apply(x, self.p)  # type: ignore[no-any-return]


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, p: float) -> Tensor:
        dropped = min(round(p * 2**15), 2**15 - 1)
        random = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        below = random.view(torch.int16)[: x.numel()].bitwise_and_(2**15 - 1)  # 0 … 32,767
        keep = torch.rsub(below, dropped - 1) >> 15  # all ones from `dropped` on
        ctx.keep = keep.as_strided(x.shape, x.stride()).to(INTEGERS[x.element_size()])
        ctx.scale = 2**15 / (2**15 - dropped)
        return _masked(x, ctx.keep).mul_(ctx.scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _masked(gradient, ctx.keep).mul_(ctx.scale), None


def _masked(x: Tensor, keep: Tensor) -> Tensor:
    return (x.view(keep.dtype) & keep).view(x.dtype)
