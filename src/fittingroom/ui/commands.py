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

HEAD_BYTES = 4_000  # of a log, where a command says what it is about
TAIL_BYTES = 20_000  # of a log that are shown


class Job(Record):
    """A command, when and as which process it was started."""

    id: str
    words: Annotated[tuple[str, ...], Field(min_length=2)]  # of the command, "fittingroom" first
    title: str
    pid: int
    born: str  # what tells this process from a later one with the same number
    started: float  # seconds since 1970

    @property
    def command(self) -> str:
        """As a person would type it."""
        return shlex.join(self.words)

    @property
    def kind(self) -> str:
        """The command's name: train, compare, export."""
        return self.words[1]


@dataclass(frozen=True)
class Seen:
    """A job, as it is now."""

    job: Job
    running: bool
    code: int | None  # its exit code; None while it runs, or if that is not known any more
    head: str  # how its log begins
    log: str  # how it ends

    @property
    def state(self) -> str:
        if self.running:
            return "running"
        return {0: "finished", 130: "stopped", None: "ended"}.get(self.code, "failed")

    @property
    def run(self) -> str:
        """The name of the run folder that it is about, as far as is known."""
        if self.job.kind == "export":
            return Path(*self.job.words[2:3]).name
        return Path(self._said("run folder +")).name

    @property
    def study(self) -> str:
        """The study that it has finished."""
        return self._said("study: ")

    @property
    def progress(self) -> tuple[int, int] | None:
        """How many runs of a comparison are trained, and how many were to be; None before it says so."""
        if not (waiting := self._said(r"\d+ runs: \d+ finished, (?=\d+ to train)")):
            return None
        done = re.findall(r"^(\d+) of \d+ runs: ", self.log, re.MULTILINE)
        return int(done[-1]) if done else 0, int(waiting.split()[0])

    def left_s(self, now: float) -> float | None:
        """How long a comparison may still take, as its runs have taken so far; None before the first is trained."""
        done, of = self.progress or (0, 0)
        return (now - self.job.started) / done * (of - done) if done and self.running else None

    def _said(self, before: str) -> str:
        """What stands behind these words at a line's beginning, where they come last; "" if nowhere."""
        for text in (self.log, self.head):
            if found := re.findall(rf"^(?:{before})(.+)$", text, re.MULTILINE):
                return str(found[-1]).strip()
        return ""


class Jobs:
    """Starts, lists and stops. What is known of a job lies in `RUNS/jobs`, so that a new server knows it, too."""

    def __init__(self, runs: Runs) -> None:
        self.folder = runs.path / "jobs"
        self._mine: set[str] = set()  # whose ends our threads wait for

    def start(self, words: Sequence[str], title: str) -> Job:
        """Start `fittingroom WORDS`. Its output goes into a file, and it does not end with us."""
        self.folder.mkdir(parents=True, exist_ok=True)
        name = secrets.token_hex(6)
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "fittingroom", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"},
            )
        pid = process.pid
        job = Job(id=name, words=("fittingroom", *words), title=title, pid=pid, born=born(pid), started=time.time())
        write(self.folder / f"{name}.json", job.model_dump_json(indent=1) + "\n")
        self._mine.add(name)
        threading.Thread(target=self._wait, args=(name, process), daemon=True).start()
        return job

    def stop(self, name: str) -> bool:
        """Ask a job to end, as Ctrl-C would: whole epochs are kept. False if it has ended already."""
        seen = self.find(name)
        if seen is None or not seen.running:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(seen.job.pid, signal.SIGTERM)
        return True

    def find(self, name: str) -> Seen | None:
        """A job by its id, as it is now; None if there is none, or what is known of it is damaged."""
        if not re.fullmatch(r"[0-9a-f]{12}", name):
            return None
        try:
            job = Job.model_validate_json((self.folder / f"{name}.json").read_bytes())
            running, code = self._state(name, job)
        except (OSError, ValueError):
            return None
        head, tail = _ends(self.folder / f"{name}.log")
        return Seen(job, running, code, head, tail)

    def running(self) -> Sequence[Seen]:
        """The jobs that run now, the latest first."""
        found = [self.find(name) for name in self._names() if not (self.folder / f"{name}.code").exists()]
        return [seen for seen in found if seen and seen.running]

    def list(self, most: int = 20) -> Sequence[Seen]:
        """The jobs that run, then the latest of the others, `most` in all."""
        running = self.running()
        others = (seen for name in self._names() if (seen := self.find(name)) and not seen.running)
        return [*running, *islice(others, max(0, most - len(running)))]

    def _names(self) -> Sequence[str]:
        """The ids of all jobs, the latest first."""
        times = {}
        for file in self.folder.glob("*.json"):
            with contextlib.suppress(FileNotFoundError):
                times[file.stem] = file.stat().st_mtime_ns
        return sorted(times, key=lambda name: -times[name])

    def _wait(self, name: str, process: subprocess.Popen[bytes]) -> None:
        """For a thread of its own: no process stays a zombie, and its exit code is kept though nobody looks."""
        code = process.wait()
        with contextlib.suppress(FittingroomError):  # a full disk: then it has just "ended"
            write(self.folder / f"{name}.code", str(code))
        self._mine.discard(name)

    def _state(self, name: str, job: Job) -> tuple[bool, int | None]:
        kept = self.folder / f"{name}.code"
        if not kept.is_file() and (name in self._mine or (job.born and born(job.pid) == job.born)):
            return True, None
        return False, int(kept.read_text()) if kept.is_file() else None


def born(pid: int) -> str:
    """When a process began, in the system's own ticks; "" if there is none, or it has ended."""
    try:
        after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if after[0] == "Z" else after[19]


def _ends(log: Path) -> tuple[str, str]:
    """How a log begins, and how it ends."""
    try:
        with log.open("rb") as file:
            head = file.read(HEAD_BYTES)
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            return head.decode("utf-8", "replace"), file.read().decode("utf-8", "replace")
    except OSError:
        return "", ""
