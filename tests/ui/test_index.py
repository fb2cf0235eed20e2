"""The table of runs: what the folders say, whatever happens to the file it is kept in."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from trained import resealed, trained

from fittingroom.store import RunFolder, Runs
from fittingroom.ui.index import RunIndex, is_locked
from fittingroom.ui.opaque import opaque


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """One real finished run."""
    runs = Runs(tmp_path_factory.mktemp("runs"))
    trained(runs, "readme-004-mlp", "train.epochs=3", "data.limit=600")
    return runs


@pytest.fixture
def runs(made: Runs, tmp_path: Path) -> Runs:
    shutil.copytree(made.path, tmp_path / "runs")
    return Runs(tmp_path / "runs")


def copied(runs: Runs, times: int) -> list[RunFolder]:
    """More runs: links to the files of the first, which take no time."""
    [first] = runs.list()
    found = []
    for i in range(times):
        path = runs.path / f"copy-{i:05d}"
        path.mkdir()
        for file in first.path.iterdir():
            if file.is_file() and file.name != ".lock":
                (path / file.name).hardlink_to(file)
        found.append(RunFolder(path))
    return found


def test_a_line_says_what_the_folder_says(runs: Runs) -> None:
    index = RunIndex(runs)
    index.sync()
    assert index.waiting == 0
    [line], count = index.page()
    [run] = runs.list()
    assert count == 1 and line.name == run.name and line.state == "finished" and line.id == opaque(run.name)
    assert line.test == run.metrics.test.accuracy and line.val == run.metrics.val.accuracy  # type: ignore[union-attr]
    assert line.curve == tuple(round(e.val_accuracy or 0, 4) for e in run.epochs) and (line.epochs, line.of) == (3, 3)
    assert line.changes == "data.limit=600 train.epochs=3"
    assert index.find([line.id, "nothing"]) == [line] and "/" not in line.id


def test_it_follows_what_another_process_does(runs: Runs) -> None:
    index = RunIndex(runs)
    index.sync()
    [run] = runs.list()
    [copy] = copied(runs, 1)
    (copy.path / "DONE").unlink()
    (copy.path / "epochs.jsonl").unlink()
    index.sync()
    lines = {line.name: line for line in index.page()[0]}
    assert lines[copy.name].state == "training" and lines[copy.name].epochs == 0
    copy.append(run.epochs[0])
    copy.write_checkpoint({}, {})  # as a training does, after each epoch's line
    index.sync()
    lines = {line.name: line for line in index.page()[0]}
    assert lines[copy.name].epochs == 1 and lines[copy.name].left_s is not None
    runs.delete(run)
    index.sync()
    assert [line.name for line in index.page()[0]] == [copy.name]


def test_a_folder_that_is_no_run_yet_is_not_found(runs: Runs) -> None:
    """A training makes its folder, and says so, before it writes what it is."""
    (runs.path / "begun").mkdir()
    index = RunIndex(runs)
    index.sync()
    assert index.find([opaque("begun")]) == [] and index.page()[1] == 1


def test_a_silent_run_has_stopped_unless_its_lock_is_held(runs: Runs) -> None:
    [copy] = copied(runs, 1)
    (copy.path / "DONE").unlink()
    long_ago = time.time() - 3600
    index = RunIndex(runs)
    os.utime(copy.path, (long_ago, long_ago))
    index.sync()
    assert {line.name: line.state for line in index.page()[0]}[copy.name] == "stopped"
    with copy.lock():
        os.utime(copy.path, (long_ago, long_ago))
        index.sync()
        if Path("/proc/locks").exists():
            assert {line.name: line.state for line in index.page()[0]}[copy.name] == "training"


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="only Linux tells who holds locks")
def test_a_process_that_waits_for_a_lock_breaks_nothing(runs: Runs, tmp_path: Path) -> None:
    """Any two processes on the machine, about any file; and a lock of another device's file with our inode is not ours."""
    index = RunIndex(runs)
    index.sync()
    with (tmp_path / "file").open("w") as held, (tmp_path / "file").open("w") as wanted:
        fcntl.flock(held, fcntl.LOCK_EX)
        waits = threading.Thread(target=fcntl.flock, args=(wanted, fcntl.LOCK_EX))
        waits.start()
        while "-> FLOCK" not in Path("/proc/locks").read_text():
            time.sleep(0.01)
        assert index.page()[1] == 1
        fcntl.flock(held, fcntl.LOCK_UN)
        waits.join()
    lock = runs.list()[0].path / ".lock"
    lock.touch()
    file = lock.stat()
    here = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}"
    assert is_locked(lock.parent, {f"{here}:{file.st_ino}"})
    assert not is_locked(lock.parent, {f"ff:{here[3:]}:{file.st_ino}"})


