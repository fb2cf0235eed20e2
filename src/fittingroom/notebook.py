"""A run and a data set as a notebook has them: with pictures."""

from __future__ import annotations

from dataclasses import fields
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fittingroom.data import Dataset, Images
from fittingroom.metrics.story import Story, gather
from fittingroom.metrics.words import percent
from fittingroom.report.rows import Rows, table_html
from fittingroom.spec.errors import FittingroomError, need
from fittingroom.spec.recipe import Recipe
from fittingroom.spec.records import Epoch, Metrics
from fittingroom.store import RunFolder, Runs

if TYPE_CHECKING:
    from torch import nn

    from fittingroom.report.shown import Html
    from fittingroom.report.theme import Figure


class Data(Dataset):
    """A data set that shows itself. `.train.images_NCHW` (N,C,H,W) uint8, `.train.labels_N`; its test set stays locked."""

    @classmethod
    def of(cls, data: Dataset) -> Data:
        """The same data set, able to show itself."""
        return cls(**{field.name: getattr(data, field.name) for field in fields(Dataset)})

    def show(self) -> Html:
        """Training images of each class, and how many there are of each."""
        from fittingroom.report.shown import samples

        return samples(self)


class Run:
    """A finished run: its figures, its pictures, and the network itself.

    >>> import fittingroom as fr
    >>> run = fr.Run(fr.train("readme-004-mlp", "train.epochs=1", "data.limit=2000").path)
    >>> run.metrics.epochs, run.logits("test")[0].shape
    (1, (10000, 10))
    """

    def __init__(self, name: str | Path, runs: str | Path = "runs") -> None:
        """By folder, or by name (or the beginning of it) among `runs`. Raises `FittingroomError` if there is no finished one."""
        there = RunFolder(Path(name))
        self.folder = there if there.done else Runs(Path(runs)).find(str(name))
        self.folder.refuse_unfinished()

    @property
    def path(self) -> Path:
        return self.folder.path

    @property
    def recipe(self) -> Recipe:
        """The resolved recipe."""
        return self.folder.recipe

    @property
    def metrics(self) -> Metrics:
        return self.folder.metrics

    @property
    def epochs(self) -> list[Epoch]:
        return self.folder.epochs

    @property
    def history(self) -> Rows:
        """Losses and accuracies, one row an epoch. `history.frame()` is a pandas table."""
        return Rows(epoch.model_dump() for epoch in self.epochs)

    @property
    def test_accuracy(self) -> float | None:
        """A fraction; None if the test set was not read."""
        return self.metrics.test_accuracy

    def logits(self, split: str = "test") -> tuple[np.ndarray, np.ndarray]:
        """Logits (N,K) float32 and labels (N,) int64 of "test" or "val". Raises `FittingroomError` if not scored."""
        found = self.folder.predictions(split)
        if found is None:
            raise FittingroomError(f"{self.path} has no predictions on {split}")
        return found

    @cached_property
    def model(self) -> nn.Module:
        """The trained network, in evaluation mode: takes (N,C,H,W) floats in 0 … 1, gives (N,K) logits. Needs torch."""
        need("torch", "Run.model", "train")
        from fittingroom.training.rebuild import rebuild

        facts = self.folder.data
        like = Images(np.zeros((1, *facts.shape), np.uint8), np.zeros(1, np.int64), facts.classes)
        return rebuild(self.folder, like)

    def predict(self, images_NCHW: np.ndarray) -> np.ndarray:
        """Class probabilities (N,K) of uint8 images (N,C,H,W), shaped like those it was trained on. Needs torch.

        Raises `FittingroomError` for another shape or type.
        """
        shape = self.folder.data.shape
        if images_NCHW.dtype != np.uint8 or images_NCHW.shape[1:] != shape:
            found = f"{images_NCHW.dtype} {images_NCHW.shape}"
            raise FittingroomError(
                f"{self.path.name} takes uint8 images of shape (N, {', '.join(map(str, shape))}); got {found}"
            )
        from scipy.special import softmax

        from fittingroom.training import predict

        return np.asarray(softmax(predict(self.model, images_NCHW), axis=1))

    # ------------------------------------------------------------ pictures

    def plot(self) -> Figure:
        """Accuracy and loss per epoch, training (dashed) and validation (solid)."""
        from fittingroom.report import charts
        from fittingroom.report.theme import Figure

        curves = {self.recipe.name: [self.epochs]}
        return Figure(lambda: charts.history(curves))

    def confusion(self, share: bool = False) -> Figure:
        """Which classes of the test images are taken for which: counts, or with `share` percent of the true class."""
        from fittingroom.report import charts
        from fittingroom.report.theme import Figure

        story, number = self._story, "share" if share else "count"
        counts = story.confusion(self.recipe.name)
        return Figure(lambda: charts.confusion(counts, story.data.classes, number))

    def structure(self) -> Figure:
        """The layers, each as wide as its output is large."""
        from fittingroom.report import charts
        from fittingroom.report.theme import Figure

        built, facts = self.folder.structure, self.folder.data
        return Figure(lambda: charts.structure(built, facts))

    def mistakes(self, most: int = 18) -> Html:
        """The test images that it is most confidently wrong about."""
        from fittingroom.report.shown import mistakes

        return mistakes(self._story, self.recipe.name, most)

    @cached_property
    def _story(self) -> Story:
        return gather([self.folder], self.folder.home)[0]

    def __repr__(self) -> str:
        return f"<Run {self.path.name}: test {percent(self.test_accuracy)} %>"

    def _repr_html_(self) -> str:
        m = self.metrics
        table = [
            ["", self.recipe.name],
            ["test accuracy", f"{percent(self.test_accuracy)} %"],
            ["validation accuracy", f"{percent(m.val_accuracy)} %"],
            ["training accuracy (clean)", f"{percent(m.train.accuracy)} %"],
            ["epochs", str(m.epochs)],
            ["training", f"{m.train_s:.1f} s"],
        ]
        return f"<b>{escape(self.path.name)}</b>{table_html(table)}"
