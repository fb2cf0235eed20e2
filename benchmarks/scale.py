"""Row 6 of `make bench --full`: what a run costs beside its training, here and on a Ray cluster, and what the store costs."""

from __future__ import annotations

import json
import resource
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from fittingroom.data import load
from fittingroom.metrics.verdict import Question
from fittingroom.report.gather import gather
from fittingroom.spec.read import read_recipe
from fittingroom.store import RunFolder, Runs
from fittingroom.study.execute import is_finished
from fittingroom.study.launch import launch, launcher
from fittingroom.study.plan import cores
from fittingroom.study.run import plan_study

RECIPE = "readme-004-cnn"
SHORT = ("train.epochs=1", "data.limit=6000")  # what is measured is what does not hang on it
COPIES = (250, 1_000)  # run folders that the store is asked about


def scale(runs: int, rounds: int) -> dict[str, Any]:
    """Seconds a run besides training, by launcher; what the driver does of it; a run's bytes; and the store's own costs."""
    by = {name: [_study(name, runs) for _ in range(rounds)] for name in ("local", "ray")}
    rows = [
        {"launcher": name, "runs": runs, "at_once": cores(), "rounds": rounds}
        | {key: _middle([one[key] for one in found]) for key in found[0]}
        for name, found in by.items()
    ]
    for row in rows:
        print(
            "{launcher}: {start_s[0]:.1f} s to begin; a run takes a worker {beside_s[0]:.2f} s beside {train_s[0]:.2f} s of "
            "training, and the driver {driver_s[0]:.3f} s".format(**row),
            flush=True,
        )
    return {"recipe": RECIPE, "changes": SHORT, "launchers": rows, "store": _store()}


def _study(name: str, seeds: int) -> dict[str, float]:
    """`seeds` runs, from nothing. A first run each is left out of the seconds: workers start, images travel."""
    recipe = read_recipe(RECIPE, list(SHORT))
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(Path(folder))
        study = plan_study([recipe], [], range(cores() + seeds), runs, at_once=cores(), by=name)
        started = time.perf_counter()
        with launcher(name, cores()) as by:
            launch(study.waiting[: cores()], runs, by)
            began, busy = time.perf_counter(), _driver_s()
            finished = launch(study.waiting[cores() :], runs, by)
            wall, busy = time.perf_counter() - began, _driver_s() - busy
        trained = sum(run.metrics.train_s for run in finished) / seeds
        return {
            "start_s": began - started,
            "wall_s": wall,
            "train_s": trained,
            "beside_s": wall * cores() / seeds - trained,  # evaluations, scoring the test set, writing
            "evaluation_s": sum(run.metrics.eval_s for run in finished) / seeds,
            "driver_s": busy / seeds,
            "bytes": float(sum(f.stat().st_size for run in finished for f in run.path.glob("*")) / seeds),
            "files": float(sum(1 for run in finished for _ in run.path.glob("*")) / seeds),
        }


def _driver_s() -> float:
    """Processor seconds of this process alone."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _store() -> list[dict[str, float]]:
    """Of so many finished runs: to plan them again and find that nothing is missing, and to compare them."""
    recipe = read_recipe(RECIPE, list(SHORT))
    load("fashion-mnist")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(Path(folder))
        first = plan_study([recipe], [], range(1), runs)
        with launcher("local", 1) as by:
            (model,) = launch(first.jobs, runs, by)
        for n in COPIES:
            jobs = plan_study([recipe], [], range(n), runs).jobs
            for job in jobs:
                _copy(model, job.folder(runs), job.identity)
            started = time.perf_counter()
            study = plan_study([recipe], [], range(n), runs)
            planned = time.perf_counter()
            assert not study.waiting and all(is_finished(job.folder(runs), job) for job in study.jobs)
            checked = time.perf_counter()
            gather([job.folder(runs) for job in study.jobs], runs, Question("accuracy"))
            done = time.perf_counter()
            rows.append(
                {
                    "runs": n,
                    "plan_s": planned - started,
                    "compare_s": done - checked,
                    "bytes": float(sum(f.stat().st_size for f in runs.path.rglob("*") if f.is_file())),
                }
            )
            print(
                "store of {runs} runs: planned in {plan_s:.2f} s, compared in {compare_s:.2f} s".format(**rows[-1]),
                flush=True,
            )
    return rows


def _copy(model: RunFolder, to: RunFolder, identity: dict[str, Any]) -> None:
    """A finished run as another seed's."""
    if to.path != model.path and not to.done:
        shutil.copytree(model.path, to.path, dirs_exist_ok=True)
        (to.path / "run.json").write_text(json.dumps(identity))


def _middle(values: list[float]) -> list[float]:
    return [float(np.median(values)), min(values), max(values)]
