"""Is "the same for practical purposes" as honest as it says? Pairs of known difference; writes docs/statistics.md.

    python benchmarks/sameness_calibration.py [STUDIES] [GROUPS]

Simulated: pairs with variance components like those of real ones, 10,000 images, a fixed number of seeds; exactly as far apart
as the margin (which may be called the same 5 times in 100), or equal (to be found as often as `power_of_same` says).
Real: a tiny recipe against itself with half the training images, held against a margin that is just their true difference, which
is known from all groups together; and against itself.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy is there to read it
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from pages import write_calibration
from rounds_calibration import IMAGES, PAIRS, SCALE, rate
from verdict_calibration import SEEDS, trained

from fittingroom.metrics.crossed import Estimate, estimate
from fittingroom.metrics.sameness import power_of_same

MARGIN, FEW = 0.003, (3, 5, 10)


def within(e: Estimate, margin: float) -> bool:
    """Whether an estimate by itself is called the same."""
    low, high = e.interval()
    return -margin < low and high < margin


def study(task: tuple[int, int, int, float]) -> tuple[bool, bool]:
    """Whether a simulated pair is called the same, and whether different."""
    number, which, seeds, difference = task
    rng = np.random.default_rng([number, which, seeds, round(1e6 * difference)])
    n, (of_seed, of_image, of_rest) = IMAGES // SCALE, (sd / 100 for sd in PAIRS[which])
    image_N, seed_S = of_image / SCALE**0.5 * rng.normal(size=(1, n)), of_seed * rng.normal(size=(seeds, 1))
    e = estimate(difference + seed_S + image_N + of_rest / SCALE**0.5 * rng.normal(size=(seeds, n)))
    return within(e, MARGIN), e.p < 0.05


def simulated(studies: int) -> list[list[str]]:
    """A row for each number of seeds: over all pairs, an equal number of studies each."""
    rows = []
    with ProcessPoolExecutor(2) as pool:
        for seeds in FEW:
            found = {
                d: np.array(
                    list(pool.map(study, [(i, i % len(PAIRS), seeds, d) for i in range(studies)], chunksize=25))
                )
                for d in (0.0, MARGIN)
            }
            promised = np.mean([power_of_same(components(pair, seeds), MARGIN, seeds) for pair in PAIRS])
            rows.append(
                ["simulated", f"{seeds}", f"{studies:,}", f"{100 * MARGIN:.2f}", rate(found[MARGIN][:, 0]),
                 rate(found[0.0][:, 0]), f"{100 * promised:.1f}", rate(found[0.0][:, 1])]
            )  # fmt: skip
    return rows


def components(pair: tuple[float, float, float], seeds: int) -> Estimate:
    """What is known of a pair whose spreads are known."""
    of_seed, of_image, of_rest = ((sd / 100) ** 2 for sd in pair)
    return Estimate(0.0, (), 1.0, seeds, IMAGES, of_seed, of_image, of_rest, df=IMAGES - 1)


def real(groups: int) -> tuple[list[str], str]:
    """The recipe against itself with half the images, within exactly their true difference; and against itself."""
    a, b, how = trained(groups)
    true = float(a.mean() - b.mean())
    apart = np.array([within(estimate(one[0] - other), true) for one, other in zip(a, b, strict=True)])
    equal = [estimate(one[0] - one[1]) for one in a]
    same = np.array([within(e, true) for e in equal])
    different = np.array([e.p < 0.05 for e in equal])
    typical = estimate((a[:, 0] - a[:, 1]).reshape(-1, a.shape[-1]))
    promised = power_of_same(replace(typical, seeds=SEEDS), true, SEEDS)
    row = [
        "real",
        f"{SEEDS}",
        f"{groups}",
        f"{100 * true:.2f}",
        rate(apart),
        rate(same),
        f"{100 * promised:.1f}",
        rate(different),
    ]
    return row, how


def main() -> None:
    studies = int(sys.argv[1]) if len(sys.argv) > 1 else 4500
    groups = int(sys.argv[2]) if len(sys.argv) > 2 else 60
    rows = simulated(studies)
    row, how = real(groups)
    head = [
        "pairs", "seeds", "how many", "margin, points", "as far apart as the margin, called the same, %",
        "equals called the same, %", "promised, %", "equals called different, %",
    ]  # fmt: skip
    told = f"Simulated with the luck of the table below, each kind equally often; real: {how}. [95 % interval]."
    write_calibration("calibration-same", head, [*rows, row], told, __file__)


if __name__ == "__main__":
    main()
