"""What launchers do besides jobs: call something of many items, here or in processes of their own."""

from __future__ import annotations

import operator
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from planned import plan
from waiting import PATIENCE_S

from fittingroom.data import Dataset
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import Recipe
from fittingroom.store import Runs
from fittingroom.study import launch
from fittingroom.study.launch import InThisProcess, LocalPool, launcher


@pytest.mark.slow
def test_each_item_in_its_order_wherever() -> None:
    shares: list[float] = []
    items = list(range(7))
    here = InThisProcess().each(operator.mul, 3, items, 1)
    with LocalPool(2) as pool:
        there = pool.each(operator.mul, 3, items, 1, shares.append)
    assert here == there == [3 * i for i in items]
    assert shares == pytest.approx([(i + 1) / 7 for i in items])


def test_a_worker_that_is_killed_is_a_message() -> None:
    with LocalPool(2) as pool, pytest.raises(FittingroomError, match="was the memory used up"):
        pool.each(exec, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)", [{}], 1)


@pytest.mark.slow
def test_a_mistake_in_a_worker_is_told_as_it_is() -> None:
    with LocalPool(2) as pool, pytest.raises(ZeroDivisionError):
        pool.each(operator.floordiv, 3, [1, 0], 1)


@pytest.mark.slow
def test_two_studies_with_the_same_runs_wait_for_each_other(tmp_path: Path) -> None:
    words = ["compare", "readme-004-mlp", "train.epochs=3", "data.limit=6000", "--seeds", "4", "--at-once", "1"]
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "fittingroom", *words], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for _ in range(2)
    ]  # fmt: skip
    said = [process.communicate(timeout=PATIENCE_S) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert Runs(tmp_path / "runs").test_reads() == {"fashion-mnist": 4}  # each run is trained and scored once


@pytest.mark.parametrize("at_once", [1, 2])
@pytest.mark.slow
def test_a_run_that_another_process_has_is_waited_for_and_ends_once(
    at_once: int, fashion: Dataset, quick: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "LOOK_S", 0.01)
    runs = Runs(tmp_path)
    job = plan(quick(), fashion, 0, "cpu", 1)
    held, said, ended = ExitStack(), [], []  # type: ExitStack, list[str], list[int]
    held.enter_context(job.folder(runs).lock())

    def say(line: str) -> None:
        said.append(line)
        assert not ended
        held.close()  # the other process is done with it

    with launch.choose_launcher("local", at_once) as by:
        (outcome,) = launch.run_and_wait(
            [job], runs, by, lambda n, sign: ended.append(n) if sign is None else None, say
        )
    assert outcome == job.folder(runs).name and ended == [0]
    assert said == ["waiting for 1 run that another process trains"]