def test_a_folder_that_vanishes_while_it_is_looked_at_hides_no_others(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its name and its time; the table must not become empty."""
    copied(runs, 3)
    index = RunIndex(runs)
    scan = os.scandir

    class Gone:
        name = "gone"

        def is_dir(self) -> bool:
            return True

        def stat(self) -> os.stat_result:
            raise FileNotFoundError

    @contextmanager
    def scanned(path: Path) -> Iterator[Iterator[Any]]:
        with scan(path) as entries:
            yield chain([Gone()], entries)

    monkeypatch.setattr(os, "scandir", scanned)
    index.sync()
    assert index.page()[1] == 4


def test_what_cannot_be_shown_or_kept_freezes_nothing(runs: Runs) -> None:
    """A name of bytes that are no text, a seed that is none, one that is too large: the others are still followed."""
    a, b, c = copied(runs, 3)
    for run, seed in ((a, "null"), (b, str(10**30))):
        facts = json.loads((run.path / "run.json").read_text()) | {"seed": 123456}
        (run.path / "run.json").unlink()
        (run.path / "run.json").write_text(json.dumps(facts).replace("123456", seed))
    os.rename(c.path, os.path.join(os.fsencode(runs.path), b"caf\xe9"))  # noqa: PTH104, PTH118
    index = RunIndex(runs)
    index.sync()
    states = {line.name: line.state for line in index.page()[0]}
    assert states == {runs.list()[-1].name: "finished", a.name: "damaged", b.name: "damaged"}
    shutil.copytree(a.path, runs.path / "late")
    index.sync()
    assert index.page("late")[1] == 1


@pytest.mark.parametrize("harm", ["garbage", "truncated", "older"])
def test_a_damaged_file_is_made_anew(runs: Runs, harm: str) -> None:
    index = RunIndex(runs)
    index.sync()
    index.close()
    match harm:
        case "garbage":
            index.path.write_bytes(b"not a database" * 1000)
        case "truncated":
            index.path.write_bytes(index.path.read_bytes()[:5000])
        case "older":
            with sqlite3.connect(index.path) as db:
                db.execute("PRAGMA user_version = 0")
    again = RunIndex(runs)
    again.sync()
    assert len(again.page()[0]) == 1


def test_damaged_runs_are_told_and_hide_no_others(runs: Runs) -> None:
    a, b = copied(runs, 2)
    (a.path / "recipe.toml").unlink()
    (a.path / "recipe.toml").write_text("no [toml")
    (b.path / "run.json").unlink()
    (b.path / "run.json").write_text("{")
    (runs.path / "studies").mkdir(exist_ok=True)
    index = RunIndex(runs)
    index.sync()
    states = {line.name: line.state for line in index.page()[0]}
    assert states == {runs.list()[-1].name: "finished", a.name: "damaged", b.name: "damaged"}


def test_parts_of_studies_are_left_out_unless_asked_for(runs: Runs) -> None:
    """By their own word, or where an older version said nothing, by their folds. The count is of what is shown."""
    copies = copied(runs, 5)
    given: list[dict[str, Any]] = [{"part": "trial", "study": "tune"}, {"part": ""}, {"part": None}, {"part": 7}, {}]
    for copy, facts in zip(copies, given, strict=True):
        told = json.loads((copy.path / "run.json").read_text()) | facts
        (copy.path / "run.json").unlink()
        (copy.path / "run.json").write_text(json.dumps(told))
    for copy in copies[-1], copies[1]:  # a whole run that says so may have folds
        text = (copy.path / "recipe.toml").read_text()
        (copy.path / "recipe.toml").unlink()
        (copy.path / "recipe.toml").write_text(text.replace("folds = 0\nfold = 0", "folds = 5\nfold = 1"))
    for copy in copies:
        resealed(copy)
    index = RunIndex(runs)
    index.sync()
    parts = {line.name: line.part for line in index.page(parts=True)[0]}
    assert [parts[copy.name] for copy in copies] == ["trial", "", "", "7", "fold 2 of 5"]
    assert index.page()[1] == len(index.page()[0]) == 3 and index.page(parts=True)[1] == 6 and index.parts() == 3
    assert index.page("trial") == ([], 0) and index.page("trial", parts=True)[1] == index.parts("trial") == 1
    assert index.find([opaque(copies[0].name)])[0].part == "trial"


def test_filter_and_sort(runs: Runs) -> None:
    copies = copied(runs, 3)
    for i, copy in enumerate(copies):
        facts = json.loads((copy.path / "run.json").read_text()) | {"seed": i + 5}
        (copy.path / "run.json").unlink()
        (copy.path / "run.json").write_text(json.dumps(facts))
        resealed(copy)
    index = RunIndex(runs)
    index.sync()
    assert [line.seed for line in index.page(sort="seed", down=True)[0]] == [7, 6, 5, 0]
    assert [line.seed for line in index.page(sort="seed", down=False, first=1, most=2)[0]] == [5, 6]
    assert index.page("fashion finished copy-0")[1] == 3
    for harmless in ("%", "_", "'; DROP TABLE runs; --", "\\"):
        assert index.page(harmless)[1] == sum(harmless in line.name for line in index.page()[0])
    assert index.page("100%")[1] == 0
    assert index.page(sort="name; DROP TABLE runs")[1] == 4


@pytest.mark.slow
def test_thousands_of_runs(runs: Runs) -> None:
    """Built while pages are asked for; then only what changed is read again."""
    copied(runs, 2_000)
    index = RunIndex(runs)
    stop = threading.Event()
    thread = threading.Thread(target=index.keep, args=(stop,))
    thread.start()
    while index.page()[1] < 2_001:
        assert thread.is_alive()
        stop.wait(0.05)
    stop.set()
    thread.join()
    index.sync()
    assert index.waiting == 0 and len(index.page(most=100)[0]) == 100
    seen: list[str] = []
    index._seen = lambda name, stamp: seen.append(name)  # type: ignore[assignment,method-assign,return-value,func-returns-value]
    index.sync()
    assert seen == []  # nothing is read twice
