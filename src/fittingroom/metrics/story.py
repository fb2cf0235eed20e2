"""Finished runs to comparisons: what the verdict needs, read from the run folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fittingroom.metrics.against_rest import best_other
from fittingroom.metrics.classes import mean_confusion
from fittingroom.metrics.distributions import softmax
from fittingroom.metrics.folds import pooled
from fittingroom.metrics.metric import METRICS
from fittingroom.metrics.operating import Point, decided_by
from fittingroom.metrics.robustness import Robustness, robustness
from fittingroom.metrics.verdict import Comparison, Question, compare
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.printable import called
from fittingroom.spec.records import DataFacts
from fittingroom.store import LoadedRun, RunFolder, Runs, load_run


@dataclass(frozen=True)
class Story:
    """All that is known of one data set's comparison: the verdict, and the runs behind it by recipe, best first."""

    comparison: Comparison
    runs: dict[str, list[LoadedRun]]
    thumbnails_NCHW: np.ndarray | None
    names_N: np.ndarray | None = None  # what the images are called, where they are one's own
    robust: Robustness | None = None  # where `fittingroom stress` was run on all
    point: Point | None = None  # where it is decided what is answered

    @property
    def data(self) -> DataFacts:
        return self.any_run.data

    @property
    def any_run(self) -> LoadedRun:
        return next(iter(self.runs.values()))[0]

    @property
    def packed(self) -> bool:
        """Whether some runs are packed ones, which know their answers, and not how sure they were."""
        return any(run.packed for runs in self.runs.values() for run in runs)

    @property
    def labels_N(self) -> np.ndarray:
        return self.any_run.labels_N

    def called(self, row: int) -> str:
        """What an image is called: its file's name, or its number."""
        return called(self.names_N, row)

    def predicted(self, recipe: str) -> np.ndarray:
        """The predicted classes (S,N) of a recipe's seeds."""
        return np.stack(
            [self.point.answers(run) if self.point else run.logits_NK.argmax(1) for run in self.runs[recipe]]
        )

    @cached_property
    def answers(self) -> dict[str, np.ndarray]:
        """What each recipe answers (N,), by its seeds together: their mean probabilities, or by thresholds most of them."""
        if not (self.point and self.point.decides):
            return {name: p_NK.argmax(1) for name, p_NK in self.probabilities.items()}
        [c] = self.point.positives
        taken = {name: (self.predicted(name) == c).mean(0) > 0.5 for name in self.runs}
        return {name: np.where(taken[name], c, best_other(p_NK, c)) for name, p_NK in self.probabilities.items()}

    def confusion(self, recipe: str) -> np.ndarray:
        """Mean counts (K,K) over the recipe's seeds; rows are true classes."""
        return mean_confusion(self.predicted(recipe), self.labels_N, len(self.data.classes))

    @cached_property
    def probabilities(self) -> dict[str, np.ndarray]:
        """Mean over seeds of each recipe's class probabilities (N,K)."""
        return {
            name: np.asarray(np.mean([softmax(r.logits_NK.astype(np.float64)) for r in runs], axis=0))
            for name, runs in self.runs.items()
        }


def gather(folders: Sequence[RunFolder], runs: Runs, question: Question = Question()) -> list[Story]:
    """One story for each data set among `folders`, judged as `question` asks.

    Unfinished runs and runs without a test score are refused, and so are runs of one recipe name that differ in more
    than their seed. Raises `FittingroomError`.
    """
    return stories([load_run(folder) for folder in folders], runs, question)


def of_study(name: str, runs: Runs, question: Question = Question()) -> list[Story]:
    """The stories of the study of this name, whichever question it answers; judged as was asked then, where `question` says
    nothing. Raises `FittingroomError` as `gather` does.
    """
    study = runs.study(name)
    assert study is not None
    question = question.or_else(study.asked)
    if study.question not in ("cv", "best"):
        return gather(runs.runs_of(study), runs, question)
    by_recipe = {
        recipe: [RunFolder(runs.path / run) for run in names] for recipe, names in study.settings["recipes"].items()
    }
    return stories(pooled(by_recipe, runs.study_arrays(name)["fold_N"]), runs, question, "held-out")


def stories(loaded: Sequence[LoadedRun], runs: Runs, question: Question = Question(), on: str = "test") -> list[Story]:
    """`gather` for runs in memory, which were scored on the images that `on` says."""
    found = []
    for digest in dict.fromkeys(run.data.digest for run in loaded):
        mine = [run for run in loaded if run.data.digest == digest]
        _refuse_mixtures(mine)
        metric = METRICS[decided_by(question.metric, question.at)]
        if any(run.packed for run in mine) and (question.at or not metric.decides):
            what = f"an operating point ({question.at})" if question.at else metric.name
            raise FittingroomError(
                f"{what} looks at probabilities, and packed runs have answers alone; let another metric decide"
            )
        comparison = compare(mine[0].data.name, mine, question, on, mine[0].data.classes)
        by_recipe = {
            row.recipe: sorted((r for r in mine if r.name == row.recipe), key=lambda r: r.seed)
            for row in comparison.rows
        }
        pictures, names_N = (None, None) if any(run.packed for run in mine) else runs.kept_pictures(digest)
        where = question.point(mine[0].data.classes)
        found.append(Story(comparison, by_recipe, pictures, names_N, robustness(by_recipe), where))
    return found


def _refuse_mixtures(runs: Sequence[LoadedRun]) -> None:
    """One name, one recipe, each seed once: a mean over different experiments means nothing."""
    seen: dict[tuple[str, int], LoadedRun] = {}
    for run in runs:
        first = next(r for r in runs if r.name == run.name)
        if first.recipe.deciding() != run.recipe.deciding():
            raise FittingroomError(
                f'two different experiments are called "{run.name}": {first.folder.name} and {run.folder.name}; '
                "report them apart (a study by its name), or give one a name of its own"
            )
        if (run.name, run.seed) in seen:
            other = seen[run.name, run.seed].folder
            raise FittingroomError(f"{other.path} and {run.folder.path} are the same recipe and seed; name one of them")
        seen[run.name, run.seed] = run
