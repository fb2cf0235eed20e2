"""A table of all runs, derived from their folders: 10,000 of them are looked up in milliseconds instead of read in seconds."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fittingroom.spec.changes import told_apart
from fittingroom.spec.printable import is_printable
from fittingroom.store import RunFolder, Runs
from fittingroom.ui.opaque import opaque

LAYOUT = 3  # raised when the table changes: an older one is made anew
QUIET_S = 120.0  # an unfinished run without an epoch that has been silent for longer has stopped …
QUIET_EPOCHS, LEAST_QUIET_S = 3, 5.0  # … one with epochs, if it has been silent for so many; unless its lock is held
COLUMNS = (
    "id", "name", "stamp", "changed_at", "recipe", "dataset", "seed", "state", "epochs", "of", "epoch_s",
    "test", "val", "train_s", "started", "changes", "part", "curve",
)  # fmt: skip
SORTS = {"name", "recipe", "dataset", "seed", "state", "epochs", "test", "val", "train_s", "started"}


@dataclass(frozen=True)
class Line:
    """A run in the table. Accuracies are fractions, None where they are not known (yet)."""

    id: str
    name: str
    recipe: str
    dataset: str
    seed: int
    state: str  # finished, training, stopped, damaged
    epochs: int
    of: int
    left_s: float | None  # until its end, where it trains
    test: float | None
    val: float | None
    train_s: float | None
    started: str
    changes: str
    part: str  # of a study that it is ("fold 2 of 5", "trial"); "" if it stands alone
    curve: tuple[float, ...]  # validation accuracy (else training accuracy) after each epoch


class RunIndex:
    """The runs of a folder, in an SQLite file inside it (in memory where that cannot be written).

    `sync` makes it agree with the folders: whatever changed there since is read again, and a file that is damaged or of
    another layout is thrown away. Safe to use from several threads; other processes may write runs meanwhile.
    """

    def __init__(self, runs: Runs) -> None:
        self.runs = runs
        self.path = runs.path / ".index.sqlite"
        self.waiting = 0  # folders that `sync` still has to read
        self._lock = threading.RLock()
        self._db = self._opened()

    def sync(self) -> None:
        """Read what has changed. `waiting` says meanwhile how many folders are still to be read."""
        with self._lock:
            known = dict(self._ask("SELECT name, stamp FROM runs"))
            there = _folders(self.runs.path)
            gone = [(name,) for name in known if name not in there]
            todo = [name for name, stamp in there.items() if known.get(name) != stamp]
            with self._db:
                self._db.executemany("DELETE FROM runs WHERE name = ?", gone)
            self.waiting = len(todo)
        for first in range(0, len(todo), 50):
            lines = [self._seen(name, there[name]) for name in todo[first : first + 50]]
            with self._lock, self._db:
                for line in lines:
                    self._put(line)
                self.waiting = max(0, len(todo) - first - 50)

    def page(
        self,
        words: str = "",
        sort: str = "started",
        down: bool = True,
        first: int = 0,
        most: int = 100,
        parts: bool = False,
    ) -> tuple[list[Line], int]:
        """The lines from `first` whose name, data set or state holds every one of `words`, and how many there are in all.

        Runs that are a part of a study only with `parts`.
        """
        by = sort if sort in SORTS else "started"
        condition, values = _condition(words)
        condition += "" if parts else " AND part = ''"
        direction = "DESC" if down else "ASC"
        with self._lock:
            count = int(self._ask(f"SELECT count(*) FROM runs WHERE {condition}", values)[0][0])
            order = f"{by} IS NULL, {by} {direction}, name"
            found = self._ask(
                f"SELECT {', '.join(COLUMNS)} FROM runs WHERE {condition} ORDER BY {order} LIMIT ? OFFSET ?",
                [*values, most, first],
            )
        return self._lines(found), count

    def parts(self, words: str = "") -> int:
        """How many runs that are a part of a study have these words."""
        condition, values = _condition(words)
        with self._lock:
            return int(self._ask(f"SELECT count(*) FROM runs WHERE {condition} AND part != ''", values)[0][0])

    def find(self, ids: Sequence[str]) -> list[Line]:
        """The lines with these ids, in their order, each once; ids that do not exist (any more) are left out."""
        with self._lock:
            marks = ", ".join("?" * len(ids))
            rows = self._ask(
                f"SELECT {', '.join(COLUMNS)} FROM runs WHERE recipe IS NOT NULL AND id IN ({marks})", list(ids)
            )
        found = {line.id: line for line in self._lines(rows)}
        return [found[i] for i in dict.fromkeys(ids) if i in found]

    def folder(self, line: Line) -> RunFolder:
        return RunFolder(self.runs.path / line.name)

    def keep(self, stop: threading.Event, every_s: float = 1.0) -> None:
        """Keep it in step until `stop`: for a thread of its own."""
        while not stop.is_set():
            with contextlib.suppress(OSError, sqlite3.Error):
                self.sync()
            stop.wait(every_s)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    # ------------------------------------------------------------

    def _lines(self, rows: Sequence[Sequence[Any]]) -> list[Line]:
        held = _held()
        return [_line(row, self.runs.path, held) for row in rows]

    def _ask(self, text: str, values: Sequence[Any] = ()) -> list[Any]:
        return self._db.execute(text, values).fetchall()

    def _opened(self) -> sqlite3.Connection:
        for place in (str(self.path), ":memory:"):
            for _ in range(2):
                try:
                    return _connected(place)
                except sqlite3.DatabaseError:
                    with contextlib.suppress(OSError):
                        for file in (self.path, *self.path.parent.glob(f"{self.path.name}-*")):
                            file.unlink(missing_ok=True)
        raise AssertionError("an index in memory cannot fail")

    def _seen(self, name: str, stamp: int) -> tuple[Any, ...]:
        """A folder's line; one of Nones where it holds no run."""
        run = RunFolder(self.runs.path / name)
        mark = opaque(name)
        if not (run.path / "run.json").is_file():
            return (mark, name, stamp, *[None] * (len(COLUMNS) - 3))
        try:
            return (mark, name, stamp, stamp / 1e9, *_facts(run))
        except Exception:  # whatever is in a folder, by whatever hand: one that cannot be read must not stop the others
            return _damaged(mark, name, stamp)

    def _put(self, line: tuple[Any, ...]) -> None:
        put = f"INSERT OR REPLACE INTO runs VALUES ({', '.join('?' * len(COLUMNS))})"
        try:
            self._db.execute(put, line)
        except (OverflowError, UnicodeError, sqlite3.DataError, sqlite3.InterfaceError):  # what SQLite cannot hold
            self._db.execute(put, _damaged(*line[:3]))


