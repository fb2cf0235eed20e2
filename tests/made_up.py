"""Finished runs whose truth is known, for the statistics: made of arrays instead of trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fittingroom.spec.bundle import Operating
from fittingroom.spec.design import ALONE, Design
from fittingroom.spec.records import Cost, Environment, Epoch, Finding, Metrics, Scores, Share, Structure

ENVIRONMENT = Environment(
    fittingroom="0", python="3", torch="2", platform="x", cpu="x", cores=2,
    device="cpu", device_name="cpu", threads=1, at_once=2, started="now",
)  # fmt: skip


@dataclass
class Run:
    """What verdict, claims and portrait ask of a run."""

    name: str
    seed: int
    logits_NK: np.ndarray
    labels_N: np.ndarray
    epochs: list[Epoch] = field(default_factory=list)
    parameters: int = 10
    flops: int = 20
    cost: Cost | None = None
    environment: Environment = ENVIRONMENT
    held_out: bool = True  # whether there are validation images
    design: Design = ALONE
    validation: tuple[np.ndarray, np.ndarray] | None = (
        None  # logits and labels; every other image where they are not given
    )

    @property
    def val_logits_NK(self) -> np.ndarray | None:
        return self.validation[0] if self.validation else self.logits_NK[::2] if self.held_out else None

    @property
    def val_labels_N(self) -> np.ndarray | None:
        return self.validation[1] if self.validation else self.labels_N[::2] if self.held_out else None

    @property
    def val_design(self) -> Design:
        return ALONE if self.validation else self.design.of(np.arange(0, len(self.labels_N), 2))

    @property
    def structure(self) -> Structure:
        return Structure(layers=(), parameters=self.parameters, flops=self.flops)

    @property
    def metrics(self) -> Metrics:
        accuracy = float((self.logits_NK.argmax(1) == self.labels_N).mean())
        s = Scores(n=len(self.labels_N), accuracy=accuracy, loss=0.5, ece=0.01)
        epochs = len(self.epochs)
        return Metrics(
            train=s, val=s, test=s, test_averaged=None, epochs=epochs, selected_epoch=epochs, train_s=2.0, eval_s=1.0
        )


def operating(positive: str, threshold: float) -> Operating:
    """An operating point that nobody chose."""
    share = Share(value=0.9, low=0.8, high=1.0)
    found = Finding(sensitivity=share, specificity=share, precision=share, threshold=threshold)
    return Operating(
        positive=positive, aim="nothing", threshold=threshold, probability=None, chosen_on=1, chosen_on_class=1, found=found
    )  # fmt: skip


def two_classes(right_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels (all 0) of a model that is right where `right_N` says."""
    return np.stack([right_N, 1.0 - right_N], 1), np.zeros(len(right_N), np.int64)


def curve(val_loss: Any, val_accuracy: Any, clean_accuracy: Any, train_loss: Any = None) -> list[Epoch]:
    """Epochs with these curves; the training loss is four fifths of the validation loss unless given."""
    train_loss = np.asarray(val_loss) * 0.8 if train_loss is None else train_loss
    return [
        Epoch(epoch=i + 1, lr=0.1, train_loss=t, train_accuracy=c, clean_loss=t, clean_accuracy=c, clean_n=10, val_loss=v, val_accuracy=a, train_s=1, eval_s=1)
        for i, (v, a, c, t) in enumerate(zip(val_loss, val_accuracy, clean_accuracy, train_loss, strict=True))
    ]  # fmt: skip
