"""Row 6 of `make bench --full`: what a run costs beside its training, here and on a Ray cluster, and what the store costs."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from fittingroom.metrics.story import gather
from fittingroom.metrics.verdict import Question
from fittingroom.spec.machine import cores
from fittingroom.spec.read import read_recipe
from fittingroom.store import RunFolder, Runs
from fittingroom.study.clock import median_s
from fittingroom.study.launch import choose_launcher, launch
from fittingroom.study.launch.launcher import attempt
from fittingroom.study.plan import crossed, plan
from fittingroom.study.workplace import Workplace
from fittingroom.training.fit import CLEAN_N

RECIPE = "readme-004-cnn"
LONGER = ("readme-004-mlp", "readme-004-cnn", "fast-fashion")  # how long whole trainings take, from a part of an epoch
PART = 6_000  # images in a run here, of the data set's 60,000
SHARED = "readme-002-cnn1"  # what several workers train together
CROWD = 12  # slots that two cores pretend to have, to see what more of them ask of the driver
COPIES = (250, 1_000)  # run folders that the store is asked about


def scale(runs: int, rounds: int) -> dict[str, Any]:
    """Seconds a run beside training, by launcher; what the driver does of it; a run's bytes; the store's own costs."""
    rows = []
    for name, slots in (("local", cores()), ("ray", cores()), ("ray", CROWD)):
        found = [_study(RECIPE, name, runs, slots) for _ in range(rounds)]
        rows.append(
            {"launcher": name, "runs": runs, "slots": slots, "cores": cores(), "rounds": rounds}
            | {key: _middle([one[key] for one in found]) for key in found[0]}
        )
        print(
            "{launcher}, {slots} slots: {start_s[0]:.1f} s to begin; a run takes a core {beside_s[0]:.2f} s beside "
            "{train_s[0]:.2f} s of training, and the driver {driver_s[0]:.3f} s".format(**rows[-1]),
            flush=True,
        )
    return {"recipe": RECIPE, "images": PART, "launchers": rows, "send_s": _send_s(), "store": _store()}


def _send_s() -> float:
    """Seconds in which the driver writes what a training sends on its way: its checkpoint and its epochs."""
    from fittingroom.study.launch.ray_cluster import files, unpack

    read = read_recipe(RECIPE, ["train.epochs=2", "data.limit=600"])
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(Path(folder))
        job = plan(crossed([read], [], [0]), Workplace(runs=runs)).all_jobs[0]
        sent: list[dict[str, bytes]] = []
        attempt(
            job, runs, 1, lambda sign: sign.record is not None and bool(sent.append(files(job.folder(runs))) or True)
        )
        changing = {name: content for name, content in sent[0].items() if name.startswith(("checkpoint", "epochs"))}
        return median_s(lambda: unpack(changing, RunFolder(runs.path / "another")))


def whole_runs() -> dict[str, float]:
    """Seconds that all epochs of a whole run take on one core, evaluations included, from one epoch of a part."""
    found = {}
    for name in LONGER:
        one = _study(name, "local", cores(), cores())
        epochs = read_recipe(name).train.epochs
        found[name] = epochs * (
            one["train_s"] * 60_000 / PART + one["evaluation_s"] * (CLEAN_N + 6_000) / (CLEAN_N + PART / 10)
        )
        print(f"{name}: {found[name]:.0f} s", flush=True)
    return found


def workers() -> list[dict[str, Any]]:
    """One training by one worker with all threads, and by as many workers as there are cores."""
    recipe = read_recipe(SHARED, ["train.epochs=2"])
    rows = []
    for how, n in (("one worker, all threads", 1), (f"{cores()} workers, one thread each", cores())):
        with tempfile.TemporaryDirectory() as folder:
            runs = Runs(Path(folder))
            place = Workplace(runs=runs, at_once=n, launcher="ray" if n > 1 else "local")
            jobs = plan(crossed([recipe], [], [0]), place).all_jobs
            started = time.perf_counter()
            with choose_launcher("local", 1, n) as by:
                (run,) = launch(jobs, runs, by)
            took = time.perf_counter() - started
            trained = run.metrics.train_s + run.metrics.eval_s
            rows.append({"how": how, "recipe": SHARED, "train_s": trained, "begin_s": took - trained})
            print("{how}: {train_s:.1f} s, and {begin_s:.1f} s to begin and to end".format(**rows[-1]), flush=True)
    return rows


def _study(recipe: str, name: str, seeds: int, slots: int) -> dict[str, float]:
    """`seeds` runs of an epoch. A first run for each slot is left out: workers start, images travel."""
    read = read_recipe(recipe, ["train.epochs=1", f"data.limit={PART}"])
    with tempfile.TemporaryDirectory() as folder, _address(name, slots) as by:
        runs = Runs(Path(folder))
        study = plan(crossed([read], [], range(slots + seeds)), Workplace(runs=runs, at_once=slots, launcher=by))
        started = time.perf_counter()
        with choose_launcher(by, slots) as executor, _waiting(name) as waited:
            launch(study.waiting[:slots], runs, executor)
            began, idle = time.perf_counter(), sum(waited)
            finished = launch(study.waiting[slots:], runs, executor)
            wall, idle = time.perf_counter() - began, sum(waited) - idle
        files = [f.stat().st_size for run in finished for f in run.path.glob("*")]
        trained = sum(run.metrics.train_s for run in finished) / seeds
        return {
            "start_s": began - started,
            "train_s": trained,
            "evaluation_s": sum(run.metrics.eval_s for run in finished) / seeds,
            "beside_s": wall * cores() / seeds - trained,  # evaluations, the test set, writing, waiting
            "driver_s": (wall - idle) / seeds,  # what it does not wait for news: its own work, and disks
            "bytes": sum(files) / seeds,
            "files": len(files) / seeds,
        }


@contextmanager
def _address(name: str, slots: int) -> Iterator[str]:
    """The launcher's name; for more slots than cores, that of a cluster which pretends to have them."""
    if slots <= cores():
        yield name
        return
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": slots, "node_ip_address": "127.0.0.1", "include_dashboard": False},
    )
    try:
        yield f"ray={cluster.address}"
    finally:
        cluster.shutdown()


