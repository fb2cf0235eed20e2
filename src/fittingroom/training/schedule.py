"""The learning rate as a pure function of the step, so that a resumed run needs no scheduler state."""

from __future__ import annotations

import math
from collections.abc import Callable

from fittingroom.spec.recipe import ScheduleSpec


def lr_factor(spec: ScheduleSpec, step: int, steps: int, steps_per_epoch: int) -> float:
    """The factor of `optimizer.lr` at `step` (from 0) of `steps`.

    >>> [round(lr_factor(ScheduleSpec(kind="cosine"), s, 4, 1), 3) for s in range(4)]
    [1.0, 0.854, 0.5, 0.146]
    """
    warmup = spec.warmup_epochs * steps_per_epoch
    if step < warmup:
        return (step + 1) / (math.floor(warmup) + 1)
    done = (step - warmup) / max(1, steps - warmup)
    match spec.kind:
        case "constant":
            return 1.0
        case "step":
            return float(spec.gamma ** math.floor((step - warmup) / (spec.step_epochs * steps_per_epoch)))
        case "cosine":
            return spec.final + (1 - spec.final) * _half_cosine(done)
        case "triangular":
            return _up_down(done, spec, lambda x: 1 - x)
        case "one_cycle":
            return _up_down(done, spec, _half_cosine)


def _up_down(done: float, spec: ScheduleSpec, fall: Callable[[float], float]) -> float:
    if done < spec.peak:
        return spec.start + (1 - spec.start) * (1 - fall(done / spec.peak))
    return spec.final + (1 - spec.final) * fall((done - spec.peak) / (1 - spec.peak))


def _half_cosine(done: float) -> float:
    """1 at 0, 0 at 1."""
    return (1 + math.cos(math.pi * done)) / 2
