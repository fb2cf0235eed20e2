"""A whole study: plan every run, train what is missing, measure what it costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fittingroom.data import Dataset, load
from fittingroom.data.acquire import Say, Tick
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import Recipe, ShapeSpec
from fittingroom.store import RunFolder, Runs
from fittingroom.study.cost import measured_cost
from fittingroom.study.execute import is_finished
from fittingroom.study.launch import ListenToJob, launch, launcher
from fittingroom.study.plan import Job, cautions, plan, sharing
from fittingroom.training import choose_device

SEEDS = ((2e12, 10), (5e14, 3), (math.inf, 1))  # up to so many FLOPs of one training, so many seeds
# on two cores the first takes about 10 s (readme-000-ann: 1.7e12), the last 40 minutes (readme-001-resnet18: 1.3e15)


@dataclass(frozen=True)
class Plan:
    """The jobs of a study, in the order in which they were asked for, and which of them are finished."""

    jobs: tuple[Job, ...]
    waiting: tuple[Job, ...]  # the longest first, so that no core idles at the end
    cautions: tuple[str, ...]
    workers: int
    by: str  # the launcher


@dataclass(frozen=True)
class Trial:
    """A recipe on a data set (by name or path), with these seeds; None: as many as `SEEDS` grants for its length."""

    recipe: Recipe
    dataset: str
    seeds: Sequence[int] | None

    @property
    def pictures(self) -> tuple[str, ShapeSpec]:
        """Which images, in which shape."""
        return self.dataset, ShapeSpec(**{key: getattr(self.recipe.data, key) for key in ShapeSpec.model_fields})


def plan_study(
    recipes: Sequence[Recipe],
    datasets: Sequence[str],
    seeds: Sequence[int],
    runs: Runs,
    *,
    device: str = "auto",
    at_once: int | None = None,
    by: str = "local",
    home_dir: Path | None = None,
    strict: bool = False,
    say: Say = lambda line: None,
    tick: Tick = lambda share: None,
) -> Plan:
    """Plan every recipe × data set × seed. Without `datasets`, each recipe goes with its own.

    Raises `FittingroomError` for whatever could not be trained, before anything is.
    """
    trials = [
        Trial(recipe, name, list(dict.fromkeys(seeds)))
        for recipe in recipes
        for name in dict.fromkeys(datasets or [recipe.data.name])
    ]
    return plan_trials(
        trials, runs, device=device, at_once=at_once, by=by, home_dir=home_dir, strict=strict, say=say, tick=tick
    )


def plan_trials(
    trials: Sequence[Trial],
    runs: Runs,
    *,
    device: str = "auto",
    at_once: int | None = None,
    by: str = "local",
    home_dir: Path | None = None,
    strict: bool = False,
    say: Say = lambda line: None,
    tick: Tick = lambda share: None,
    score_test: bool = True,
) -> Plan:
    """Resolve every seed of every trial. Raises `FittingroomError` as `plan_study` does.

    `at_once` runs share the machine; None: as many as fit it. `by` names the launcher.
    """
    places = [(trial.recipe.name, trial.dataset) for trial in trials]
    for name, dataset in places:
        if places.count((name, dataset)) > 1:
            raise FittingroomError(
                f'two recipes are called "{name}"; give one a name of its own, in its file or in a study'
            )
    if at_once is not None and at_once < 1:
        raise FittingroomError(
            f"at_once: got {at_once}; give a number of at least 1, or None for what fits this machine"
        )
    chosen = choose_device(device)
    loaded: dict[tuple[str, ShapeSpec], Dataset] = {}
    for trial in trials:
        if trial.pictures not in loaded:
            loaded[trial.pictures] = load(
                trial.dataset, home_dir, say, shape=trial.recipe.data, strict=strict, tick=tick
            )
    planned = [
        (plan(trial.recipe, loaded[trial.pictures], 0, chosen, 1, score_test, runs), trial.seeds) for trial in trials
    ]
    granted = [(job, granted_seeds(job.work) if seeds is None else seeds) for job, seeds in planned]
    total = sum(len(seeds) for _, seeds in granted)
    together, threads = sharing(chosen, by, at_once, total)
    jobs = tuple(replace(job, seed=seed, threads=threads) for job, seeds in granted for seed in seeds)
    waiting = [job for job in jobs if not is_finished(job.folder(runs), job)]
    told = dict.fromkeys(line for trial in trials for line in cautions(trial.recipe, loaded[trial.pictures]))
    return Plan(
        jobs, tuple(sorted(waiting, key=lambda j: -j.work)), tuple(told), min(together, max(1, len(waiting))), by
    )


def granted_seeds(work: float) -> range:
    """The seeds for a training of so many FLOPs: more where they cost little.

    >>> list(granted_seeds(1e13))
    [0, 1, 2]
    """
    return range(next(seeds for most, seeds in SEEDS if work <= most))


def run_study(
    study: Plan,
    runs: Runs,
    listen: ListenToJob,
    say: Say = lambda line: None,
    costs: bool = True,
) -> list[RunFolder]:
    """Train what is waiting (`listen` hears of it by its number in `study.waiting`), then measure each recipe's cost.

    The finished runs of all jobs, in the study's order. If some runs fail, the others are still finished, and one
    `FittingroomError` names the failures.
    """
    if study.waiting:
        with launcher(study.by, study.workers) as one:
            launch(study.waiting, runs, one, listen, say, wait=True)
    trials: dict[tuple[str, str], list[Job]] = {}
    for job in study.jobs:
        if costs and job.score_test and not job.recipe.data.fold:  # one part of a cross-validation costs like another
            trials.setdefault((job.recipe.name, job.data_digest), []).append(job)
    for jobs in trials.values():
        if measured_cost(jobs[0], [job.folder(runs) for job in jobs], say) is None:
            say(f"the machine was busy, so the cost of {jobs[0].recipe.name} is left out; ask again to measure it")
    return [job.folder(runs) for job in study.jobs]
