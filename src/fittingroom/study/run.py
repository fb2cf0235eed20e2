"""A whole study: train what is missing, measure what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from fittingroom.store import RunFolder
from fittingroom.store.events import Planned
from fittingroom.study.cautions import unknown_costs
from fittingroom.study.cost import known_cost, measured_cost
from fittingroom.study.job import Job
from fittingroom.study.launch import Launcher, choose_launcher, launch
from fittingroom.study.plan import Experiment, Plan, plan
from fittingroom.study.warm import warm
from fittingroom.study.workplace import Workplace


def train(
    experiments: Sequence[Experiment], place: Workplace, study: str = "", crew: Launcher | None = None
) -> list[list[RunFolder]]:
    """The finished runs of each experiment: what is missing is trained. Raises `FittingroomError` as `plan` and `run` do."""
    return run(plan(experiments, place, study), place, crew)


def run(planned: Plan, place: Workplace, crew: Launcher | None = None) -> list[list[RunFolder]]:
    """Train what is waiting, then measure what was trained; the finished runs of each experiment.

    `crew` trains, where somebody has one that is to be used again; else who the workplace names.

    If some runs fail, the others are still finished, and one `FittingroomError` names the failures. An interruption keeps
    whole epochs and finished runs, and says so.
    """
    progress, waiting = place.progress, planned.waiting
    for line in planned.cautions:
        progress.note(f"warning: {line}")
    n = len(planned.all_jobs)
    where = " on Ray" if place.launcher != "local" else f", {planned.at_once} at a time" if planned.at_once > 1 else ""
    progress.note(f"{n} runs: {n - len(waiting)} finished, {len(waiting)} to train{where}")
    progress.event(Planned(runs=n, finished=n - len(waiting)))
    for folder in (job.folder(place.runs) for job in planned.all_jobs):
        folder.refuse_damaged()  # of those that are finished
    try:
        if waiting:
            if place.launcher == "local":
                warm(waiting, progress)
            with progress.jobs(waiting) as listen, ExitStack() as once:
                trainer = crew or once.enter_context(choose_launcher(place.launcher, planned.at_once))
                launch(waiting, place.runs, trainer, listen, progress.note, wait=True)
        _costs(planned, place)
    except KeyboardInterrupt as stop:
        stop.add_note(f"whole epochs and finished runs are saved in {place.runs.path}")
        raise
    return [[job.folder(place.runs) for job in jobs] for jobs in planned.jobs]


def _costs(planned: Plan, place: Workplace) -> None:
    """What each recipe costs on this machine: known, or measured where it was just trained or is asked for, or missed."""
    alike: dict[tuple[str, str], list[Job]] = {}
    for experiment, jobs in zip(planned.experiments, planned.jobs, strict=True):
        if experiment.costs and experiment.score_test:
            alike.setdefault((jobs[0].recipe.name, jobs[0].data_digest), []).extend(jobs)
    missed = []
    for same in alike.values():
        folders, name = [job.folder(place.runs) for job in same], same[0].recipe.name
        if known_cost(same[0], folders):
            continue
        if not (place.costs or any(job in planned.waiting for job in same)):
            missed += [name] * (not any(folder.cost for folder in folders))
        elif measured_cost(same[0], folders, place.progress.note) is None:
            place.progress.note(
                f"the machine was busy, so the cost of {name} is left out; --costs (costs=True) measures it"
            )
    if missed:
        place.progress.note(unknown_costs(missed))
