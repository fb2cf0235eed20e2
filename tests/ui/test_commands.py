"""Commands that the pages start: processes of their own, known to every server, stopped like Ctrl-C would."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ui.recorded import begun, epoch, left
from waiting import until

from fittingroom.store import Runs
from fittingroom.store.events import Answered, Planned, append
from fittingroom.ui.commands import Commands


@pytest.mark.slow
def test_a_command_is_started_known_to_others_stopped_and_its_end_kept(tmp_path: Path) -> None:
    """A real training; another `Commands` (a new server) knows it; SIGTERM ends it after a whole epoch."""
    runs = Runs(tmp_path / "runs")
    commands = Commands(runs)
    words = ["train", "readme-004-mlp", "train.epochs=2000", "data.limit=1000", "--runs", str(runs.path)]
    command = commands.start(words, "long")
    other = Commands(runs)
    until(lambda: bool(runs.list()) and len(runs.list()[0].epochs) > 2)
    state = other.find(command.id)
    assert state and state.running and state.command == command
    assert other.run(command) == runs.list()[0].name  # needs events from the command line
    assert other.stop(command.id)
    until(lambda: not commands.find(command.id).running)  # type: ignore[union-attr]
    ended = commands.find(command.id)
    assert ended and ended.status == "stopped" and "--resume" in commands.log(command)
    again = Commands(runs).find(command.id)
    assert again and again.code == 143 and not other.stop(command.id)
    assert [state.command.id for state in other.list()] == [command.id]
    assert "fittingroom train readme-004-mlp train.epochs=2000" in command.typed


def test_a_command_is_told_where_its_events_belong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable, absolute; the words stay what a person would type."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "python").write_text('#!/bin/sh\necho "$FITTINGROOM_EVENTS"\n')
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    commands = Commands(Runs(Path("runs")))
    command = commands.start(["train", "x"], "x")
    until(lambda: not commands.find(command.id).running)  # type: ignore[union-attr]
    assert commands.log(command).strip() == str(tmp_path / "runs" / "commands" / f"{command.id}.events")
    assert command.typed == "fittingroom train x"


@pytest.mark.slow
def test_exit_codes_are_kept_though_nobody_looks(tmp_path: Path) -> None:
    """A thread waits for each process: none stays a zombie, and a look later writes nothing."""
    commands = Commands(Runs(tmp_path))
    command = commands.start(["train", "no-such-recipe"], "bad")
    kept = tmp_path / "commands" / f"{command.id}.code"
    until(kept.exists)
    assert kept.read_text() == "2" and not Path(f"/proc/{command.pid}").exists()
    before = kept.stat().st_ino, kept.stat().st_mtime_ns
    state = commands.find(command.id)
    assert state and state.status == "failed" and (kept.stat().st_ino, kept.stat().st_mtime_ns) == before


def test_a_command_knows_its_run_however_much_it_has_said(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    commands, log = Commands(runs), "epoch   1/999  loss 0.1234  train acc 50.00 %\n" * 3000
    told = [Planned(runs=1, finished=0), begun("mine_s0_abc"), *(epoch("mine_s0_abc", n) for n in range(1, 300))]
    command = left(runs, ["train", "mine"], *told, log=log)
    assert commands.run(command) == "mine_s0_abc" and len(commands.log(command)) < len(log) / 4
    assert commands.run(command.model_copy(update={"run": "known"})) == "known"
    assert commands.run(left(runs, ["train", "mine"], log="run folder runs/of_the_log")) == ""


def test_only_what_is_new_is_read(tmp_path: Path) -> None:
    """A page asks every two seconds; what was read stays known though its bytes are gone."""
    runs = Runs(tmp_path)
    commands, command = Commands(runs), left(runs, ["compare", "a"], Planned(runs=2, finished=1))
    file = commands.folder / f"{command.id}.events"
    assert commands.progress(command).finished == 1
    file.write_bytes(b" " * file.stat().st_size)
    append(file, Answered(question="compare", sentences=("a is best",)))
    progress = commands.progress(command)
    assert progress.finished == 1 and progress.answer and progress.answer.sentences == ("a is best",)
    assert Commands(runs).progress(command).planned is None


def test_what_runs_is_found_behind_any_number_of_ended_commands_and_damaged_ones(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    commands, running = Commands(runs), left(runs, ["train", "x"], running=True)
    for _ in range(30):
        left(runs, ["train", "x"])
    for i, text in enumerate(("", "[]", '{"id": 3}', "\0")):
        (commands.folder / f"{'b' * 11}{i}.json").write_text(text)
    assert [state.command for state in commands.running()] == [running]
    assert len(commands.list(5)) == 5 and commands.list(5)[0].running and len(commands.list(100)) == 31


def test_ids_are_no_paths(tmp_path: Path) -> None:
    """Neither one that is asked for, nor one in a file that came with a folder from elsewhere."""
    runs = Runs(tmp_path)
    commands, command = Commands(runs), left(runs, ["train", "x"])
    (tmp_path / "secret.json").write_text(command.model_dump_json())
    (tmp_path / "secret.log").write_text("hunter2")
    for name in ("../secret", "%2e%2e/secret", "", "a" * 12, "/etc/passwd"):
        assert commands.find(name) is None and not commands.stop(name)
    (commands.folder / f"{command.id}.json").write_text(
        command.model_copy(update={"id": "../secret"}).model_dump_json()
    )
    assert commands.find(command.id) is None


def test_a_number_that_another_process_has_got_is_not_stopped(tmp_path: Path) -> None:
    """A command whose process has ended is not confused with a stranger that has its number now."""
    commands = Commands(Runs(tmp_path))
    command = commands.start(["--version"], "short")
    until(lambda: not commands.find(command.id).running)  # type: ignore[union-attr]
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        file = tmp_path / "commands" / f"{command.id}.json"
        file.write_text(file.read_text().replace(f'"pid": {command.pid}', f'"pid": {stranger.pid}'))
        assert not Commands(Runs(tmp_path)).stop(command.id)
        assert stranger.poll() is None
        stranger.send_signal(signal.SIGKILL)
