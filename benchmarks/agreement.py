"""How alike are two models' mistakes, how far apart are seeds? What `fittingroom claims` reckons with; writes docs/statistics.md.

    python benchmarks/agreement.py RUNS_DIR

RUNS_DIR holds finished runs of several recipes on the same data, three seeds or more of each. Every pair of recipes and every two
of their runs is asked for the images that only one gets right. Then the reckoning is put to the test: the test images are halved
many times, one run of each recipe is "reported" on one half, and the order is looked at with *other* runs on the other half. What
was predicted for that (twice the error variance of the report) stands beside how often it came true.
"""

from __future__ import annotations

import sys
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
from pages import write_calibration
from scipy import stats

from fittingroom.metrics.crossed import estimate
from fittingroom.metrics.intervals import wilson
from fittingroom.metrics.reported import INDEPENDENCE, REST, SEEDS, error
from fittingroom.spec.read import read_recipe, shipped_recipes
from fittingroom.spec.records import Share
from fittingroom.spec.reported import Figure
from fittingroom.store import Runs, load_run

FEWEST, HALVES = 3, 200
BINS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.97, 1.0)


def main() -> None:
    right: dict[tuple[str, str], list[np.ndarray]] = {}
    whole = set()  # what was trained as long as its recipe says: in a shorter training seeds scatter more
    for folder in Runs(Path(sys.argv[1])).list():
        if folder.done and folder.metrics.test:
            run = load_run(folder)
            key = (run.data.name, f"{run.name} {run.recipe.train.epochs} {run.recipe.data.limit}")
            own = shipped_recipes().get(run.name)
            if own and read_recipe(run.name).train.epochs == run.recipe.train.epochs:
                whole.add(key)
            right.setdefault(key, []).append(run.logits_NK.argmax(1) == run.labels_N)
    recipes = {key: np.stack(found) for key, found in right.items() if len(found) >= FEWEST}
    pairs = [(x, y) for x, y in combinations(recipes, 2) if x[0] == y[0]]
    parts = [part for x, y in pairs for a in recipes[x] for b in recipes[y] if (part := part_of(a, b)) is not None]
    seeds = [seeds_of(found) for key, found in recipes.items() if key in whole]
    rests = [rest_of(recipes[x], recipes[y]) for x, y in pairs]
    names = sorted({name for name, _ in recipes})
    rows = [
        ["independence of mistakes (0: as alike as can be, 1: by chance)", *quantiles(parts), taken(INDEPENDENCE)],
        ["sd of seeds / √(accuracy (1 − accuracy)), points, of those trained to their end", *quantiles(seeds), taken(SEEDS)],
        ["what images do to a pair of runs and not to the next", *quantiles(rests), f"{REST:g}"],
    ]  # fmt: skip
    accuracy = [100 * found.mean() for found in recipes.values()]
    how = (
        f"{len(recipes)} recipes ({min(accuracy):.1f} to {max(accuracy):.1f} % right) on {' and '.join(names)}, "
        f"{len(pairs)} pairs, {sum(map(len, recipes.values()))} runs."
    )
    write_calibration("agreement", ["of pairs of our recipes", "5 %", "median", "95 %", "taken"], rows, how, __file__)
    tested = reliability(recipes, pairs)
    how = f"{len(pairs)} pairs of recipes, {HALVES} halvings each; [95 % interval as if all were independent]."
    head = ["predicted, %", "orders", "mean of what was predicted, %", "came true, %"]
    write_calibration("agreement-held", head, tested, how, __file__)


def part_of(a: np.ndarray, b: np.ndarray) -> float | None:
    """Where the share of images that only one gets right lies, between as few as can be (0) and independent mistakes (1)."""
    p, q = a.mean(), b.mean()
    least, independent = abs(p - q), p * (1 - q) + q * (1 - p)
    return float(((a != b).mean() - least) / (independent - least)) if independent > least else None


def seeds_of(right_SN: np.ndarray) -> float:
    p = right_SN.mean()
    return float(100 * np.sqrt(estimate(right_SN.astype(float)).var_seed / (p * (1 - p))))


def rest_of(a_SN: np.ndarray, b_SN: np.ndarray) -> float:
    s = min(len(a_SN), len(b_SN))
    e = estimate(a_SN[:s].astype(float) - b_SN[:s])
    return e.var_rest / (e.var_rest + e.var_image)


def taken(share: Share) -> str:
    return f"{share.low:g}, {share.value:g}, {share.high:g}"


def quantiles(values: list[float]) -> list[str]:
    return [f"{q:.2f}" for q in np.quantile(values, (0.05, 0.5, 0.95))]


def reliability(
    recipes: dict[tuple[str, str], np.ndarray], pairs: list[tuple[tuple[str, str], tuple[str, str]]]
) -> list[list[str]]:
    """How often an order came again, by how often it was predicted to."""
    rng = np.random.default_rng(0)
    predicted, held = [], []
    for x, y in pairs:
        a_SN, b_SN = recipes[x], recipes[y]
        n = a_SN.shape[1]
        for _ in range(HALVES):
            half = rng.permutation(n)[: n // 2]
            other = np.setdiff1d(np.arange(n), half)
            (i, k), (j, m) = rng.choice(len(a_SN), 2, False), rng.choice(len(b_SN), 2, False)
            p, q = a_SN[i, half].mean(), b_SN[j, half].mean()
            again = a_SN[k, other].mean() - b_SN[m, other].mean()
            if p == q or again == 0:
                continue
            figures = [Figure(name="", accuracy=float(v), rounding=0.0) for v in (p, q)]
            sd = error(*figures, len(half), 1, INDEPENDENCE.value, SEEDS.value)
            predicted.append(float(stats.norm.cdf(abs(p - q) / (sd * np.sqrt(2)))))
            held.append((p > q) == (again > 0))
    found, came = np.array(predicted), np.array(held)
    rows = []
    for low, high in pairwise(BINS):
        mine = (found >= low) & (found < high if high < 1 else found <= 1)
        if mine.any():
            ends = wilson(int(came[mine].sum()), int(mine.sum()))
            share = f"{100 * came[mine].mean():.1f} [{100 * ends[0]:.1f}, {100 * ends[1]:.1f}]"
            rows.append(
                [f"{100 * low:g} to {100 * high:g}", f"{mine.sum():,}", f"{100 * found[mine].mean():.1f}", share]
            )
    return rows


if __name__ == "__main__":
    main()
