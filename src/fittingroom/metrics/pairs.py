"""Pairs of recipes on the same images and seeds, judged together so that all of them share one error rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fittingroom.metrics.crossed import Estimate, estimate, holm
from fittingroom.spec.design import ALONE, Design


@dataclass(frozen=True)
class Bootstrapped:
    """The scores (S,B) that a recipe's seeds would have had with B other draws of the validation images, the same for all."""

    scores_SB: np.ndarray  # NaN where a draw allows no choice
    df: float

    def less(self, other: Bootstrapped, mine: Sequence[int], theirs: Sequence[int]) -> Bootstrapped:
        """The difference of paired runs."""
        return Bootstrapped(self.scores_SB[mine] - other.scores_SB[theirs], min(self.df, other.df))

    @property
    def share(self) -> tuple[float, float]:
        """What these validation images do to all seeds alike, as a part of the mean's variance, and its degrees of freedom.

        What they do to each seed by itself shows as a spread of the seeds, and is counted there. Infinite where nothing is known.
        """
        known_SB = self.scores_SB[:, np.isfinite(self.scores_SB).all(0)]
        s, b = known_SB.shape
        if b < 2:
            return math.inf, self.df
        mean_B = known_SB.mean(0)
        rest_SB = known_SB - mean_B - known_SB.mean(1, keepdims=True) + known_SB.mean()
        of_each = float((rest_SB**2).sum()) / ((s - 1) * (b - 1)) if s > 1 else 0.0
        return max(0.0, float(mean_B.var(ddof=1)) - of_each / s), self.df


@dataclass(frozen=True)
class Judged:
    """`better` is ahead of `worse` by `estimate.mean` (≥ 0); the interval is drawn at `level`, as Holm's correction asks."""

    better: str
    worse: str
    better_runs: Sequence[int]  # which runs of each were paired
    worse_runs: Sequence[int]
    estimate: Estimate
    low: float
    high: float
    level: float
    p: float  # adjusted
    resolved: bool
    early: bool = False  # too early to say anything

    def lies_within(self, margin: float) -> bool:
        """Whether the difference is known to be smaller than `margin`, either way."""
        e = self.estimate
        return not self.early and e.knows_luck and e.units > 1 and -margin < self.low and self.high < margin


def paired(seeds_a: Sequence[int], seeds_b: Sequence[int]) -> tuple[list[int], list[int]]:
    """Which runs of A and B go together: those of the same seed; where no seed is shared, in order.

    >>> paired([0, 1, 2], [1, 2, 3]), paired([0, 1], [5])
    (([1, 2], [0, 1]), ([0], [0]))
    """
    shared = [seed for seed in seeds_a if seed in set(seeds_b)]
    if shared:
        return [list(seeds_a).index(s) for s in shared], [list(seeds_b).index(s) for s in shared]
    n = min(len(seeds_a), len(seeds_b))
    return list(range(n)), list(range(n))


def judge_pairs(
    names: Sequence[tuple[str, str]],
    values_SN: Mapping[str, np.ndarray],
    seeds: Mapping[str, Sequence[int]],
    design: Design = ALONE,
    bootstrapped: Mapping[str, Bootstrapped] | None = None,
    others: int = 0,
    allowance: Callable[[Estimate], float] = lambda e: 1.0,
) -> list[Judged]:
    """Judge each pair of `names` by what every seed gives every image (S,N), of which more is better.

    `design` says what the images share, `bootstrapped` how the scores of each would be with other validation images. So many
    `others` share the error rate without being judged now; a p-value has to be `allowance` times smaller than it else had.

    >>> values = {"a": np.ones((2, 4)), "b": np.zeros((2, 4))}
    >>> judge_pairs([("b", "a")], values, {"a": [0, 1], "b": [0, 1]})[0].better
    'a'
    """
    found = []
    for a, b in names:
        i, j = paired(seeds[a], seeds[b])
        e = estimate(values_SN[a][i] - values_SN[b][j], design)
        if bootstrapped:
            e = e.plus(*bootstrapped[a].less(bootstrapped[b], i, j).share)
        if e.mean < 0:  # on the seeds that both have, the order can be another than on all seeds
            found.append((b, a, j, i, replace(e, mean=-e.mean)))
        else:
            found.append((a, b, i, j, e))
    times = [allowance(e) for *_, e in found]
    corrected = holm([*(min(1.0, e.p * t) for (*_, e), t in zip(found, times, strict=True)), *[1.0] * others])
    judged = []
    for (a, b, i, j, e), t, (p, whole) in zip(found, times, corrected[: len(found)], strict=True):
        level = 1 - (1 - whole) / t
        resolved = e.knows_luck and e.units > 1 and p < 0.05
        judged.append(Judged(a, b, i, j, e, *e.interval(level), level, p, resolved))
    return judged
