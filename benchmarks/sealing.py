"""What seals cost: of a training, and of listing a thousand runs; written into docs/trust.md.

    python benchmarks/sealing.py

In one process, with nothing else running: the same training with its hashing timed, and the same list with runs of before, which
have no seal, and with sealed ones, in turn.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pages import write_block

from fittingroom.questions.listing import runs_in, runs_table
from fittingroom.spec.read import read_recipe
from fittingroom.store import RunFolder, Runs, seal
from fittingroom.store import runs as room
from fittingroom.study.cost import machine
from fittingroom.study.plan import Experiment
from fittingroom.study.run import train
from fittingroom.study.workplace import Workplace

RECIPE, RUNS, ROUNDS = "fast-mnist", 1000, 5


def main() -> None:
    """Measure, and write."""
    with tempfile.TemporaryDirectory() as place:
        run, share = trained(Path(place) / "one")
        many = thousand(run, Path(place) / "many")
        sealed, plain = listed(many, run)
        with_ms, without_ms = 1000 * np.median(sealed), 1000 * np.median(plain)
        line = (
            f"Seals take {100 * share:.2f} % of a training ({RECIPE}, {run.metrics.train_s:.0f} s), and "
            f"{with_ms - without_ms:.0f} ms of `fittingroom runs` of {RUNS:,} runs ({with_ms:.0f} ms against {without_ms:.0f} "
            f"without; medians of {ROUNDS} in turn). ({machine()}; `benchmarks/sealing.py`)"
        )
        print(line)
        write_block("docs/trust.md", "sealing", [line])


def trained(path: Path) -> tuple[RunFolder, float]:
    """A run, and the share of its time that went into hashes."""
    spent = [0.0]

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **keywords: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*args, **keywords)
            finally:
                spent[0] += time.perf_counter() - began

        return wrapped

    of, tensors = seal.FileSeal.of, seal._of_tensors
    seal.FileSeal.of, seal._of_tensors = timed(of), timed(tensors)  # type: ignore[method-assign]
    began = time.perf_counter()
    try:
        [[run]] = train(
            [Experiment(read_recipe(RECIPE), "mnist", [0], costs=False)], Workplace(runs=Runs(path), at_once=1)
        )
    finally:
        seal.FileSeal.of, seal._of_tensors = of, tensors  # type: ignore[method-assign]
    return run, spent[0] / (time.perf_counter() - began)


def thousand(run: RunFolder, path: Path) -> Path:
    """As many runs, which share their files, each with a `DONE` of its own."""
    for i in range(RUNS):
        folder = path / f"{run.name[:-4]}{i:04}"
        folder.mkdir(parents=True)
        for file in run.path.iterdir():
            if file.name != "DONE" and not file.name.startswith("."):
                os.link(file, folder / file.name)
    return path


def listed(path: Path, run: RunFolder) -> tuple[list[float], list[float]]:
    """Seconds for the list with sealed runs and with runs of before, in turn."""
    sealed: list[float] = []
    plain: list[float] = []
    for _ in range(ROUNDS + 1):  # the first is for the disk
        for found, content in ((sealed, None), (plain, "2026-11-20T10:00:00+00:00\n")):
            for folder in path.iterdir():
                if content:
                    (folder / "DONE").write_text(content)
                else:
                    shutil.copy(run.path / "DONE", folder / "DONE")
            room._seal.cache_clear()
            began = time.perf_counter()
            runs_table(runs_in(Runs(path))[0])
            found.append(time.perf_counter() - began)
    return sealed[1:], plain[1:]


if __name__ == "__main__":
    main()
