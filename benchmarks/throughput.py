"""Rows 5 and 9 of `make bench`: a whole study of 16 seeds against 16 times one run alone, and against loops of others."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from race import HERE, PEERS

from fittingroom.data import load
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


LOOPS = {"script": "README-style script", "lightning": "Lightning", "skorch": "skorch"}
NETS = {"cnn1": "readme-002-cnn1", "mlp": "readme-004-mlp"}


def against_loops(images: int, seeds: int) -> list[dict[str, Any]]:
    """Seconds of whole processes: `fittingroom compare` of many seeds, to its verdict and page, and loops over seeds elsewhere.

    One epoch each, on the same images, default against default, in turn.
    """
    rows = []
    data = load("fashion-mnist")
    test = data.test.unlock(lambda: None)  # for peers to score on; none of our trainings sees it
    with tempfile.TemporaryDirectory() as folder:
        arrays = Path(folder) / "arrays.npz"
        train = data.train.take(np.arange(images))
        np.savez(
            arrays, x=train.images_NCHW[:, 0], y=train.labels_N, test_x=test.images_NCHW[:, 0], test_y=test.labels_N
        )
        for net, recipe in NETS.items():
            words = [
                sys.executable,
                "-m",
                "fittingroom",
                "compare",
                recipe,
                f"data.limit={images}",
                "data.val_fraction=0",
            ]
            words += ["train.epochs=1", "--seeds", str(seeds), "--quiet", "--runs", f"{folder}/{net}"]
            ours_s = whole_s(words)
            print(f"{net}: {seeds} seeds, ours {ours_s:.0f} s", flush=True)
            for rival, title in LOOPS.items():
                loop = [str(PEERS), str(HERE / "peers/loop.py"), rival, str(arrays), net, str(seeds), "1"]
                rival_s = whole_s(loop)
                print(f"{net}: {seeds} seeds, {title} {rival_s:.0f} s, {rival_s / ours_s:.1f} times", flush=True)
                rows.append(
                    {
                        "net": net, "recipe": recipe, "rival": title, "seeds": seeds, "images": images,
                        "ours_s": ours_s, "rival_s": rival_s, "ratio": rival_s / ours_s,
                    }
                )  # fmt: skip
    return rows


def whole_s(words: list[str], environment: Mapping[str, str] = {}) -> float:
    """Seconds of a whole process, with what `environment` adds."""
    started = time.perf_counter()
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ | environment, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} failed:\n{done.stderr[-2000:]}")
    return time.perf_counter() - started
