"""Commands that the pages have started: the ones that a person would type, each a process of its own that outlives us."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated

from pydantic import Field

from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.records import Record
from fittingroom.store import Runs
from fittingroom.store.atomic import write
from fittingroom.store.events import VARIABLE, read_on
from fittingroom.ui.progress import Progress

TAIL_BYTES = 20_000  # of a log that are shown
KEPT = 100  # commands whose progress is in memory


class Command(Record):
    """A command, when and as which process it was started."""

    id: str
    words: Annotated[tuple[str, ...], Field(min_length=2)]  # "fittingroom" first
    title: str
    pid: int
    born: str  # what tells this process from a later one with the same number
    started: float  # seconds since 1970
    run: str = ""  # the folder's name, where it was started for one run that was there

    @property
    def typed(self) -> str:
        """As a person would type it."""
        return shlex.join(self.words)

    @property
    def kind(self) -> str:
        """Its name: train, compare, export."""
        return self.words[1]


@dataclass(frozen=True)
class CommandState:
    """A command, as it is now."""

    command: Command
    running: bool
    code: int | None  # its exit code; None while it runs, or if that is not known any more

    @property
    def status(self) -> str:
        if self.running:
            return "running"
        return {0: "finished", 130: "stopped", 143: "stopped", None: "ended"}.get(self.code, "failed")


class Commands:
    """Starts, lists and stops. What is known of a command lies in `RUNS/commands`, so that a new server knows it, too.

    ID.json is the `Command`, ID.log its output, ID.events its events (`store.events`), ID.code its exit code.
    """

    def __init__(self, runs: Runs) -> None:
        self.folder = runs.path / "commands"
        self._mine: set[str] = set()  # whose ends our threads wait for
        # of each command, and the bytes of events that it is made of
        self._progress: OrderedDict[str, tuple[Progress, int]] = OrderedDict()
        self._lock = threading.Lock()

    def start(self, words: Sequence[str], title: str, run: str = "") -> Command:
        """Start `fittingroom WORDS`. Its output goes into a file, and it does not end with us."""
        self.folder.mkdir(parents=True, exist_ok=True)
        name = secrets.token_hex(6)
        events = str(self._file(name, "events").resolve())
        with self._file(name, "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "fittingroom", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", VARIABLE: events},
            )
        pid, all_words = process.pid, ("fittingroom", *words)
        command = Command(id=name, words=all_words, title=title, pid=pid, born=born(pid), started=time.time(), run=run)
        write(self._file(name, "json"), command.model_dump_json(indent=1) + "\n")
        self._mine.add(name)
        threading.Thread(target=self._wait, args=(name, process), daemon=True).start()
        return command

    def stop(self, name: str) -> bool:
        """Ask a command to end, as Ctrl-C would: whole epochs are kept. False if it has ended already."""
        state = self.find(name)
        if state is None or not state.running:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(state.command.pid, signal.SIGTERM)
        return True

    def find(self, name: str) -> CommandState | None:
        """A command by its id, as it is now; None if there is none, or what is known of it is damaged."""
        if not re.fullmatch(r"[0-9a-f]{12}", name):
            return None
        try:
            command = Command.model_validate_json(self._file(name, "json").read_bytes())
            return CommandState(command, *self._state(name, command)) if command.id == name else None
        except (OSError, ValueError):
            return None

    def progress(self, command: Command) -> Progress:
        """How far it is. Only the events that have come since the last look are read."""
        with self._lock:
            progress, first = self._progress.get(command.id, (Progress(), 0))
            while (batch := read_on(self._file(command.id, "events"), first))[1] > first:
                progress, first = progress.after(batch[0]), batch[1]
            self._progress[command.id] = progress, first
            self._progress.move_to_end(command.id)
            if len(self._progress) > KEPT:
                self._progress.popitem(last=False)
        return progress

    def run(self, command: Command) -> str:
        """The folder's name of the run that it is about; "" where that is not known, or there are several."""
        return command.run or self.progress(command).run

    def log(self, command: Command) -> str:
        """How its output ends."""
        path = self._file(command.id, "log")
        try:
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - TAIL_BYTES))
                return file.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def running(self) -> Sequence[CommandState]:
        """The commands that run now, the latest first."""
        found = [self.find(name) for name in self._names() if not self._file(name, "code").exists()]
        return [state for state in found if state and state.running]

    def list(self, most: int = 20) -> Sequence[CommandState]:
        """The commands that run, then the latest of the others, `most` in all."""
        running = self.running()
        others = (state for name in self._names() if (state := self.find(name)) and not state.running)
        return [*running, *islice(others, max(0, most - len(running)))]

    def _file(self, name: str, kind: str) -> Path:
        return self.folder / f"{name}.{kind}"

    def _names(self) -> Sequence[str]:
        """The ids of all commands, the latest first."""
        times = {}
        for file in self.folder.glob("*.json"):
            with contextlib.suppress(FileNotFoundError):
                times[file.stem] = file.stat().st_mtime_ns
        return sorted(times, key=lambda name: -times[name])

    def _wait(self, name: str, process: subprocess.Popen[bytes]) -> None:
        """For a thread of its own: no process stays a zombie, and its exit code is kept though nobody looks."""
        code = process.wait()
        with contextlib.suppress(FittingroomError):  # a full disk: then it has just "ended"
            write(self._file(name, "code"), str(code))
        self._mine.discard(name)

    def _state(self, name: str, command: Command) -> tuple[bool, int | None]:
        kept = self._file(name, "code")
        if not kept.is_file() and (name in self._mine or (command.born and born(command.pid) == command.born)):
            return True, None
        return False, int(kept.read_text()) if kept.is_file() else None


def born(pid: int) -> str:
    """When a process began, in the system's own ticks; "" if there is none, or it has ended."""
    try:
        after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if after[0] == "Z" else after[19]
