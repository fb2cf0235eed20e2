"""Jobs and studies as tests want them: on the CPU, in few words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from fittingroom.data import Dataset
from fittingroom.spec.recipe import Recipe
from fittingroom.store import RunFolder, Runs
from fittingroom.study.job import Job, resolve
from fittingroom.study.plan import Experiment, Plan, crossed
from fittingroom.study.plan import plan as plan_all
from fittingroom.study.progress import Progress
from fittingroom.study.run import run
from fittingroom.study.workplace import Workplace

HERE = Runs(Path("runs"))


def plan(
    recipe: Recipe, data: Dataset, seed: int = 0, device: str = "cpu", threads: int = 1, score_test: bool = True,
    runs: Runs = HERE,
) -> Job:  # fmt: skip
    """One job."""
    return replace(resolve(recipe, data, device, runs, threads=threads, score_test=score_test), seed=seed)


class Heard(Progress):
    """Calls functions of a test."""

    def __init__(self, listen: Callable[..., Any], note: Callable[[str], Any]) -> None:
        self.listen, self.said = listen, note

    def note(self, line: str) -> None:
        self.said(line)

    @contextmanager
    def jobs(self, jobs: Sequence[Job]) -> Iterator[Callable[..., Any]]:
        yield self.listen


class Planned:
    """A plan and where it is to be carried out."""

    def __init__(self, experiments: Sequence[Experiment], runs: Runs, **place: Any) -> None:
        self.place = Workplace(runs=runs, **{"device": "cpu", **place})
        self.plan: Plan = plan_all(experiments, self.place)
        self.jobs, self.waiting, self.at_once = self.plan.all_jobs, self.plan.waiting, self.plan.at_once

    def train(
        self, listen: Callable[..., Any] = lambda number, update: None, say: Callable[[str], Any] = lambda line: None,
        costs: bool = False,
    ) -> list[RunFolder]:  # fmt: skip
        """All finished runs."""
        wanted = tuple(replace(e, costs=costs) for e in self.plan.experiments)
        finished = run(replace(self.plan, experiments=wanted), replace(self.place, progress=Heard(listen, say)))
        return [folder for mine in finished for folder in mine]


def study_of(
    recipes: Sequence[Recipe], runs: Runs, seeds: Sequence[int] = (0,), data: Sequence[str] = (), **place: Any
) -> Planned:
    """Every recipe on every data set."""
    return Planned(crossed(recipes, data, seeds), runs, **place)
