"""The registry of augmentations, and the pipeline that a recipe makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

from fittingroom.spec.recipe import AugmentSpec
from fittingroom.spec.registry import Registry

Augmentation = Callable[[Tensor, Tensor, Generator], tuple[Tensor, Tensor]]
AUGMENTATIONS: Registry[Callable[..., tuple[Tensor, Tensor]]] = Registry("augmentation", "fittingroom augmentations")


def pipeline(specs: Sequence[AugmentSpec]) -> Augmentation:
    """All steps of a recipe's `augment`, in order. Raises `FittingroomError` for an unknown kind or a wrong parameter."""
    steps = [AUGMENTATIONS.bind(spec.kind, spec.params, f"augment.{i}") for i, spec in enumerate(specs)]

    def run(images_NCHW: Tensor, targets_NK: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        for step in steps:
            images_NCHW, targets_NK = step(images_NCHW, targets_NK, generator)
        return images_NCHW, targets_NK

    return run


def uniform(n: int, low: float, high: float, generator: Generator) -> Tensor:
    """`n` numbers evenly drawn from low … high, on the generator's device."""
    return torch.rand(n, generator=generator, device=generator.device) * (high - low) + low
