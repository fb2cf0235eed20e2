"""Any plain stack of layers, from the inline tables of a recipe; a stack that does not fit is refused with the place."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from torch import nn

from fittingroom.models import kernels
from fittingroom.models.registry import Size
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import Act, Conv, Dense, Dropout, Flatten, Layer, Norm, Pool, Repeat

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


@dataclass(frozen=True)
class Shape:
    """What flows between two layers: (C, H, W), or (features,) after `flatten`."""

    dims: tuple[int, ...]

    def __str__(self) -> str:
        return "×".join(map(str, self.dims)) + (" (channels × height × width)" if len(self.dims) == 3 else " values")


def sequential(layers: tuple[Layer, ...], channels: int, size: Size, classes: int) -> nn.Sequential:
    """The network of `layers`, closed by a flatten (if needed) and a dense layer with a logit for each class.

    Raises `FittingroomError` with the layer's path, the shape that arrives there and what would fit.

    >>> sequential((Flatten(flatten=True), Dense(dense=4)), 1, (2, 2), 3)
    Sequential(
      (0): Flatten(start_dim=1, end_dim=-1)
      (1): Linear(in_features=4, out_features=4, bias=True)
      (2): Linear(in_features=4, out_features=3, bias=True)
    )
    """
    shape = Shape((channels, *size))
    modules: list[nn.Module] = []
    for place, turn, layer in _unrolled(layers, "model.layers"):
        module, shape = _module(layer, shape, place, turn)
        modules.append(module)
    if len(shape.dims) == 3:
        modules.append(nn.Flatten())
    return nn.Sequential(*kernels.fused(modules), nn.Linear(math.prod(shape.dims), classes))


def _unrolled(layers: Iterable[Layer], path: str) -> Iterator[tuple[str, str, Layer]]:
    """Each layer as often as it comes, with its place and, where it is repeated, which round it is."""
    for i, layer in enumerate(layers):
        here = f"{path}.{i}"
        if isinstance(layer, Repeat):
            for round_ in range(layer.repeat):
                for place, turn, inner in _unrolled(layer.layers, f"{here}.layers"):
                    yield place, f"{turn} (round {round_ + 1} of {layer.repeat})", inner
        else:
            yield here, "", layer


def _module(layer: Layer, shape: Shape, place: str, turn: str) -> tuple[nn.Module, Shape]:
    """One layer as a module, and the shape after it."""

    def refuse(problem: str, remedy: str) -> FittingroomError:
        fault = f"{problem}; {shape} arrives here; {remedy}"
        return FittingroomError(f"{place}{turn}: {fault}", {place: fault})

    flat = len(shape.dims) == 1
    if flat and isinstance(layer, Conv | Pool):
        raise refuse(
            f"a {'convolution' if isinstance(layer, Conv) else 'pooling'} needs an image", "move flatten behind it"
        )
    match layer:
        case Conv():
            channels, height, width = shape.dims
            if channels % layer.groups or layer.conv % layer.groups:
                fits = [g for g in range(1, channels + 1) if channels % g == 0 and layer.conv % g == 0]
                raise refuse(f"groups = {layer.groups} must divide the channels in and out", f"groups may be {fits}")
            if layer.padding == "same" and layer.stride > 1:
                reach = layer.dilation * (layer.kernel - 1)
                raise refuse('padding = "same" needs stride = 1', f"set padding = {reach // 2} for about half the size")
            out = [_after(n, layer.kernel, layer.stride, layer.padding, layer.dilation) for n in (height, width)]
            if min(out) < 1:
                raise refuse(
                    f"a {layer.kernel}×{layer.kernel} kernel with dilation {layer.dilation} does not fit",
                    f'use kernel ≤ {min(height, width)}, or padding = "same"',
                )
            conv = nn.Conv2d(
                channels,
                layer.conv,
                layer.kernel,
                layer.stride,
                layer.padding,
                layer.dilation,
                layer.groups,
                layer.bias,
            )
            return conv, Shape((layer.conv, *out))
        case Pool():
            channels, height, width = shape.dims
            if layer.pool in ("global_max", "global_avg"):
                whole = nn.AdaptiveMaxPool2d(1) if layer.pool == "global_max" else nn.AdaptiveAvgPool2d(1)
                return whole, Shape((channels, 1, 1))
            stride = layer.stride or layer.size
            out = [_after(n, layer.size, stride, layer.padding, 1) for n in (height, width)]
            if layer.padding * 2 > layer.size:
                raise refuse(f"padding = {layer.padding} is more than half of size = {layer.size}", "lower it")
            if min(out) < 1:
                raise refuse(
                    f"a {layer.size}×{layer.size} pooling does not fit",
                    f"use size ≤ {min(height, width)}, or fewer poolings",
                )
            pool = nn.MaxPool2d if layer.pool == "max" else nn.AvgPool2d
            return pool(layer.size, stride, layer.padding), Shape((channels, *out))
        case Norm():
            features = shape.dims[0]
            if layer.norm == "batch":
                return (nn.BatchNorm1d if flat else nn.BatchNorm2d)(features), shape
            if layer.norm == "layer":
                return nn.LayerNorm(list(shape.dims)), shape
            if features % layer.groups:
                fits = [g for g in range(1, features + 1) if features % g == 0]
                raise refuse(f"groups = {layer.groups} must divide {features}", f"groups may be {fits}")
            return nn.GroupNorm(layer.groups, features), shape
        case Act():
            return ACTIVATIONS[layer.act](), shape
        case Dropout():
            return kernels.Dropout(layer.dropout), shape
        case Flatten():
            return nn.Flatten(), Shape((math.prod(shape.dims),))
        case Dense():
            if not flat:
                raise refuse(
                    "a dense layer needs a vector", "put {flatten = true} (or a global pooling and it) in front"
                )
            return nn.Linear(shape.dims[0], layer.dense, layer.bias), Shape((layer.dense,))
    raise AssertionError(layer)


def _after(n: int, kernel: int, stride: int, padding: int | str, dilation: int) -> int:
    """Pixels along one axis after a convolution or pooling; less than 1 means that it does not fit."""
    if padding == "same":
        return n
    assert isinstance(padding, int)
    return (n + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
