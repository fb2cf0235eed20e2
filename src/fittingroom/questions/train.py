"""One run: trained, or gone on with where it stopped."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from fittingroom.data import Dataset
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import Recipe
from fittingroom.store import RunFolder
from fittingroom.store.atomic import explained
from fittingroom.store.events import Planned
from fittingroom.study.cautions import cautions
from fittingroom.study.execute import is_finished
from fittingroom.study.job import of_workers, resolve
from fittingroom.study.launch import choose_launcher, launch
from fittingroom.study.sharing import threads_each
from fittingroom.study.workplace import Workplace
from fittingroom.training import choose_device

Begin = Literal["", "resume", "fresh"]  # "": go on where there is something to go on with


def train(
    recipe: Recipe,
    place: Workplace,
    *,
    data: str | Dataset = "",
    seed: int = 0,
    test: bool = True,
    workers: int = 1,
    begin: Begin = "",
) -> RunFolder:
    """Train one recipe with one seed. An interrupted run goes on where it stopped, to the same bytes; a finished one stays.

    `test`: whether it meets the test set at its end. `workers` processes share the training. `begin`: "resume" refuses to
    begin anew, "fresh" forgets what is there. Raises `FittingroomError`.
    """
    progress = place.progress
    launcher = choose_launcher(place.launcher, 1, workers)
    whole = place.load(data or recipe.data.name, recipe.data)
    threads = threads_each(workers) if "=" not in place.launcher else 1  # of nodes that we don't know
    here = workers == 1 and place.launcher == "local"
    job = resolve(recipe, whole, choose_device(place.device), place.runs, threads=threads, score_test=test, here=here)
    job = replace(job, seed=seed, workers=workers)
    run = job.folder(place.runs)
    if begin == "resume" and not (run.path / "run.json").exists():
        raise FittingroomError(f"there is nothing to resume at {run.path}; leave --resume away to start")
    there = begin != "fresh" and is_finished(run, job)
    if there:
        run.refuse_damaged()
    progress.event(Planned(runs=1, finished=int(there)))
    try:
        with progress.jobs([job]) as listen, launcher:
            for line in [*(f"warning: {w}" for w in cautions(recipe, whole)), *of_workers(job, whole)]:
                progress.note(line)
            if (saved := run.saved_epochs) and not run.done and begin != "fresh":
                progress.note(f"going on after epoch {saved} of {recipe.train.epochs} (--fresh starts over)")
            elif there:
                progress.note("this run is finished already; here is its result (--fresh trains it again)")
            launcher.check(job)
            with explained(run.path):
                run.path.mkdir(parents=True, exist_ok=True)
            progress.note(f"run folder {run.path}")
            if begin == "fresh":
                with run.lock():
                    run.clear()
            launch([job], place.runs, launcher, listen, progress.note)
    except KeyboardInterrupt as stop:
        stop.add_note(f"{run.saved_epochs} of {recipe.train.epochs} epochs are saved in {run.path}")
        raise
    return run
