"""Commands as a server before us has left them, with their events."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence

from fittingroom.spec.records import Epoch
from fittingroom.store import Runs
from fittingroom.store.events import EpochEnded, Event, RunBegun, append
from fittingroom.ui.commands import Command, Commands, born


def left(
    runs: Runs,
    words: Sequence[str],
    *events: Event,
    log: str = "",
    code: str = "",
    title: str = "before",
    running: bool = False,
) -> Command:
    """A command that has ended; or runs, as far as can be told: its process is this one."""
    folder, name = Commands(runs).folder, secrets.token_hex(6)
    folder.mkdir(parents=True, exist_ok=True)
    pid = os.getpid() if running else 0
    command = Command(id=name, words=("fittingroom", *words), title=title, pid=pid, born=born(pid), started=1000.0)
    (folder / f"{name}.json").write_text(command.model_dump_json())
    (folder / f"{name}.log").write_text(log)
    for event in events:
        append(folder / f"{name}.events", event)
    if code:
        (folder / f"{name}.code").write_text(code)
    return command


def begun(run: str, time: float = 1000.0, epochs: int = 10) -> RunBegun:
    return RunBegun(time=time, run=run, recipe="mine", dataset="mnist", seed=0, epochs=epochs)


def epoch(run: str, number: int, time: float = 1000.0, epochs: int = 10) -> EpochEnded:
    record = Epoch(
        epoch=number, lr=0.1, train_loss=1, train_accuracy=0.5, clean_loss=1, clean_accuracy=0.5, clean_n=10,
        val_loss=None, val_accuracy=None, train_s=1, eval_s=1,
    )  # fmt: skip
    return EpochEnded(time=time, run=run, epochs=epochs, record=record)
