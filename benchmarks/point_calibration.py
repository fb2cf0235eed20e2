"""Is the verdict honest at an operating point? Studies of equals, whose thresholds come from few or many validation images.

    python benchmarks/point_calibration.py [STUDIES]

Two recipes are equal; their scores of an image agree in part, and differ by what each recipe and each seed makes of it.
Thresholds are chosen on validation images, scores are compared on test images. Writes docs/statistics.md.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from pages import write_calibration
from verdict_calibration import SEEDS, rate

from fittingroom.metrics.crossed import Estimate, estimate
from fittingroom.metrics.finding import bootstrap
from fittingroom.metrics.metric import METRICS
from fittingroom.metrics.operating import LEFT_OPEN, point
from fittingroom.spec.design import ALONE, Design

STUDIES = 500
OTHERS, TEST = 3, 400  # images without the class for one with it; test images with it
APART = 2.0  # standard deviations between the scores of both
PARTS = (0.4, 0.3, 0.3)  # of their variance: the image's, the recipe's of the image, the seed's of the image


@dataclass
class Run:
    """What an operating point asks of a run."""

    logits_NK: np.ndarray
    labels_N: np.ndarray
    val_logits_NK: np.ndarray | None
    val_labels_N: np.ndarray | None
    design: Design = field(default=ALONE)
    val_design: Design = field(default=ALONE)


def scores(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores (2 recipes, S seeds, N) of `n` images with the class and `OTHERS` times as many without, and which is which (N,)."""
    labels_N = np.arange(n * (1 + OTHERS)) < n
    image, recipe, seed = (
        np.sqrt(part) * rng.normal(size=(*shape, len(labels_N)))
        for part, shape in zip(PARTS, ((1, 1), (2, 1), (2, SEEDS)), strict=True)
    )
    return APART * labels_N + image + recipe + seed, labels_N.astype(int)


def study(seed: int, at: str, n_val: int) -> tuple[Estimate, Estimate, bool]:
    """The difference of two equals, by the interval that knows the luck of the validation images and by one that does not; and
    whether the first recipe's own interval holds its true score.
    """
    rng, where = np.random.default_rng(seed), point(("no", "yes"), at=at)
    (val, val_labels), (test, labels) = scores(rng, n_val), scores(rng, TEST)
    runs = [[Run(two(test[r, s]), labels, two(val[r, s]), val_labels) for s in range(SEEDS)] for r in range(2)]
    by = METRICS[LEFT_OPEN[where.aim.of]].of("yes", where.aim.costs)  # type: ignore[union-attr]
    values = [np.stack([where.values(by, run) for run in mine]) for mine in runs]
    drawn = [bootstrap(by, mine, where)[by.name] for mine in runs]
    careless = estimate(values[0] - values[1])
    every = list(range(SEEDS))
    knows = careless.plus(*drawn[0].less(drawn[1], every, every).share)
    whole = estimate(values[0]).plus(*drawn[0].share)
    low, high = whole.interval()
    return knows, careless, low <= truth(at, n_val) <= high


def two(score_N: np.ndarray) -> np.ndarray:
    return np.stack([np.zeros(len(score_N)), score_N], 1)


def truth(at: str, n_val: int) -> float:
    """What the threshold of such a validation part brings on average: over many parts, and very many images."""
    if (at, n_val) not in _TRUTHS:
        rng, where, found = np.random.default_rng(10**6), point(("no", "yes"), at=at), []
        by = METRICS[LEFT_OPEN[where.aim.of]].of("yes", where.aim.costs)  # type: ignore[union-attr]
        test, labels = scores(rng, 20_000)
        for _ in range(200):
            val, val_labels = scores(rng, n_val)
            found += [
                where.values(by, Run(two(test[r, 0]), labels, two(val[r, 0]), val_labels)).mean() for r in range(2)
            ]
        _TRUTHS[at, n_val] = float(np.mean(found))
    return _TRUTHS[at, n_val]


_TRUTHS: dict[tuple[str, int], float] = {}


def row(case: tuple[str, int, int]) -> list[str]:
    """A line of the table."""
    at, n_val, studies = case
    found = [study(seed, at, n_val) for seed in range(studies)]

    def half(which: int) -> float:
        return float(np.median([np.diff(one[which].interval()) for one in found]))  # type: ignore[union-attr]

    false, before = (rate(sum(one[k].p < 0.05 for one in found), studies) for k in (0, 1))  # type: ignore[union-attr]
    covered = rate(sum(one[2] for one in found), studies)
    return [at, f"{n_val} and {n_val * OTHERS}", false, before, f"{half(0) / half(1):.2f}", covered]


def main() -> None:
    studies = int(sys.argv[1]) if len(sys.argv) > 1 else STUDIES
    cases = [(*case, studies) for case in product(("sensitivity=0.9", "precision=0.7", "costs=10:1"), (30, 100, 300))]
    with ProcessPoolExecutor(2) as pool:
        rows = list(pool.map(row, cases))
    head = [
        "chosen for", "validation images with the class and without", "equals called different, %",
        "by the interval of these thresholds, %", "times as wide as that", "intervals of one recipe that hold the truth, %",
    ]  # fmt: skip
    how = (
        f"{SEEDS} seeds; {TEST} test images with the class and {TEST * OTHERS:,} without; {studies} simulated studies a row; "
        f"[95 % interval]."
    )
    write_calibration("calibration-point", head, rows, how, __file__)


if __name__ == "__main__":
    main()