@contextmanager
def _waiting(name: str) -> Iterator[list[float]]:
    """The seconds of each of the driver's waits for news, as they come."""
    waited: list[float] = []
    if name == "ray":
        from fittingroom.study.launch import ray_cluster as room
    else:
        from fittingroom.study import launch as room
    what = "_ready" if name == "ray" else "wait"
    original = getattr(room, what)

    def timed(*arguments: Any) -> Any:
        started = time.perf_counter()
        try:
            return original(*arguments)
        finally:
            waited.append(time.perf_counter() - started)

    setattr(room, what, timed)
    yield waited
    setattr(room, what, original)


def _store() -> list[dict[str, float]]:
    """Of so many finished runs: to plan them again and find that nothing is missing, and to compare them."""
    recipe = read_recipe(RECIPE, ["train.epochs=1", f"data.limit={PART}"])
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(Path(folder))
        with choose_launcher("local", 1) as by:
            (model,) = launch(plan(crossed([recipe], [], [0]), Workplace(runs=runs)).all_jobs, runs, by)
        for n in COPIES:
            for job in plan(crossed([recipe], [], range(n)), Workplace(runs=runs)).all_jobs:
                _copy(model, job.folder(runs), job.identity)
            started = time.perf_counter()
            study = plan(crossed([recipe], [], range(n)), Workplace(runs=runs))
            planned = time.perf_counter()
            assert not study.waiting
            gather([job.folder(runs) for job in study.all_jobs], runs, Question("accuracy"))
            rows.append({"runs": n, "plan_s": planned - started, "compare_s": time.perf_counter() - planned})
            print(
                "a store of {runs} runs: planned in {plan_s:.2f} s, compared in {compare_s:.2f} s".format(**rows[-1]),
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
