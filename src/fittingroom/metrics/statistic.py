"""One number a run: what a claim in words is measured by, each with its definition and its reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fittingroom.spec.records import Epoch, Metrics, Structure

EARLY = 0.25  # share of a training that counts as early, at least one epoch
LATE = 1 / 3  # as late, at least three
SETTLED = 0.75  # as settled: fluctuation is read from here on, when the steep rise is over
HALF = 0.5  # the gap's trend
FEWEST_EPOCHS = 6  # with fewer a curve has no early, middle and late


class Trained(Protocol):
    """What a statistic needs of one finished run."""

    @property
    def metrics(self) -> Metrics: ...
    @property
    def structure(self) -> Structure: ...
    @property
    def epochs(self) -> Sequence[Epoch]: ...


@dataclass(frozen=True)
class Statistic:
    """`of(run)` is NaN where the run cannot show it: too few epochs, nothing held out, test not read."""

    name: str
    definition: str
    reason: str  # why this number stands for the words
    of: Callable[[Trained], float]
    scale: float = 1.0  # to the shown value
    unit: str = ""
    digits: int = 4
    as_ratio: bool = False  # a size, whose runs scatter by a factor: two recipes are compared as a ratio
    is_cost: bool = False  # the same for every seed

    @property
    def is_fraction(self) -> bool:
        """Whether it lies in 0 … 1."""
        return self.name.endswith("accuracy")


def val_losses(epochs: Sequence[Epoch]) -> np.ndarray:
    """Validation loss of each epoch (E,), NaN where nothing is held out."""
    return np.array([np.nan if e.val_loss is None else e.val_loss for e in epochs])


def val_accuracies(epochs: Sequence[Epoch]) -> np.ndarray:
    """Validation accuracy of each epoch (E,), NaN where nothing is held out."""
    return np.array([np.nan if e.val_accuracy is None else e.val_accuracy for e in epochs])


def gaps(epochs: Sequence[Epoch]) -> np.ndarray:
    """Clean training accuracy less validation accuracy, of each epoch (E,)."""
    return np.asarray([e.clean_accuracy for e in epochs] - val_accuracies(epochs))


def slope(values: np.ndarray) -> float:
    """Least-squares slope of a curve, per epoch.

    >>> slope(np.array([1.0, 3.0, 5.0]))
    2.0
    """
    x = np.arange(len(values)) - (len(values) - 1) / 2
    return float(x @ values / (x @ x))


def fluctuation(values: np.ndarray) -> float:
    """How much a curve jumps from epoch to epoch, freed of its trend: root mean square of its second differences / √6.

    For independent noise around any straight line this is the noise's standard deviation (von Neumann 1941, one
    difference further).

    >>> fluctuation(np.array([1.0, 2.0, 3.0, 4.0]))
    0.0
    """
    second = np.diff(values, 2)
    return float(np.sqrt(np.mean(second**2) / 6))


def late(values: np.ndarray, share: float = LATE) -> np.ndarray:
    """The last `share` of a curve, at least three epochs."""
    return np.asarray(values[-max(3, round(share * len(values))) :])


def _of_curve(read: Callable[[Sequence[Epoch]], float]) -> Callable[[Trained], float]:
    return lambda run: read(run.epochs) if len(run.epochs) >= FEWEST_EPOCHS else float("nan")


def _early(values: Sequence[float] | np.ndarray) -> float:
    return float(np.mean(values[: max(1, round(EARLY * len(values)))]))


_PERCENT = {"scale": 100.0, "unit": " %", "digits": 2}
_POINTS = {"scale": 100.0, "unit": " points", "digits": 2}
STATISTICS = {
    s.name: s
    for s in (
        Statistic(
            "test_accuracy",
            "accuracy of the scored weights on the test set",
            "it is the figure that is stated",
            lambda run: run.metrics.test.accuracy if run.metrics.test else float("nan"),
            **_PERCENT,  # type: ignore[arg-type]
        ),
        Statistic(
            "val_accuracy",
            "accuracy of the scored weights on the held-out part of train",
            "it is the figure that is stated",
            lambda run: run.metrics.val.accuracy if run.metrics.val else float("nan"),
            **_PERCENT,  # type: ignore[arg-type]
        ),
        Statistic(
            "gap",
            "training accuracy (clean: no dropout, no augmentation) less validation accuracy, mean of the last third",
            "overfitting is doing better on what was trained on; running training accuracy would count dropout as a gain",
            _of_curve(lambda epochs: float(np.mean(late(gaps(epochs))))),
            **_POINTS,  # type: ignore[arg-type]
        ),
        Statistic(
            "late_val_loss_slope",
            "slope of the validation loss over the last third of the epochs",
            "“turns up near the end” is a rising trend at the end; last value less minimum would be positive for any noisy curve",
            _of_curve(lambda epochs: slope(late(val_losses(epochs)))),
            unit=" nats an epoch",
        ),
        Statistic(
            "late_gap_slope",
            "slope of the gap between clean training and validation accuracy over the second half",
            "“widens” is a rising trend; the first half is left out, where every gap opens",
            _of_curve(lambda epochs: slope(late(gaps(epochs), HALF))),
            scale=100.0,
            unit=" points an epoch",
            digits=3,
        ),
        Statistic(
            "val_loss_fluctuation",
            "fluctuation of the validation loss after the first quarter (second differences, freed of the trend)",
            "“fluctuates” and “stable” speak of jumps from epoch to epoch, not of a trend",
            _of_curve(lambda epochs: fluctuation(late(val_losses(epochs), SETTLED))),
            unit=" nats",
            as_ratio=True,
        ),
        Statistic(
            "val_accuracy_fluctuation",
            "fluctuation of the validation accuracy after the first quarter (second differences, freed of the trend)",
            "“fluctuates” and “stable” speak of jumps from epoch to epoch, not of a trend",
            _of_curve(lambda epochs: fluctuation(late(val_accuracies(epochs), SETTLED))),
            as_ratio=True,
            **_POINTS,  # type: ignore[arg-type]
        ),
        Statistic(
            "early_train_accuracy",
            "training accuracy while training, mean of the first quarter of the epochs",
            "a curve that rises faster stands higher early on",
            _of_curve(lambda epochs: _early([e.train_accuracy for e in epochs])),
            **_PERCENT,  # type: ignore[arg-type]
        ),
        Statistic(
            "early_val_accuracy",
            "validation accuracy, mean of the first quarter of the epochs",
            "training that is accelerated is further early on, judged on images that it has not seen",
            _of_curve(lambda epochs: _early(val_accuracies(epochs))),
            **_PERCENT,  # type: ignore[arg-type]
        ),
        Statistic(
            "flops",
            "FLOPs of one prediction, counted on the built network",
            "computing cost that does not depend on who measures it",
            lambda run: float(run.structure.flops),
            as_ratio=True,
            is_cost=True,
        ),
        Statistic(
            "parameters",
            "trainable parameters",
            "the size of a model",
            lambda run: float(run.structure.parameters),
            as_ratio=True,
            is_cost=True,
        ),
    )
}
