"""Intervals that need no pairing: a proportion's, and where one more run would fall."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fittingroom.metrics.crossed import estimate, half_width
from fittingroom.metrics.distributions import f_sf, normal_quantile, t_quantile
from fittingroom.spec.design import ALONE, Design

Values = Sequence[float] | np.ndarray
FEW_SEEDS = 5  # with fewer, a spread of its own says too little: three values can lie close together by luck


def wilson(successes: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's (1927) score interval of a proportion: `successes` of `n`. (0, 1) for n = 0.

    Covers other images drawn like these, for one set of weights. Unlike p ± 1.96 √(p(1-p)/n) it stays inside 0 … 1 and
    holds its level near 100 %, where good classifiers live.

    >>> [round(x, 4) for x in wilson(9361, 10_000)]
    [0.9311, 0.9407]
    """
    return _score_interval(successes, n, normal_quantile((1 + level) / 2))


def proportion(right_N: np.ndarray, design: Design = ALONE, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of the share of `right_N` (N,) bool, of as many images as these are worth by their `design`.

    They are worth N over their design effect (Kish 1965; Korn & Graubard 1998): as many as there are groups where images of a
    group are alike. Student's t for the few groups takes the normal's place.

    >>> alone = proportion(np.array([True, True, False, True]))
    >>> pairs = proportion(np.array([True, True, False, False]), Design(groups_N=np.array([0, 0, 1, 1])))
    >>> alone == wilson(3, 4), pairs[1] - pairs[0] > 0.9
    (True, True)
    """
    n, right = len(right_N), float(np.sum(right_N))
    if not n or (not design.folds and design.groups in (0, n)):
        return wilson(int(right), n, level)
    e = estimate(np.asarray(right_N, np.float64)[None], design)
    p = right / n
    worth = e.units / e.shared  # all alike: nothing shows that images of a group are worth more than one
    if 0 < p < 1:
        worth = min(float(n), p * (1 - p) / e.error**2) if e.error else float(n)
    z = float(half_width(e.shares, level)) / e.error if e.error else _t(level, e.df)
    return _score_interval(p * worth, worth, z)


def _score_interval(successes: float, n: float, z: float) -> tuple[float, float]:
    if n == 0:
        return 0.0, 1.0
    p = successes / n
    centre, half = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low, high = (centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)
    return (0.0 if successes == 0 else low), (1.0 if successes == n else high)


@dataclass(frozen=True)
class Spread:
    """A standard deviation between runs that differ in their seed, and how well it is known."""

    sd: float
    df: int  # degrees of freedom; 0: unknown
    pooled: bool = False  # over several recipes


def own_spread(values: Values) -> Spread:
    """The spread of one recipe's runs.

    >>> own_spread([0.91, 0.93]).df
    1
    """
    return Spread(float(np.std(values, ddof=1)), len(values) - 1) if len(values) > 1 else Spread(math.nan, 0)


def spread(own: Values, others: Sequence[Values]) -> Spread:
    """The spread to judge `own` by: its own with at least `FEW_SEEDS` runs, else pooled with that of `others`.

    Pooling weighs each recipe's variance by its degrees of freedom. A recipe whose runs differ clearly more than the
    others' (F test, 5 %) keeps its own spread, for the pool would flatter it. NaN with df 0 if nothing is known.

    >>> spread([0.90, 0.91], [[0.90, 0.92], [0.88, 0.89, 0.90]]).df
    4
    """
    mine, rest = own_spread(own), [own_spread(values) for values in others if len(values) > 1]
    rest_df = sum(s.df for s in rest)
    if mine.df >= FEW_SEEDS - 1 or not rest_df:
        return mine
    rest_ss = sum(s.df * s.sd**2 for s in rest)
    if mine.df and rest_ss > 0 and f_sf(mine.sd**2 / (rest_ss / rest_df), mine.df, rest_df) < 0.05:
        return mine
    own_ss = mine.df * mine.sd**2 if mine.df else 0.0
    return Spread(math.sqrt((own_ss + rest_ss) / (mine.df + rest_df)), mine.df + rest_df, pooled=True)


def prediction(values: Values, known: Spread, level: float = 0.95) -> tuple[float, float]:
    """Where one more run, with another seed and the same images, would fall: mean ± t·sd·√(1 + 1/n).

    (-inf, inf) if the spread is unknown. (Hahn & Meeker, *Statistical Intervals*, 1991, ch. 4.)

    >>> low, high = prediction([0.90, 0.91, 0.92], own_spread([0.90, 0.91, 0.92]))
    >>> round(low, 3), round(high, 3)
    (0.86, 0.96)
    """
    return _around(values, known, math.sqrt(1 + 1 / len(values)), level)


def mean_interval(values: Values, level: float = 0.95) -> tuple[float, float]:
    """Student's t interval of a mean over seeds; (-inf, inf) for one value."""
    return _around(values, own_spread(values), math.sqrt(1 / len(values)), level)


def _around(values: Values, known: Spread, sds: float, level: float) -> tuple[float, float]:
    """Mean ± t · `sds` standard deviations; everything, if the spread is unknown."""
    mean, half = float(np.mean(values)), _t(level, known.df) * known.sd * sds if known.df else math.inf
    return mean - half, mean + half


def welch(a: Values, b: Values, as_ratio: bool = False, level: float = 0.95) -> tuple[float, tuple[float, float]]:
    """The difference of two means over seeds, a - b, and its interval (Welch 1947): unpaired, with spreads of their own.

    `as_ratio` (of positive values, which scatter by a factor) gives the ratio of geometric means instead, by way of
    logarithms. Infinite ends if a side has one value.

    >>> value, (low, high) = welch([2.0, 2.2], [1.0, 1.1, 0.9])
    >>> round(value, 2), low < 1.1 < high
    (1.1, True)
    """
    x, y = (np.asarray(side, np.float64) for side in (a, b))
    if as_ratio:  # what never moved at all counts as the smallest number there is
        x, y = (np.log(np.maximum(side, np.finfo(float).tiny)) for side in (x, y))
    value, half = float(x.mean() - y.mean()), math.inf
    if min(len(x), len(y)) > 1:
        parts = [(float(side.var(ddof=1)) / len(side), len(side) - 1) for side in (x, y)]
        variance = sum(v for v, _ in parts)
        df = variance**2 / sum(v**2 / n for v, n in parts) if variance else 1.0
        half = _t(level, df) * math.sqrt(variance)
    if as_ratio:
        return math.exp(value), (math.exp(value - half), math.exp(value + half) if value + half < 700 else math.inf)
    return value, (value - half, value + half)


def _t(level: float, df: float) -> float:
    return float(t_quantile((1 + level) / 2, df))
