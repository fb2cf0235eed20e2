"""Commands that the pages have started: the ones that a person would type, each a process of its own that outlives us."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fittingroom.store import Runs
from fittingroom.store.atomic import write

TAIL_BYTES = 20_000  # of a log that are shown


@dataclass(frozen=True)
class Job:
    """A command, when and as which process it was started."""

    id: str
    words: tuple[str, ...]  # of the command, "fittingroom" first
    title: str
    pid: int
    born: str  # what tells this process from a later one with the same number
    started: float  # seconds since 1970

    @property
    def command(self) -> str:
        """As a person would type it."""
        return shlex.join(self.words)


@dataclass(frozen=True)
class Seen:
    """A job, as it is now."""

    job: Job
    running: bool
    code: int | None  # its exit code; None while it runs, or if that is not known any more
    log: str

    @property
    def state(self) -> str:
        if self.running:
            return "running"
        return {0: "finished", 130: "stopped", None: "ended"}.get(self.code, "failed")

    @property
    def run(self) -> str:
        """The name of the run folder that it is about, as far as its log tells."""
        found = re.findall(r"^run folder +(.+)$", self.log, re.MULTILINE)
        return Path(found[-1].strip()).name if found else ""

    @property
    def study(self) -> str:
        """The study that it has finished."""
        found = re.findall(r"^study: (.+)$", self.log, re.MULTILINE)
        return found[-1].strip() if found else ""


class Jobs:
    """Starts, lists and stops. What is known of a job lies in `RUNS/jobs`, so that a new server knows it, too."""

    def __init__(self, runs: Runs) -> None:
        self.folder = runs.path / "jobs"
        self._mine: dict[str, subprocess.Popen[bytes]] = {}

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
        job = Job(name, ("fittingroom", *words), title, process.pid, _born(process.pid), time.time())
        self._mine[name] = process
        write(self.folder / f"{name}.json", json.dumps(asdict(job), indent=1) + "\n")
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
        """A job by its id, as it is now."""
        if not re.fullmatch(r"[0-9a-f]{12}", name) or not (self.folder / f"{name}.json").is_file():
            return None
        got = json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))
        job = Job(**{**got, "words": tuple(got["words"])})
        running, code = self._state(job)
        return Seen(job, running, code, _tail(self.folder / f"{name}.log"))

    def list(self, most: int = 20) -> Sequence[Seen]:
        """The latest jobs, running ones first."""
        files = sorted(self.folder.glob("*.json"), key=lambda f: -f.stat().st_mtime) if self.folder.is_dir() else []
        found = [seen for file in files[:most] if (seen := self.find(file.stem))]
        return sorted(found, key=lambda s: (not s.running, -s.job.started))

    def _state(self, job: Job) -> tuple[bool, int | None]:
        process = self._mine.get(job.id)
        if process is not None:
            code = process.poll()
            if code is not None:
                write(self.folder / f"{job.id}.code", str(code))
            return code is None, code
        if job.born and _born(job.pid) == job.born:
            return True, None
        kept = self.folder / f"{job.id}.code"
        return False, int(kept.read_text()) if kept.is_file() else None


def _born(pid: int) -> str:
    """When a process began, in the system's own ticks; "" if there is none, or it has ended."""
    try:
        after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if after[0] == "Z" else after[19]


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""
