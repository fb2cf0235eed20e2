"""One training shared by two workers of a real Ray cluster, one of which is killed on the way."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from listening import open_to_others, processes
from planned import plan

from fittingroom.data import Dataset
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import Recipe
from fittingroom.store import RunFolder, Runs
from fittingroom.study.execute import Update, execute
from fittingroom.study.job import of_workers
from fittingroom.study.launch import Failed

pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
Quick = Callable[..., Recipe]


def test_a_killed_worker_does_not_end_it_and_the_network_is_that_of_one_worker(
    fashion: Dataset, quick: Quick, tmp_path: Path
) -> None:
    from fittingroom.study.launch.ray_team import RayTeam

    calm = ("model.layers.3.dropout=0", "optimizer.kind=sgd", "optimizer.lr=0.02")  # rounding does not grow in it
    recipe = quick("readme-004-mlp", "train.epochs=30", "data.limit=6000", *calm)
    single = plan(recipe, fashion, 0, "cpu", 1)
    job = replace(single, workers=2)
    runs, alone = Runs(tmp_path / "team"), Runs(tmp_path / "alone")
    killed: list[int] = []
    heard: list[int] = []

    def listen(number: int, sign: Update | None) -> None:
        if sign and sign.record:
            heard.append(sign.epoch)
        if not killed and job.folder(runs).epochs:
            assert not open_to_others("ray::", "raylet", "gcs_server")
            folder, _ = next(processes("ray::RayTrainWorker"))
            killed.append(int(folder.name))
            os.kill(killed[0], signal.SIGKILL)

    said: list[str] = []
    with RayTeam() as by:
        assert by.run([job], runs, listen, said.append) == [job.folder(runs).name]
        (refused,) = by.run([replace(single, workers=64)], runs, lambda n, s: None)
        unfit = replace(single, threads=64)
        with pytest.raises(FittingroomError, match="needs 64 CPUs on one node, and the largest of this cluster has"):
            by.check(unfit)
    assert isinstance(refused, Failed) and "--workers 64: the cluster has room for" in refused.text
    run = job.folder(runs)
    assert killed and any("lost a worker; all go on together after epoch" in line for line in said)
    assert run.done and [e.epoch for e in run.epochs] == list(range(1, 31)) and sorted(set(heard)) == list(range(1, 31))
    assert run.environment.workers == 2 and run.environment.threads == 1
    assert runs.test_reads() == {"fashion-mnist": 1}
    by_one = execute(single, alone)
    assert by_one.name != run.name and by_one.environment.workers == 1  # of nearly the same bytes is not the same
    for name, value in by_one.weights.items():
        off = np.linalg.norm(run.weights[name] - value) / max(np.linalg.norm(value), 1e-9)
        assert off < 0.01, f"{name} is off by {off:.2%}: more than 30 epochs of rounding explain"
    one, two = by_one.predictions("test"), run.predictions("test")
    assert one and two and np.mean(one[0].argmax(1) == two[0].argmax(1)) > 0.99


def test_it_is_said_what_differs_from_one_worker(fashion: Dataset, quick: Quick) -> None:
    def said(*words: str) -> list[str]:
        return of_workers(replace(plan(quick(*words), fashion, 0, "cpu", 1), workers=3), fashion)

    (batches, dropout) = said("readme-004-mlp")
    assert "each of 3 workers trains on its part of every batch of 64" in batches and "masks of its own" in dropout
    (_, statistics) = said("fast-fashion")
    assert "with the mean of all workers' running statistics" in statistics
    assert len(said("readme-004-mlp", "model.layers.3.dropout=0")) == 1
    assert of_workers(plan(quick(), fashion, 0, "cpu", 1), fashion) == []


def test_many_runs_in_flight_are_heard_less_often(tmp_path: Path) -> None:
    from fittingroom.study.launch.ray_cluster import Outbox

    run = RunFolder(tmp_path / "a")
    sign = Update(1, 10, 100, 0.5)
    few, many = Outbox(), Outbox(10_000)
    assert (few.sign_s, few.send_s) == (0.2, 5.0) and (many.sign_s, many.send_s) == (100.0, 500.0)
    assert few.pack(sign, run) is not None
    assert many.pack(sign, run) is not None and many.pack(sign, run) is None  # too soon
    done = replace(sign, images=100, record=object())
    assert many.pack(done, run) and many.pack(done, run)  # a finished epoch is always told


def test_only_what_changed_is_sent_again_and_the_checkpoint_is_written_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fittingroom.study.launch import ray_cluster

    there, here = (RunFolder(tmp_path / name / "a") for name in ("there", "here"))
    there.path.mkdir(parents=True)
    for name in (
        "checkpoint.safetensors",
        "checkpoint-before.safetensors",
        "run.json",
        "epochs.jsonl",
        "DONE",
        ".lock",
    ):
        (there.path / name).write_text(name)
    outbox, written = ray_cluster.Outbox(), []
    write = ray_cluster.write
    monkeypatch.setattr(ray_cluster, "write", lambda path, content: (written.append(path.name), write(path, content)))
    ray_cluster.unpack(outbox.changed(there), here)
    assert written[-1] == "checkpoint.safetensors" and set(written[:-1]) == {"run.json", "epochs.jsonl"}
    (there.path / "epochs.jsonl").write_text("more")
    assert outbox.changed(there) == {"epochs.jsonl": b"more"} and outbox.changed(there) == {}
    outbox.there |= {"run.json": b"another"}
    assert outbox.changed(there) == {"run.json": b"run.json"}
