"""What other trackers are told of a run, finished or not. Sends nothing."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from fittingroom.metrics.classes import mean_confusion
from fittingroom.metrics.crossed import estimate
from fittingroom.metrics.intervals import proportion
from fittingroom.metrics.metric import LOG_LOSS, right
from fittingroom.report import charts, theme
from fittingroom.spec.changes import PROSE, inline, plain
from fittingroom.spec.recipe import Recipe
from fittingroom.spec.records import DataFacts, Environment, Epoch, Metrics
from fittingroom.store import RunFolder

Value = bool | int | float | str


@dataclass(frozen=True)
class Point:
    """A value of the curve `name` ("val/loss") after an epoch."""

    name: str
    value: float
    epoch: int
    time_s: float  # Unix; as if nothing had interrupted the run


@dataclass(frozen=True)
class RunRecord:
    """A run as other trackers are told it. Accuracies are fractions, intervals 95 %."""

    folder: RunFolder
    recipe: Recipe
    seed: int
    digest: str
    data: DataFacts
    environment: Environment
    epochs: tuple[Epoch, ...]
    metrics: Metrics | None  # None until the run is finished

    @property
    def started_s(self) -> float:
        return datetime.datetime.fromisoformat(self.environment.started).timestamp()

    @property
    def last_s(self) -> float:
        return self.started_s + sum(e.train_s + e.eval_s for e in self.epochs)

    @property
    def params(self) -> dict[str, Value]:
        """The seed, and the resolved recipe by path, with one value for each layer and each step of augmentation."""
        tree = {key: part for key, part in plain(self.recipe).items() if key not in PROSE}
        tree["model"]["layers"] = [
            layer.model_dump(mode="json", exclude_defaults=True) for layer in self.recipe.model.layers
        ]
        return {"seed": self.seed, **dict(_flat(tree))}

    def points(self) -> Iterator[Point]:
        """The curves, and at the end the scores of the chosen weights, at the epoch that they are from."""
        time_s = self.started_s
        for e in self.epochs:
            time_s += e.train_s + e.eval_s
            for name, value in {
                "lr": e.lr,
                "train/loss": e.train_loss,
                "train/accuracy": e.train_accuracy,
                "clean/loss": e.clean_loss,
                "clean/accuracy": e.clean_accuracy,
                "val/loss": e.val_loss,
                "val/accuracy": e.val_accuracy,
            }.items():
                if value is not None:
                    yield Point(name, value, e.epoch, time_s)
        if self.metrics:
            for name, value in _end(self.metrics, self.folder, self.recipe):
                yield Point(name, value, self.metrics.selected_epoch, time_s)

    def figures(self) -> dict[str, Callable[[], bytes]]:
        """What draws the run's figures, by name, as PNG."""
        drawn: dict[str, Callable[[], theme.Chart]] = {
            "structure": lambda: charts.structure(self.folder.structure, self.data)
        }
        if self.epochs:
            curves = {self.recipe.name: [self.epochs]}
            drawn["accuracy_curves"] = lambda: charts.curves(curves, "accuracy")
            drawn["loss_curves"] = lambda: charts.curves(curves, "loss")
        if self.metrics and self.metrics.test:
            drawn["confusion"] = lambda: _confusion(self.folder, self.data)
        return {name: partial(_png, draw) for name, draw in drawn.items()}


@dataclass(frozen=True)
class Copied:
    """What became of a run in another tracker."""

    run: str
    place: str  # how the tracker calls it
    epochs: int
    added: int  # values that were not there before
    finished: bool
    model: str = ""  # how the tracker calls its model, if it has it


@dataclass(frozen=True)
class Tracker:
    """Another tracker, reached."""

    to: str  # where it is, without passwords
    look: str  # the command that shows what is there
    copy: Callable[[RunRecord], Copied]  # brings a run's copy up to the run
    serve: str = ""  # the command that serves a model, whose name there follows; "": it cannot


def read(run: RunFolder) -> RunRecord:
    """What there is of `run`, up to its last whole epoch. Raises `FittingroomError` for a damaged one."""
    done = run.done  # before all else: a run that ends now is told as one that goes on
    identity = run.identity
    return RunRecord(
        folder=run,
        recipe=run.recipe,
        seed=int(identity["seed"]),
        digest=str(identity["digest"]),
        data=run.data,
        environment=run.environment,
        epochs=tuple(run.epochs),
        metrics=run.metrics if done else None,
    )


def _end(m: Metrics, run: RunFolder, recipe: Recipe) -> Iterator[tuple[str, float]]:
    """The scores of a finished run. A calibration error has no interval: it is biased, and resampling biases it further."""
    yield from (("train_s", m.train_s), ("eval_s", m.eval_s))
    on = "held_out" if recipe.data.folds and recipe.data.fold_is == "test" else "test"  # a fold is no test set
    said = run.predictions("test") if m.test else None
    if m.test and said:
        design = run.design()
        low, high = proportion(right(*said) > 0, design)
        yield from ((f"{on}/accuracy", m.test.accuracy), (f"{on}/accuracy_low", low), (f"{on}/accuracy_high", high))
        low, high = estimate(LOG_LOSS.values(*said)[None], design).interval()
        yield from ((f"{on}/loss", m.test.loss), (f"{on}/loss_low", low), (f"{on}/loss_high", high))
        yield f"{on}/ece", m.test.ece
    if m.test_averaged:
        yield f"{on}/accuracy_averaged", m.test_averaged.accuracy


def _png(draw: Callable[[], theme.Chart]) -> bytes:
    return theme.png(draw())


def _confusion(run: RunFolder, data: DataFacts) -> theme.Chart:
    said = run.predictions("test")
    assert said, "a scored run has its predictions"
    return charts.confusion(mean_confusion(said[0].argmax(1)[None], said[1], len(data.classes)), data.classes, "count")


def _flat(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Value]]:
    """Paths, as overrides give them, and values; one of a list's parts is one value, as TOML."""
    for key, value in tree.items():
        match value:
            case dict():
                yield from _flat(value, f"{path}{key}.")
            case list():
                yield from ((f"{path}{key}.{i}", inline(part)) for i, part in enumerate(value))
            case _ if value != "":
                yield f"{path}{key}", value
