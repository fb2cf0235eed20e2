"""Is the verdict honest where images belong together? Studies of equals, simulated and real; writes docs/statistics.md.

    python benchmarks/group_calibration.py [STUDIES]

Simulated: what images do, alone and with seeds, belongs to their group by a share of 0, 0.2 or 0.8; equal groups, and very
unequal ones. Real: one tiny recipe is trained with seeds that no two studies share (see verdict_calibration.py), and each study
of three seeds against three is scored on unseen images in clusters that look alike.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import numpy as np
from pages import write_calibration
from verdict_calibration import SEEDS, TRAIN, UNSEEN, rate, right_of

from fittingroom.metrics.crossed import Estimate, detectable, estimate
from fittingroom.spec.design import Design

STUDIES, EACH = 2000, 20  # simulated studies a row, images of a group
SEED_SD = 0.02  # what seeds do, where images do 1
CLUSTERS = 300  # of unseen images


def drawn(rng: np.random.Generator, size_G: np.ndarray, rho: float, difference: float) -> tuple[np.ndarray, Design]:
    """What a study of two recipes finds (S,N), and the groups of its images."""
    groups_N = np.repeat(np.arange(len(size_G)), size_G)

    def shared(rows: int) -> np.ndarray:
        of_group, own = rng.normal(size=(rows, len(size_G))), rng.normal(size=(rows, len(groups_N)))
        return np.asarray(np.sqrt(rho) * of_group[:, groups_N] + np.sqrt(1 - rho) * own)

    return difference + SEED_SD * rng.normal(size=(SEEDS, 1)) + shared(1) + shared(SEEDS), Design(groups_N)


def sizes(rng: np.random.Generator, groups: int, kind: str) -> np.ndarray:
    """How many images each group has."""
    if kind == "equal":
        return np.full(groups, EACH)
    return np.maximum(1, np.rint(EACH * np.exp(rng.normal(size=groups) - 0.5))).astype(int)


def simulated(rng: np.random.Generator, groups: int, kind: str, rho: float) -> list[str]:
    """A row: false differences, by the interval that knows groups and by the one that does not; and the power promised."""
    studies = [drawn(rng, sizes(rng, groups, kind), rho, 0.0) for _ in range(STUDIES)]
    knows, careless = [estimate(*study) for study in studies], [estimate(x_SN) for x_SN, _ in studies]
    power = "–"
    if kind == "equal":
        spread = rho + (1 - rho) / EACH  # of a group's mean
        truth = replace(knows[0], var_seed=SEED_SD**2, var_image=spread, var_rest=spread)
        promised = detectable(truth)
        found = [estimate(*drawn(rng, sizes(rng, groups, kind), rho, promised)) for _ in range(STUDIES)]
        power = rate(sum(e.p < 0.05 and e.mean > 0 for e in found), STUDIES)
    return [str(groups), kind, f"{rho:g}", *compared(knows, careless), power]


def compared(knows: list[Estimate], careless: list[Estimate]) -> list[str]:
    """How often each kind of interval calls equals different, and how much wider the first is."""

    def half(found: list[Estimate]) -> float:
        return float(np.median([np.diff(e.interval()) for e in found]))

    false, before = (rate(sum(e.p < 0.05 for e in found), len(found)) for found in (knows, careless))
    return [false, before, f"{half(knows) / half(careless):.2f}"]


def real(studies: int) -> list[list[str]]:
    """Rows of real A/A studies."""
    from sklearn.cluster import MiniBatchKMeans

    from fittingroom.data import load

    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(2) as pool:
        right = pool.map(right_of, [(seed, TRAIN) for seed in range(studies * 2 * SEEDS)], chunksize=8)
        right_TSN = np.stack(list(right)).astype(np.int8).reshape(studies, 2, SEEDS, UNSEEN)
    train = load("fashion-mnist").train
    unseen = train.images_NCHW[np.random.default_rng(0).permutation(len(train))[:UNSEEN]]
    flat = unseen.reshape(len(unseen), -1).astype(np.float32)
    cluster_N = MiniBatchKMeans(CLUSTERS, random_state=0, n_init=1).fit_predict(flat)
    large = np.flatnonzero(np.bincount(cluster_N) >= EACH)
    rows, rng = [], np.random.default_rng(0)
    for groups in (10, 25, 100):
        knows, careless = [], []
        for a_SN, b_SN in right_TSN:
            chosen = rng.choice(large, groups, replace=False)
            mine = np.concatenate([rng.choice(np.flatnonzero(cluster_N == c), EACH, replace=False) for c in chosen])
            x_SN = (a_SN - b_SN)[:, mine]
            knows.append(estimate(x_SN, Design(np.repeat(np.arange(groups), EACH))))
            careless.append(estimate(x_SN))
        rows.append([f"{groups}, real", "equal", "pictures that look alike", *compared(knows, careless), "–"])
    return rows


def main() -> None:
    studies, rng = int(sys.argv[1]) if len(sys.argv) > 1 else 200, np.random.default_rng(0)
    rows = [
        simulated(rng, groups, kind, rho)
        for groups in (5, 10, 25, 100)
        for kind in ("equal", "unequal")
        for rho in (0.0, 0.2, 0.8)
    ]
    head = [
        "groups", "sizes", "correlation within", "equals called different, %", "by the interval that knows no groups, %",
        "times as wide as that", "found, of the difference promised for 80 % power, %",
    ]  # fmt: skip
    how = (
        f"{SEEDS} seeds; {EACH} images a group (unequal: log-normal, from one to hundreds); {STUDIES:,} simulated studies a row, "
        f"{studies} real ones; [95 % interval]."
    )
    write_calibration("calibration-groups", head, [*rows, *real(studies)], how, __file__)


if __name__ == "__main__":
    main()
