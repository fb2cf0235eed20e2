"""Row 5 of `make bench`: a whole study of 16 seeds against 16 times one run alone."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from fittingroom.spec.read import read_recipe
from fittingroom.spec.recipe import Recipe
from fittingroom.store import Runs
from fittingroom.study.launch import choose_launcher, launch
from fittingroom.study.plan import crossed, plan
from fittingroom.study.workplace import Workplace

SEEDS = 16


def study_s(recipe: Recipe, seeds: int, workers: int | None = None) -> float:
    """Seconds that a study of so many seeds trains, from nothing; `workers` runs at once, or as many as a study chooses."""
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(Path(folder))
        study = plan(crossed([recipe], [], range(seeds)), Workplace(runs=runs))
        started = time.perf_counter()
        with choose_launcher("local", workers or study.at_once) as by:
            launch(study.waiting, runs, by)
        return time.perf_counter() - started


def throughput(images: int, epochs: int, rounds: int, recipe: str = "readme-002-cnn1") -> dict[str, Any]:
    """Seconds of one run with every core, and of 16 runs as a study launches them: process starts, data, scoring included."""
    changed = read_recipe(recipe, [f"data.limit={images}", f"train.epochs={epochs}"])
    found = [(study_s(changed, 1), study_s(changed, SEEDS)) for _ in range(rounds)]
    ratios = [many / (SEEDS * one) for one, many in found]
    print(
        f"{SEEDS} seeds take {median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}] of {SEEDS} times one run alone"
    )
    return {
        "recipe": recipe, "images": images, "epochs": epochs, "seeds": SEEDS, "rounds": rounds,
        "one_s": median(one for one, _ in found), "many_s": median(many for _, many in found),
        "ratio": median(ratios), "low": min(ratios), "high": max(ratios),
    }  # fmt: skip