def _condition(words: str) -> tuple[str, list[str]]:
    """What SQLite asks of a line that is a run and holds every one of `words`, and the values for its marks."""
    text = " || ' ' || ".join(("name", "recipe", "dataset", "state", "changes", "part"))
    escaped = (word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") for word in words.split())
    values = [f"%{word}%" for word in escaped]
    return " AND ".join(["recipe IS NOT NULL", *[f"({text}) LIKE ? ESCAPE '\\'"] * len(values)]), values


def _folders(runs: Path) -> dict[str, int]:
    """The folders in `runs`, and when each changed. Others delete and make them meanwhile."""
    found: dict[str, int] = {}
    with contextlib.suppress(FileNotFoundError), os.scandir(runs) as entries:
        for entry in entries:
            if entry.name.startswith(".") or not is_printable(entry.name):
                continue
            with contextlib.suppress(FileNotFoundError):  # this one has gone; the others have not
                if entry.is_dir():
                    found[entry.name] = entry.stat().st_mtime_ns
    return found


def _damaged(mark: str, name: str, stamp: int) -> tuple[Any, ...]:
    return (mark, name, stamp, stamp / 1e9, name, "", 0, "damaged", 0, 0, *[None] * 4, "", "", "", "[]")


def _connected(place: str) -> sqlite3.Connection:
    db = sqlite3.connect(place, check_same_thread=False, timeout=10)
    if place != ":memory:":
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = OFF")  # what a power cut takes is read from the folders again
    if db.execute("PRAGMA user_version").fetchone()[0] != LAYOUT:
        db.execute("DROP TABLE IF EXISTS runs")
        db.execute(f"CREATE TABLE runs ({', '.join(COLUMNS)}, PRIMARY KEY (id))")
        db.execute(f"PRAGMA user_version = {LAYOUT}")
        db.commit()
    db.execute(f"SELECT {', '.join(COLUMNS)} FROM runs LIMIT 1")  # a damaged file shows itself here
    if db.execute("PRAGMA quick_check").fetchone()[0] != "ok":
        raise sqlite3.DatabaseError("damaged")
    return db


def _facts(run: RunFolder) -> tuple[Any, ...]:
    recipe, identity, epochs, done = run.recipe, run.identity, run.epochs, run.done
    metrics = run.metrics if done else None
    last = [e.train_s + e.eval_s for e in epochs[-3:]]
    curve = [e.clean_accuracy if e.val_accuracy is None else e.val_accuracy for e in epochs]
    every = max(1, len(curve) // 60)
    accuracy = metrics.test_accuracy if metrics else None
    val = metrics.val.accuracy if metrics and metrics.val else (epochs[-1].val_accuracy if epochs else None)
    return (
        recipe.name, run.data.name, int(identity["seed"]), "finished" if done else "training", len(epochs),
        recipe.train.epochs, sum(last) / len(last) if last else None, accuracy, val,
        metrics.train_s if metrics else None, run.environment.started, told_apart([recipe])[0],
        recipe.data.fold_title if identity.get("part") is None else str(identity["part"]),  # older runs do not say
        json.dumps([round(v, 4) for v in curve[::-1][::every][::-1]]),
    )  # fmt: skip


def _held() -> set[str]:
    """The files that some process on this machine has locked, as the system names them; empty where it does not tell."""
    try:
        return locked(Path("/proc/locks").read_text())
    except OSError:
        return set()


def locked(text: str) -> set[str]:
    """The places (`MAJOR:MINOR:INODE`) of flock locks in `text`, laid out as /proc/locks. Who only waits (`->`) has none.

    >>> locked("1: FLOCK  ADVISORY  WRITE 71 fe:00:1234 0 EOF\\n1: -> FLOCK  ADVISORY  WRITE 72 fe:00:99 0 EOF")
    {'fe:00:1234'}
    """
    lines = [line.split() for line in text.splitlines()]
    return {line[5] for line in lines if len(line) > 5 and line[1] == "FLOCK"}


def is_locked(run: Path, held: set[str]) -> bool:
    """Whether a process holds the lock of this run folder; `held` is what `locked` found."""
    with contextlib.suppress(OSError):
        file = (run / ".lock").stat()
        return f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}" in held
    return False


def _line(row: Sequence[Any], folder: Path, held: set[str]) -> Line:
    got = dict(zip(COLUMNS, row, strict=True))
    state, silent_s, epoch_s = got["state"], time.time() - got["changed_at"], got["epoch_s"]
    left_s = None
    if state == "training":
        patience = max(LEAST_QUIET_S, QUIET_EPOCHS * epoch_s) if epoch_s else QUIET_S
        if silent_s > patience and not is_locked(folder / got["name"], held):
            state = "stopped"
        elif epoch_s:
            left_s = max(0.0, (got["of"] - got["epochs"]) * epoch_s - silent_s)
    return Line(
        **{key: got[key] for key in ("id", "name", "recipe", "dataset", "seed", "epochs", "of", "test")},
        **{key: got[key] for key in ("val", "train_s", "started", "changes", "part")},
        state=state,
        left_s=left_s,
        curve=tuple(json.loads(got["curve"])),
    )
