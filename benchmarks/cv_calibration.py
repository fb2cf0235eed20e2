"""Does a cross-validation's interval hold what fresh pictures bring? Real samples, disjoint; writes docs/statistics.md.

    python benchmarks/cv_calibration.py [SAMPLES]

Each sample of 300 MNIST training pictures is cross-validated in five folds with three seeds, by an MLP and a CNN. The samples
share no picture, so their results scatter as fresh pictures and fresh trainings do, and their mean is the truth that intervals
should hold.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from pages import write_calibration
from verdict_calibration import rate

from fittingroom.data import folds, load
from fittingroom.metrics.crossed import estimate
from fittingroom.spec.design import ALONE, Design
from fittingroom.spec.read import read_recipe

RECIPES = ("readme-004-mlp", "readme-004-cnn")
CHANGES = ("train.epochs=8", "train.precision=fp32")
PICTURES, FOLDS, SEEDS = 300, 5, 3


def right_of(sample: int) -> tuple[np.ndarray, np.ndarray]:
    """Which pictures of a sample were right when held out (recipes, seeds, N), and the fold of each."""
    from fittingroom.training import fit, predict, prepare_process

    prepare_process(1)
    train = load("mnist").train
    rows = np.random.default_rng(1).permutation(len(train))[sample * PICTURES : (sample + 1) * PICTURES]
    mine = train.take(rows)
    fold_N = folds(mine.labels_N, FOLDS, 0)
    right = np.zeros((len(RECIPES), SEEDS, PICTURES), np.int8)
    for r, name in enumerate(RECIPES):
        recipe = read_recipe(name, list(CHANGES))
        for seed in range(SEEDS):
            for fold in range(FOLDS):
                *_, last = fit(recipe, mine.take(np.flatnonzero(fold_N != fold)), None, seed=1000 * sample + seed)
                held = np.flatnonzero(fold_N == fold)
                right[r, seed, held] = predict(last.model, mine.take(held)).argmax(1) == mine.labels_N[held]
    return right, fold_N


Interval = Callable[[np.ndarray, np.ndarray], tuple[float, float, float]]  # (S,N), folds → mean, low, high


def with_folds(x_SN: np.ndarray, fold_N: np.ndarray) -> tuple[float, float, float]:
    e = estimate(x_SN, Design(folds_N=fold_N))
    return e.mean, *e.interval()


def without(x_SN: np.ndarray, fold_N: np.ndarray) -> tuple[float, float, float]:
    e = estimate(x_SN, ALONE)  # each seed's folds pooled, as if they were one training
    return e.mean, *e.interval()


def lines(x_TSN: np.ndarray, fold_TN: np.ndarray, title: str, truth: float | None = None) -> list[list[str]]:
    """Rows for one to three seeds: how fresh samples scatter, how wide intervals are and how often they hold the truth."""
    true, rows = float(x_TSN.mean()) if truth is None else truth, []
    for seeds in range(1, x_TSN.shape[1] + 1):
        part = x_TSN[:, :seeds]
        ideal = 1.96 * float(part.mean((1, 2)).std(ddof=1))
        cells = []
        for interval in (with_folds, without):
            found = np.array([interval(x, fold_N) for x, fold_N in zip(part, fold_TN, strict=True)])
            held = int(((found[:, 1] <= true) & (true <= found[:, 2])).sum())
            half = float(np.median(found[:, 2] - found[:, 1]) / 2)
            cells += [f"± {100 * half:.1f} ({half / ideal:.2f})", rate(held, len(found))]
        rows.append([title, str(seeds), f"± {100 * ideal:.1f}", *cells])
    return rows


def main() -> None:
    samples, started = int(sys.argv[1]) if len(sys.argv) > 1 else 60, time.perf_counter()
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(2) as pool:
        found = list(pool.map(right_of, range(samples)))
    right, fold_TN = np.stack([r for r, _ in found]).astype(float), np.stack([f for _, f in found])
    a_a = right[:, :, :1] - right[:, :, 1:2]  # one seed against another of the same recipe
    rows = [
        *lines(right[:, 1] - right[:, 0], fold_TN, "CNN less MLP"),
        *lines(a_a[:, 0], fold_TN, "MLP less itself", 0.0),
        *lines(a_a[:, 1], fold_TN, "CNN less itself", 0.0),
    ]
    head = [
        "difference", "seeds", "95 % of fresh samples lie within, points", "half-width (times that)", "holds the truth, %",
        "before: half-width", "held the truth, %",
    ]  # fmt: skip
    how = (
        f"{samples} disjoint samples of {PICTURES} MNIST pictures, {FOLDS} folds, `{RECIPES[0]}` and `{RECIPES[1]}` with "
        f"{' '.join(CHANGES)}; {right.size // PICTURES * FOLDS:,} trainings, {time.perf_counter() - started:.0f} s."
    )
    write_calibration("calibration-cv", head, rows, how, __file__)


if __name__ == "__main__":
    main()
