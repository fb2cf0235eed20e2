"""Is the verdict as honest as it says? Simulated and real studies whose truth is known; writes docs/statistics.md.

    python benchmarks/verdict_calibration.py [RUNS_DIR] [GROUPS]

Simulated: variance components are taken from every pair of recipes with at least 3 seeds in RUNS_DIR. Studies drawn with
them and no difference must be called "different" at most 5 times in 100; studies with the difference that `detectable`
promises must be found 80 times in 100.

Real: one tiny recipe is trained with seeds that no two groups share. A group is a study of 3 seeds against 3 seeds of the
same recipe (A/A), or of the recipe with half the training images (A/B). 10,000 training images that no
training sees stand in for the test set, which is not read.
"""

from __future__ import annotations

import datetime
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
from pages import write_block

from fittingroom.metrics.crossed import Estimate, detectable, estimate, power
from fittingroom.metrics.intervals import wilson
from fittingroom.metrics.pairs import paired
from fittingroom.store import Runs, load_run

STUDIES, IMAGES = 5000, 10_000
SEEDS = 3
TRAIN, FEWER, UNSEEN = 3000, 1500, 10_000


def components(runs: Runs) -> list[Estimate]:
    """What the seeds and images did in each pair of real recipes."""
    loaded: dict[tuple[str, str], list[tuple[int, np.ndarray]]] = {}
    for folder in runs.list():
        if folder.done and folder.metrics.test:
            run = load_run(folder)
            right = run.logits_NK.argmax(1) == run.labels_N
            key = (run.data.name, f"{run.name}-{run.recipe.train.epochs}")
            loaded.setdefault(key, []).append((run.seed, right))
    groups = {key: dict(group) for key, group in loaded.items() if len(group) >= SEEDS}
    found = []
    for (da, a), (db, b) in combinations(groups, 2):
        if da == db:
            x, y = groups[da, a], groups[db, b]
            i, j = paired(sorted(x), sorted(y))
            xs, ys = [x[s] for s in sorted(x)], [y[s] for s in sorted(y)]
            found.append(estimate(np.stack([xs[k].astype(np.int8) - ys[m] for k, m in zip(i, j, strict=True)])))
    return found


def simulated(rng: np.random.Generator, e: Estimate, seeds: int, difference: float) -> Estimate:
    sd = np.sqrt([e.var_seed, e.var_image, e.var_rest])
    x = difference + sd[0] * rng.normal(size=(seeds, 1)) + sd[1] * rng.normal(size=(1, IMAGES))
    return estimate(x + sd[2] * rng.normal(size=(seeds, IMAGES)))


