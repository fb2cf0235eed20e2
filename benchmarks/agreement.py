"""How alike are two models' mistakes, how far apart are seeds? What `fittingroom claims` reckons with; writes docs/statistics.md.

    python benchmarks/agreement.py RUNS_DIR

RUNS_DIR holds finished runs of several recipes on the same data, three seeds or more of each. Every pair of recipes and every two
of their runs is asked for the images that only one gets right. Then the reckoning is put to the test: the test images are halved
many times, one run of each recipe is "reported" on one half, and the order is looked at with *other* runs on the other half. What
was predicted for that (twice the error variance of the report) stands beside how often it came true.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
from pages import write_calibration
from scipy import stats

from fittingroom.metrics.crossed import estimate
from fittingroom.metrics.reported import ENOUGH, INDEPENDENCE, MIDDLE, REST, SEEDS, WORST, error
from fittingroom.spec.digest import digest
from fittingroom.spec.read import read_recipe, shipped_recipes
from fittingroom.spec.records import Share
from fittingroom.spec.reported import Figure
from fittingroom.store import Runs, load_run

FEWEST, HALVES, BOOTSTRAPS = 3, 200, 400
Recipes = dict[tuple[str, str], np.ndarray]  # which images each seed gets right (S,N), by data set and recipe
Pairs = list[tuple[tuple[str, str], tuple[str, str]]]
BINS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.97, 1.0)


def main() -> None:
    right: dict[tuple[str, str], list[np.ndarray]] = {}
    whole = set()  # what was trained as long as its recipe says: in a shorter training seeds scatter more
    for folder in Runs(Path(sys.argv[1])).list():
        if folder.done and folder.metrics.test:
            run = load_run(folder)
            key = (run.data.name, f"{run.name} {digest(run.recipe.deciding())}")
            own = shipped_recipes().get(run.name)
            if own and read_recipe(run.name).train.epochs == run.recipe.train.epochs and run.recipe.data.limit is None:
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
    how = f"{len(pairs)} pairs of recipes, {HALVES} halvings each; [95 % interval, recipes drawn anew]."
    head = ["predicted to come again", "orders", "on average, %", "came again, %"]
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


def reliability(recipes: Recipes, pairs: Pairs) -> list[list[str]]:
    """How often an order came again, by how often it was predicted to; then of those that are called supported or not.

    The 95 % intervals come of drawing the recipes again and again (a bootstrap of clusters): halvings of one pair are no
    independent evidence.
    """
    rng, names = np.random.default_rng(0), [*recipes]
    found = np.array(
        [one for x, y in pairs for one in _again(rng, names.index(x), names.index(y), recipes[x], recipes[y])]
    )
    weights_BR = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=BOOTSTRAPS)
    weight_BN = weights_BR[:, found[:, 0].astype(int)] * weights_BR[:, found[:, 1].astype(int)]
    predicted, worst, came = found[:, 2], found[:, 3], found[:, 4]
    rows = []
    for low, high in pairwise(BINS):
        mine = (predicted >= low) & (predicted <= high if high == 1 else predicted < high)
        rows.append([f"{100 * low:g} to {100 * high:g} %", *_row(mine, predicted, came, weight_BN)])
    rows.append(["called supported", *_row(worst >= ENOUGH, predicted, came, weight_BN)])
    return rows


def _again(rng: np.random.Generator, a: int, b: int, a_SN: np.ndarray, b_SN: np.ndarray) -> Iterator[tuple[float, ...]]:
    """Of two recipes by their numbers, for each halving: both, how probable it is that the order comes again, how probable it is
    at worst that it holds, and whether it came again."""
    n = a_SN.shape[1]
    for _ in range(HALVES):
        order = rng.permutation(n)
        half, other = order[: n // 2], order[n // 2 :]
        (i, k), (j, m) = rng.choice(len(a_SN), 2, False), rng.choice(len(b_SN), 2, False)
        p, q = a_SN[i, half].mean(), b_SN[j, half].mean()
        again = a_SN[k, other].mean() - b_SN[m, other].mean()
        if p == q or again == 0:
            continue
        figures = [Figure(name="", accuracy=float(v), rounding=0.0) for v in (p, q)]
        middle, most = (error(*figures, len(half), 1, *end) for end in (MIDDLE, WORST))
        difference = abs(p - q)
        came = (p > q) == (again > 0)
        yield a, b, stats.norm.cdf(difference / (middle * np.sqrt(2))), stats.norm.cdf(difference / most), came


def _row(mine: np.ndarray, predicted: np.ndarray, came: np.ndarray, weight_BN: np.ndarray) -> list[str]:
    drawn_BN = weight_BN[:, mine]
    total_B = drawn_BN.sum(1)
    shares = (drawn_BN[total_B > 0] @ came[mine]) / total_B[total_B > 0]
    low, high = np.quantile(shares, (0.025, 0.975))
    share = f"{100 * came[mine].mean():.1f} [{100 * low:.1f}, {100 * high:.1f}]"
    return [f"{mine.sum():,}", f"{100 * predicted[mine].mean():.1f}", share]


if __name__ == "__main__":
    main()
