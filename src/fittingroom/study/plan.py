"""A study is planned: which runs answer a question, and which of them are not there yet."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from fittingroom.data import Dataset
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import Recipe, ShapeSpec
from fittingroom.study.cautions import cautions
from fittingroom.study.execute import is_finished
from fittingroom.study.job import Job, resolve
from fittingroom.study.sharing import sharing
from fittingroom.study.workplace import Workplace
from fittingroom.training import choose_device

# Up to so many FLOPs of one training, so many seeds. On two cores the first takes about 10 s (readme-000-ann: 1.7e12), the
# last 40 minutes (readme-001-resnet18: 1.3e15).
SEEDS = ((2e12, 10), (5e14, 3), (math.inf, 1))


@dataclass(frozen=True)
class Experiment:
    """A recipe on a data set (by name, path, or loaded), with these seeds; None: as many as `SEEDS` grants for its length."""

    recipe: Recipe
    dataset: str | Dataset
    seeds: Sequence[int] | None
    part: str = ""  # of the study, where its runs mean nothing by themselves: "fold 2 of 5"
    score_test: bool = True
    costs: bool = True  # whether a person will ask what its training costs

    @property
    def pictures(self) -> tuple[str | Dataset, ShapeSpec]:
        """Which images, in which shape."""
        return self.dataset, ShapeSpec(**{key: getattr(self.recipe.data, key) for key in ShapeSpec.model_fields})


@dataclass(frozen=True)
class Plan:
    """The jobs of a study, those of each experiment together, and which of them are not finished."""

    experiments: tuple[Experiment, ...]
    loaded: tuple[Dataset, ...]  # by experiment
    jobs: tuple[tuple[Job, ...], ...]
    waiting: tuple[Job, ...]  # the longest first, so that no core idles at the end
    cautions: tuple[str, ...]
    at_once: int

    @property
    def all_jobs(self) -> list[Job]:
        """In the order in which they were asked for."""
        return list(chain.from_iterable(self.jobs))

    def between(self, fewer: Sequence[int], more: Sequence[int], place: Workplace) -> Plan:
        """The plan of those seeds of each experiment that are among its first `more` and not among its first `fewer`."""
        some = [i for i, (m, n) in enumerate(zip(fewer, more, strict=True)) if n > m]
        jobs = [self.jobs[i][fewer[i] : more[i]] for i in some]
        device = self.all_jobs[0].device
        at_once, threads = sharing(device, place.launcher, place.at_once, sum(map(len, jobs)))
        shared = tuple(tuple(replace(job, threads=threads) for job in of_one) for of_one in jobs)
        every = _longest_first(chain.from_iterable(shared))
        waiting = tuple(job for job in every if not is_finished(job.folder(place.runs), job))
        experiments, loaded = tuple(self.experiments[i] for i in some), tuple(self.loaded[i] for i in some)
        return Plan(experiments, loaded, shared, waiting, (), min(at_once, max(1, len(waiting))))


def crossed(recipes: Sequence[Recipe], datasets: Sequence[str | Dataset], seeds: Sequence[int]) -> list[Experiment]:
    """Every recipe on every data set. Without `datasets`, each recipe on its own."""
    return [
        Experiment(recipe, dataset, seeds)
        for recipe in recipes
        for dataset in dict.fromkeys(datasets or [recipe.data.name])
    ]


def plan(experiments: Sequence[Experiment], place: Workplace, study: str = "") -> Plan:
    """Resolve every seed of every experiment of the study that is called so; each data set is loaded once.

    Raises `FittingroomError` for whatever could not be trained, before anything is.
    """
    called = [(e.recipe.name, e.part, e.dataset) for e in experiments]
    for name, part, dataset in called:
        if called.count((name, part, dataset)) > 1:
            raise FittingroomError(
                f'two recipes are called "{name}"; give one a name of its own, in its file or in a study'
            )
    device = choose_device(place.device)
    loaded: dict[tuple[str | Dataset, ShapeSpec], Dataset] = {}
    planned: list[tuple[Job, Sequence[int]]] = []
    for e in experiments:
        if e.pictures not in loaded:
            loaded[e.pictures] = place.load(e.dataset, e.recipe.data)
        job = resolve(
            e.recipe,
            loaded[e.pictures],
            device,
            place.runs,
            score_test=e.score_test,
            here=place.launcher == "local",
            say=place.progress.note,
        )
        seeds = granted_seeds(job.work) if e.seeds is None else list(dict.fromkeys(e.seeds))
        planned.append((replace(job, part=e.part, study=study if e.part else ""), seeds))
    at_once, threads = sharing(device, place.launcher, place.at_once, sum(len(seeds) for _, seeds in planned))
    jobs = tuple(tuple(replace(job, seed=seed, threads=threads) for seed in seeds) for job, seeds in planned)
    waiting = [job for job in chain.from_iterable(jobs) if not is_finished(job.folder(place.runs), job)]
    said = dict.fromkeys(line for e in experiments for line in cautions(e.recipe, loaded[e.pictures]))
    images = tuple(loaded[e.pictures] for e in experiments)
    return Plan(
        tuple(experiments), images, jobs, _longest_first(waiting), tuple(said), min(at_once, max(1, len(waiting)))
    )


def _longest_first(jobs: Iterable[Job]) -> tuple[Job, ...]:
    return tuple(sorted(jobs, key=lambda job: -job.work))


def granted_seeds(work: float) -> range:
    """The seeds for a training of so many FLOPs: more where they cost little.

    >>> list(granted_seeds(1e13))
    [0, 1, 2]
    """
    return range(next(seeds for most, seeds in SEEDS if work <= most))