def simulate(real: list[Estimate]) -> list[str]:
    rng = np.random.default_rng(0)
    unruly = sorted(real, key=lambda e: -e.var_seed)[: max(1, len(real) // 10)]
    lines = []
    for seeds in (2, 3, 5):
        same = [simulated(rng, real[rng.integers(len(real))], seeds, 0.0).p for _ in range(STUDIES)]
        wild = [simulated(rng, unruly[rng.integers(len(unruly))], seeds, 0.0).p for _ in range(STUDIES)]
        found = 0
        for _ in range(STUDIES):
            e = real[rng.integers(len(real))]
            at = simulated(rng, e, seeds, detectable(replace(e, seeds=seeds)))
            found += at.p < 0.05 and at.mean > 0
        told = f"{seeds} | {STUDIES:,}"
        for name, p in (("", np.array(same)), (", the unruly tenth of the pairs", np.array(wild))):
            lines.append(
                f"| simulated, no difference{name} | {told} | {rate(int((p < 0.05).sum()), STUDIES)} | at most 5 |"
            )
            strict = rate(int((p < 0.005).sum()), STUDIES)
            lines.append(f"| the same, as the first of ten pairs (Holm) | {told} | {strict} | at most 0.5 |")
        lines.append(f"| simulated, the difference promised for 80 % power | {told} | {rate(found, STUDIES)} | 80 |")
    return lines


def rate(hits: int, of: int) -> str:
    low, high = wilson(hits, of)
    return f"{100 * hits / of:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def right_of(task: tuple[int, int]) -> np.ndarray:
    """Which of the unseen images one training of the tiny recipe gets right (N,) bool."""
    seed, n = task
    from fittingroom.data import load
    from fittingroom.spec.read import read_recipe
    from fittingroom.training import fit, predict, prepare_process

    prepare_process(1)
    train = load("fashion-mnist").train
    rows = np.random.default_rng(0).permutation(len(train))
    unseen = train.take(rows[:UNSEEN])
    recipe = read_recipe("readme-004-mlp", ["train.epochs=3", "train.precision=fp32", "optimizer.lr=2e-3"])
    *_, last = fit(recipe, train.take(rows[UNSEEN : UNSEEN + n]), None, seed=seed)
    return np.asarray(predict(last.model, unseen).argmax(1) == unseen.labels_N)


def trained(groups: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Which unseen images the trainings get right: a recipe (groups, 2, SEEDS, UNSEEN), itself with half the images (groups,
    SEEDS, UNSEEN); and in words what that was."""
    tasks = [(seed, n) for n, count in ((TRAIN, 2 * SEEDS), (FEWER, SEEDS)) for seed in range(groups * count)]
    tasks = [(s if n == TRAIN else 1_000_000 + s, n) for s, n in tasks]
    started = time.perf_counter()
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(2) as pool:
        right = np.stack(list(pool.map(right_of, tasks, chunksize=8))).astype(np.int8)
    a, b = right[: groups * 2 * SEEDS], right[groups * 2 * SEEDS :]
    a = a.reshape(groups, 2, SEEDS, UNSEEN)
    accuracy = f"{100 * a.mean():.1f} % of the unseen images right"
    told = f"{len(tasks):,} trainings, on average {accuracy}, {time.perf_counter() - started:.0f} s in all"
    return a, b.reshape(groups, SEEDS, UNSEEN), told


def real_groups(groups: int) -> tuple[list[str], str]:
    a, b, how = trained(groups)
    same = [estimate(g[0] - g[1]) for g in a]
    worse = [estimate(g[0] - h) for g, h in zip(a, b, strict=True)]
    true = float(a.mean() - b.mean())
    typical = estimate((a[:, 0] - b).reshape(-1, UNSEEN))
    promised = power(typical, true, SEEDS)
    false, found = sum(e.p < 0.05 for e in same), sum(e.p < 0.05 and e.mean > 0 for e in worse)
    covered = sum(e.interval()[0] <= true <= e.interval()[1] for e in worse)
    told, less = f"{SEEDS} | {groups}", f"against itself with half the images, {100 * true:.2f} points worse"
    lines = [
        f"| real, A/A: a recipe against itself | {told} | {rate(false, groups)} | at most 5 |",
        f"| real, A/B: {less} | {told} | {rate(found, groups)} | {100 * promised:.0f} |",
        f"| real, A/B: the interval holds that difference | {told} | {rate(covered, groups)} | 95 |",
    ]
    return lines, how


def main() -> None:
    from fittingroom.study.sharing import cpu_name

    runs = Runs(Path(sys.argv[1] if len(sys.argv) > 1 else "runs"))
    groups = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    real = components(runs)
    measured, how = real_groups(groups)
    spans = [
        np.sqrt([e.var_seed for e in real]),
        np.sqrt([e.var_image for e in real]),
        np.sqrt([e.var_rest for e in real]),
    ]
    ranges = ", ".join(
        f"{name} {100 * s.min():.2f} … {100 * s.max():.2f}"
        for name, s in zip(("seeds", "images", "rest"), spans, strict=True)
    )
    block = [
        "| studies | seeds | how many | called different (last row: held), % [95 % interval] | should be |",
        "|---|---|---|---|---|",
        *simulate(real),
        *measured,
        "",
        f"Simulated with the variance components of {len(real)} real pairs of recipes (standard deviations, in points of a "
        f"difference: {ranges}). Real: {how}. Written by `benchmarks/verdict_calibration.py`, {cpu_name()}, "
        f"{datetime.date.today()}.",
    ]
    write_block("docs/statistics.md", "calibration", block)
    print("\n".join(block))


if __name__ == "__main__":
    main()
