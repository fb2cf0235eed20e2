"""Seeds until it is settled: how often equals are called different, and how many seeds it takes. Writes docs/statistics.md.

    python benchmarks/rounds_calibration.py [STUDIES]

Studies are drawn with variance components like those of real pairs of recipes, on 10,000 images, and go through
`fittingroom.metrics.rounds.look` as `fittingroom compare --until settled` does, up to 32 seeds. Beside it stands what an ordinary
95 % interval would have said, looked at after each of the same rounds: the mistake that this replaces.
"""

from __future__ import annotations

import os
import sys

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy is there to read it
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from pages import write_calibration

from fittingroom.metrics.crossed import Estimate, estimate, seeds_needed
from fittingroom.metrics.intervals import wilson
from fittingroom.metrics.rounds import MOST, look, rounds

IMAGES, EFFECT, WITHIN = 10_000, 0.005, 0.003
SCALE = 10  # an image here stands for so many: with a tenth of the images, each with a tenth of the variance, means are as before
# Standard deviations of a difference in points: of seeds, of images, of the rest; from small nets alike to large ones unlike.
PAIRS = (
    (0.05, 15, 18),
    (0.2, 10, 15),
    (0.2, 18, 24),
    (0.3, 15, 18),
    (0.3, 5, 10),
    (0.4, 15, 18),
    (0.5, 8, 12),
    (0.6, 15, 18),
    (1.0, 2, 8.5),
)


def drawn(rng: np.random.Generator, pair: tuple[float, float, float], difference: float) -> np.ndarray:
    """What each seed and image gives (MOST, IMAGES / SCALE)."""
    n = IMAGES // SCALE
    of_seed, of_image, of_rest = pair[0] / 100, pair[1] / 100 / SCALE**0.5, pair[2] / 100 / SCALE**0.5
    x_SN = (
        of_seed * rng.normal(size=(MOST, 1)) + of_image * rng.normal(size=(1, n)) + of_rest * rng.normal(size=(MOST, n))
    )
    return np.asarray(difference + x_SN)


def study(task: tuple[int, int, float]) -> tuple[bool, bool, int, bool]:
    """Whether it was called different (the right way round), the same, after how many seeds it ended, whether a peek found it."""
    number, which, difference = task
    x_SN = drawn(np.random.default_rng([number, which, round(1e6 * difference)]), PAIRS[which], difference)
    [judged], looked = look([("a", "b")], {"a": x_SN, "b": np.zeros_like(x_SN)}, within=WITHIN)
    different = judged.resolved and (difference == 0 or judged.better == "a")
    peeked = any(estimate(x_SN[:s]).p < 0.05 for s in rounds(MOST))
    return different, judged.lies_within(WITHIN), looked.seeds, peeked


def line(pool: ProcessPoolExecutor, which: int, studies: int) -> list[str]:
    of_seed, of_image, of_rest = PAIRS[which]
    e = Estimate(
        EFFECT, (), 1.0, 3, IMAGES, (of_seed / 100) ** 2, (of_image / 100) ** 2, (of_rest / 100) ** 2, df=IMAGES - 1
    )
    needed = seeds_needed(e)
    found = {
        d: np.array(list(pool.map(study, [(i, which, d) for i in range(studies)], chunksize=25)))
        for d in (0.0, EFFECT, WITHIN)
    }
    equal, apart, edge = found[0.0], found[EFFECT], found[WITHIN]
    ended = float(np.median(apart[:, 2]))
    fixed = "more than these images allow" if needed is None else f"{needed}"
    return [
        f"{of_seed:g}, {of_image:g}, {of_rest:g}", rate(equal[:, 0]), rate(equal[:, 3]), rate(edge[:, 1]), rate(equal[:, 1]),
        fixed, rate(apart[:, 0]), f"{ended:g}" + ("" if needed is None else f" ({ended / needed:.2f})"),
    ]  # fmt: skip


def rate(hits: np.ndarray) -> str:
    low, high = wilson(int(hits.sum()), len(hits))
    return f"{100 * hits.mean():.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def main() -> None:
    studies = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    head = [
        "luck of seeds, images, rest (sd, points)", "equals called different, %", "by peeking at the usual interval, %",
        "0.3 points apart called the same, %", "equals called the same, %", "0.5 points apart: seeds of a plan (80 % power)",
        "found, %", "seeds of the median study (of the plan's)",
    ]  # fmt: skip
    with ProcessPoolExecutor(2) as pool:
        rows = [line(pool, which, studies) for which in range(len(PAIRS))]
    how = (
        f"{studies:,} simulated studies a cell, up to {MOST} seeds, looked at after {', '.join(map(str, rounds(MOST)))}; "
        f"{IMAGES:,} images; the margin of sameness is 0.3 points; [95 % interval]."
    )
    write_calibration("calibration-rounds", head, rows, how, __file__)


if __name__ == "__main__":
    main()
