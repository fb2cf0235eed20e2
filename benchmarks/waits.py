"""Row 8 of `make bench`: what a person waits for besides training, from the command to the first word, the verdict, the prompt.

Whole processes on a terminal of their own, medians over rounds; with `--before SRC` an older source tree's in turn with them.
"""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from sealing import thousand

from fittingroom.store import Runs

WORDS = [sys.executable, "-m", "fittingroom"]
SEVEN = (
    "readme-004-mlp", "readme-004-cnn", "readme-004-mlp-tuned", "readme-000-ann", "fast-mnist", "readme-000-cnn",
    "readme-003-cnn",
)  # fmt: skip
SHORT = ("train.epochs=1", "data.limit=1000")  # what a report costs hangs on the test images, of which there are 10,000
NEVER = "\x00"


@dataclass(frozen=True)
class Wait:
    """Seconds from the command on."""

    first: float  # until it says something
    verdict: float  # until it has said what is looked for
    end: float


def waited(words: Sequence[str], src: str = "", verdict: str = NEVER) -> Wait:
    """How long `fittingroom WORDS` takes on a terminal; with `src`, of the source tree there."""
    ours, theirs = pty.openpty()
    environment: Mapping[str, str] = os.environ | ({"PYTHONPATH": src} if src else {}) | {"COLUMNS": "200"}
    started = time.perf_counter()
    child = subprocess.Popen([*WORDS, *words], stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    first = seen = 0.0
    said = b""
    while True:
        try:
            part = os.read(ours, 1 << 16)
        except OSError:  # how a terminal ends on Linux
            part = b""
        if not part:
            break
        said += part
        now = time.perf_counter() - started
        first = first or (now if said.strip() else 0.0)
        seen = seen or (now if verdict.encode() in said else 0.0)
    os.close(ours)
    if child.wait():
        sys.exit(f"{' '.join(words)} failed:\n{said.decode(errors='replace')}")
    return Wait(first, seen, time.perf_counter() - started)


def waits(before: str, rounds: int, demo: bool) -> dict[str, Any]:
    """Medians by what is waited for, of ours and, where there is one, of the tree `before`, each round in turn."""
    trees = {"now": "", **({"before": before} if before else {})}
    found: dict[str, dict[str, list[float]]] = {}

    def note(what: str, tree: str, seconds: float) -> None:
        found.setdefault(what, {}).setdefault(tree, []).append(seconds)
        print(f"{what:44} {tree:7} {seconds:6.2f} s", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for tree, src in trees.items():  # runs of their own: each asks in its own way for what is there
            for name, recipes in (("nine", SEVEN[:3]), ("many", SEVEN)):
                waited(
                    ["compare", *recipes, *SHORT, "--data", "fashion-mnist", "--runs", f"{place}/{tree}/{name}"], src
                )
        [one, *_] = Runs(place / "now" / "nine").list()
        thousand(one, place / "thousand")
        for _ in range(rounds):
            for tree, src in trees.items():
                fresh = place / "fresh"
                shutil.rmtree(fresh, ignore_errors=True)
                began = time.perf_counter()
                subprocess.run([sys.executable, "-c", "import torch"], check=True)
                note("import torch, for scale", tree, time.perf_counter() - began)
                train = waited(["train", "fast-mnist", "train.epochs=1", "--runs", str(fresh)], src)
                note("train fast-mnist, one epoch: to the prompt", tree, train.end)
                note("… of which training", tree, Runs(fresh).list()[0].metrics.train_s)
                note("… to the first sign of life", tree, train.first)
                nine, many = (f"{place}/{tree}/{name}" for name in ("nine", "many"))
                [study] = Runs(Path(nine)).studies()
                note("report of 9 runs", tree, waited(["report", study, "--runs", nine], src).end)
                [study] = Runs(Path(many)).studies()
                note("report of 21 runs", tree, waited(["report", study, "--runs", many], src).end)
                asked = ["compare", *SEVEN[:3], *SHORT, "--data", "fashion-mnist", "--runs", nine]
                again = waited(asked, src, "verdict")
                note("a comparison asked again: to the verdict", tree, again.verdict)
                note("… and to its page", tree, again.end)
                note("runs of 1,000", tree, waited(["runs", "--runs", str(place / "thousand")], src).end)
        for tree, src in trees.items() if demo else ():
            note("demo", tree, waited(["demo", "--runs", f"{place}/{tree}/demo"], src).end)
    medians = {what: {tree: median(seconds) for tree, seconds in by.items()} for what, by in found.items()}
    return {"rounds": rounds, "waits": medians}
