"""A whole study: plan every run, train what is missing, measure what it costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fittingroom.data import load
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import Recipe
from fittingroom.store import RunFolder, Runs
from fittingroom.study.cost import measured_cost
from fittingroom.study.execute import Progress, is_finished
from fittingroom.study.launch import launch
from fittingroom.study.plan import Job, cautions, cores, plan, threads_each
from fittingroom.training import choose_device


@dataclass(frozen=True)
class Plan:
    """The jobs of a study, in the order in which they were asked for, and which of them are finished."""

    jobs: tuple[Job, ...]
    waiting: tuple[Job, ...]  # the longest first, so that no core idles at the end
    cautions: tuple[str, ...]
    workers: int


def plan_study(
    recipes: Sequence[Recipe],
    datasets: Sequence[str],
    seeds: Sequence[int],
    runs: Runs,
    *,
    device: str = "auto",
    home_dir: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Plan:
    """Resolve every recipe × data set × seed. Without `datasets`, each recipe goes with its own.

    Raises `FittingroomError` for whatever could not be trained, before anything is.
    """
    names = [recipe.name for recipe in recipes]
    for name in names:
        if names.count(name) > 1:
            raise FittingroomError(
                f'two recipes are called "{name}"; give one a name of its own, in its file or in a study'
            )
    chosen = choose_device(device)
    seeds = list(dict.fromkeys(seeds))
    pairs = [(recipe, name) for recipe in recipes for name in dict.fromkeys(datasets or [recipe.data.name])]
    loaded = {name: load(name, home_dir, say) for name in dict.fromkeys(name for _, name in pairs)}
    threads = threads_each(len(pairs) * len(seeds)) if chosen == "cpu" else threads_each()
    planned = [plan(recipe, loaded[name], 0, chosen, threads) for recipe, name in pairs]
    jobs = tuple(replace(job, seed=seed) for job in planned for seed in seeds)
    waiting = [job for job in jobs if not is_finished(job.folder(runs), job)]
    told = dict.fromkeys(line for recipe, name in pairs for line in cautions(recipe, loaded[name]))
    workers = max(1, cores() // threads) if chosen == "cpu" else 1
    return Plan(jobs, tuple(sorted(waiting, key=lambda j: -j.work)), tuple(told), min(workers, max(1, len(waiting))))


def run_study(
    study: Plan,
    runs: Runs,
    listen: Callable[[int, Progress | None], None],
    say: Callable[[str], None] = lambda line: None,
) -> list[RunFolder]:
    """Train what is waiting (`listen` hears of it by its number in `study.waiting`), then measure each recipe's cost.

    The finished runs of all jobs, in the study's order. If some runs fail, the others are still finished, and one
    `FittingroomError` names the failures.
    """
    launch(study.waiting, runs, study.workers, listen)
    unmeasured = {job.cost_key: job for job in study.jobs if runs.cost(job.cost_key) is None}
    if unmeasured:
        say(f"measuring the cost of {len(unmeasured)} recipe{'s' if len(unmeasured) > 1 else ''}, alone on the machine")
    for job in unmeasured.values():
        if measured_cost(job, job.folder(runs), runs) is None:
            say(f"the machine was busy, so the cost of {job.recipe.name} is left out; ask again to measure it")
    return [job.folder(runs) for job in study.jobs]
