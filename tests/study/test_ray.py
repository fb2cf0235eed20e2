"""A study on a real Ray cluster: two node processes on this machine, bound to loopback, one of which is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from listening import open_to_others
from notebook import Notebook
from planned import study_of
from waiting import PATIENCE_S, until

from fittingroom.data import Dataset, LockedTest
from fittingroom.models.source import capture
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import ModelSpec, Recipe
from fittingroom.store import RunFolder, Runs
from fittingroom.study.execute import Update

pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
Quick = Callable[..., Recipe]


@pytest.fixture
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=head)
    made.second = made.add_node(num_cpus=1, node_ip_address="127.0.0.1")
    yield made
    made.shutdown()


def weights(run: RunFolder) -> dict[str, bytes]:
    return {name: value.tobytes() for name, value in run.weights.items()}


@pytest.mark.main_job
def test_a_killed_node_does_not_end_the_study_and_the_bytes_are_those_of_this_machine(
    cluster: Any, fashion: Dataset, quick: Quick, tmp_path: Path
) -> None:
    recipes = [quick("readme-004-cnn", "train.epochs=16", "data.limit=6000"), quick("readme-004-mlp")]
    there, here = Runs(tmp_path / "ray"), Runs(tmp_path / "local")
    killed = threading.Event()
    busy: set[int] = set()

    def listen(number: int, sign: Update | None) -> None:
        if sign is not None and sign.epoch > 2:
            busy.add(number)
        if len(busy) == 2 and not killed.is_set():  # both nodes are at work
            killed.set()
            cluster.remove_node(cluster.second, allow_graceful=False)

    said: list[str] = []
    study = study_of(recipes, there, range(2), at_once=2, launcher=f"ray={cluster.address}")
    finished = study.train(listen, said.append)
    assert killed.is_set() and any("lost its worker; it goes on elsewhere" in line for line in said)
    local = study_of(recipes, here, range(2), at_once=2)
    again = local.train()
    assert [run.name for run in finished] == [run.name for run in again]
    for a, b in zip(finished, again, strict=True):
        assert weights(a) == weights(b) and a.done
        np.testing.assert_array_equal(a.predictions("test")[0], b.predictions("test")[0])  # type: ignore[index]
        assert a.environment.threads == b.environment.threads == 1
    assert there.test_reads() == {"fashion-mnist": 4}


def test_the_reading_of_the_test_set_is_logged_before_its_images_leave(
    fashion: Dataset, quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = Runs(tmp_path)
    seen: list[dict[str, int]] = []
    original = LockedTest.unlock

    def unlock(self: LockedTest, announce: Callable[[], None]) -> Any:
        images = original(self, announce)
        seen.append(runs.test_reads())
        return images

    monkeypatch.setattr(LockedTest, "unlock", unlock)
    study = study_of([quick()], runs, range(2), launcher="ray")
    assert study.jobs[0].threads == 1
    wide: list[str] = []
    study.train(lambda n, s: wide.extend(open_to_others("ray::", "raylet", "gcs_server")))
    assert not wide  # loopback only
    assert seen == [{"fashion-mnist": 1}, {"fashion-mnist": 2}]


def test_a_network_that_only_a_cell_defines_is_trained_there(
    quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = Notebook(monkeypatch)
    notebook.run(
        "from torch import nn\nlayer = nn.Linear\nNet = lambda classes: nn.Sequential(nn.Flatten(), layer(784, classes))"
    )
    target, sources = capture(notebook["Net"])
    own = quick().model_copy(update={"model": ModelSpec(kind="python", target=target, sources=sources)})
    runs = Runs(tmp_path)
    (run,) = study_of([own], runs, launcher="ray").train()
    assert run.done and run.recipe.model.sources == sources and run.metrics.test and run.metrics.test.accuracy > 0.5


def test_what_fails_there_is_told_here_and_the_others_finish(quick: Quick, tmp_path: Path) -> None:
    broken = quick("readme-004-mlp", "optimizer.lr=1e30").model_copy(update={"name": "broken"})
    runs = Runs(tmp_path)
    study = study_of([broken, quick()], runs, [0], launcher="ray")
    with pytest.raises(FittingroomError, match="1 of 2 runs failed:\n  broken, seed 0: the loss became NaN"):
        study.train()
    assert [r.recipe.name for r in runs.list() if r.done] == ["readme-004-mlp"]


def test_ctrl_c_ends_everything_and_the_next_call_goes_on(tmp_path: Path) -> None:
    words = ["compare", "readme-004-cnn", "train.epochs=40", "data.limit=6000", "--seeds", "2", "--launcher", "ray"]
    process = subprocess.Popen(
        [sys.executable, "-m", "fittingroom", *words],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert process.stderr
    until(lambda: process.poll() is not None or list(tmp_path.glob("runs/*/checkpoint.safetensors")))
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130 and "Go on with:" in said and "Traceback" not in said
    saved = [len(run.epochs) for run in Runs(tmp_path / "runs").list()]
    assert any(saved) and not any(run.done for run in Runs(tmp_path / "runs").list())


@pytest.mark.parametrize(
    ("launcher", "told"),
    [
        ("ray=127.0.0.1:9", "no Ray cluster at 127.0.0.1:9: [Errno 111] Connection refused; start one with: ray start"),
        ("slurm", 'unknown launcher "slurm"; it is one of: local, ray, ray=ADDRESS'),
    ],
)
def test_a_cluster_that_is_not_there_is_a_message(launcher: str, told: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fittingroom", "compare", "readme-004-mlp", "data.limit=600", "--launcher", launcher],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr
