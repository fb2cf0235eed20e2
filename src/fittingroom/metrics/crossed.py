"""Means and paired differences with seeds and images as crossed random effects.

Two things make a measured accuracy wobble: another seed would give other weights, and another test set would hold other
images. Every seed meets every image, so the two are crossed, and a two-way analysis of variance takes them apart:

    x_si = mean + seed_s + image_i + rest_si
    Var(mean over S seeds, N images) = (MS_seed + MS_image - MS_rest) / (S·N)

(Searle, Casella & McCulloch, *Variance Components*, 1992, ch. 4.) The first part, what the seeds do, is known from S - 1
degrees of freedom only, and with two or three seeds it can look small by luck. So each part's variance gets the t quantile
of its own degrees of freedom, and the two are averaged, weighted by the variances (Cochran & Cox, *Experimental Designs*,
1957, §4.14). That keeps its word with few seeds, and in the tail where Holm's correction reads; Satterthwaite's degrees of
freedom, large by luck just when the variance is small by luck, do not (docs/log.md 2026-11-20). Unlike McNemar's test, which
describes one pair of weights, this generalises to new seeds.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special, stats
from scipy.optimize import brentq

MOST_SEEDS = 100  # beyond this we say "more than", not a number
POWER = 0.80
LEAST_LOG_P = math.log(1e-12)  # what is smaller is given as 0
NODES, FEW_NODES = 200, 10  # of the average over what the mean squares of seeds and of images can be

Shares = Sequence[tuple[Any, float]]  # parts of a mean's variance, each with its degrees of freedom


@dataclass(frozen=True)
class Estimate:
    """A mean with its p-value against zero. With one seed it knows nothing of seeds."""

    mean: float
    shares: Shares  # of the mean's variance
    p: float
    seeds: int
    images: int
    var_seed: float  # variance components, not below 0; NaN with one seed
    var_image: float
    var_rest: float

    @property
    def error(self) -> float:
        """The standard error of the mean."""
        return math.sqrt(sum(variance for variance, _ in self.shares))

    @property
    def images_dominate(self) -> bool:
        """Whether the test images, not the seeds, make most of the uncertainty."""
        return self.var_image / self.images > 0.5 * self.error**2

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The confidence interval at `level`."""
        half = float(half_width(self.shares, level))
        return self.mean - half, self.mean + half


def estimate(x_SN: np.ndarray) -> Estimate:
    """The mean of `x_SN` (S seeds, N images; 0/1 for right or wrong, -1/0/1 for a difference) as an `Estimate`.

    >>> e = estimate(np.array([[1, 0, 1, 1], [1, 1, 1, 0]]))
    >>> e.mean, e.interval()[0] < 0.75 < e.interval()[1]
    (0.75, True)
    """
    x_SN = np.asarray(x_SN, np.float64)
    s, n = x_SN.shape
    mean = float(x_SN.mean())
    if s == 1:
        shares: Shares = ((float(x_SN[0].var(ddof=1)) / n if n > 1 else 0.0, max(1, n - 1)),)
        return Estimate(mean, shares, p_value(mean, shares), s, n, math.nan, math.nan, math.nan)
    seed_S, image_N = x_SN.mean(1) - mean, x_SN.mean(0) - mean
    rest_SN = x_SN - mean - seed_S[:, None] - image_N[None, :]
    ms_seed = n * float(seed_S @ seed_S) / (s - 1)
    ms_image = s * float(image_N @ image_N) / max(1, n - 1)
    ms_rest = float((rest_SN**2).sum()) / max(1, (s - 1) * (n - 1))
    shares = _shares(ms_seed, ms_image, ms_rest, s, n)
    var_seed, var_image = max(0.0, (ms_seed - ms_rest) / n), max(0.0, (ms_image - ms_rest) / s)
    return Estimate(mean, shares, p_value(mean, shares), s, n, var_seed, var_image, ms_rest)


def _shares(ms_seed: Any, ms_image: Any, ms_rest: Any, s: int, n: int) -> Shares:
    """What seeds and images add to the variance of the mean, from mean squares (numbers or arrays).

    A mean square of seeds below the rest's is luck, since it holds the rest: what is missing is made up, and well known.
    """
    missing, by_image = np.maximum(0.0, ms_rest - ms_seed), np.maximum(0.0, ms_image - ms_rest)
    few, many = s - 1, max(1, n - 1)
    return (ms_seed / (s * n), few), (missing / (s * n), few * many), (by_image / (s * n), many)


def half_width(shares: Shares, level: float) -> Any:
    """Half the interval at `level` of a mean whose variance comes in independent `shares` (numbers or arrays).

    >>> float(half_width([(4.0, 1e9)], 0.95).round(2)), float(half_width([(4.0, 2)], 0.95).round(2))
    (3.92, 8.61)
    """
    total = sum(variance for variance, _ in shares)
    weighted = sum(variance * -special.stdtrit(df, (1 - level) / 2) for variance, df in shares)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, weighted / np.sqrt(total), 0.0)[()]


def p_value(mean: float, shares: Shares) -> float:
    """The p-value of `mean` against zero: 1 less the level at which its interval begins to hold zero.

    >>> round(p_value(1.96, [(1.0, 1e9)]), 3), p_value(0.0, [(1.0, 2)]), p_value(1.0, [(0.0, 2)])
    (0.05, 1.0, 0.0)
    """
    distance = abs(mean)
    if distance == 0 or sum(variance for variance, _ in shares) == 0:
        return float(distance == 0)

    def beyond(log_p: float) -> float:
        return float(half_width(shares, 1 - math.exp(log_p))) - distance

    # 1 - p is rounded to p's absolute, not relative, size: nobody needs a p-value below 1e-12
    if beyond(LEAST_LOG_P) < 0:
        return 0.0
    return math.exp(brentq(beyond, LEAST_LOG_P, 0.0, xtol=1e-9))


def power(e: Estimate, difference: float, seeds: int, level: float = 0.95) -> float:
    """The chance that a true `difference` is resolved with `seeds` seeds and these images, if the variance components
    are those of `e`. NaN if `e` has one seed, which shows no components.

    The mean is independent of the mean squares, which are multiples of chi-squares, so the chance is an average over what
    `estimate` could have found for them. (The noncentral t distribution, with the expected degrees of freedom, promises
    up to 0.1 too much with two or three seeds: docs/log.md 2026-11-20.)

    >>> e = estimate(np.random.default_rng(0).normal(0, 1, (3, 400)))
    >>> 0 <= power(e, 0.01, 3) < power(e, 0.2, 3) <= 1
    True
    """
    if math.isnan(e.var_seed):
        return math.nan
    n, rest = e.images, e.var_rest
    seed, image = n * e.var_seed + rest, seeds * e.var_image + rest
    variance = sum(share for share, _ in _shares(seed, image, rest, seeds, n))
    if variance == 0:
        return float(difference != 0)
    chances = (np.arange(NODES) + 0.5) / NODES
    seed_Q = seed * stats.chi2.ppf(chances, seeds - 1)[:, None] / (seeds - 1)
    few = (np.arange(FEW_NODES) + 0.5) / FEW_NODES
    image_Q = image * stats.chi2.ppf(few, n - 1)[None, :] / max(1, n - 1)
    least_QQ = half_width(_shares(seed_Q, image_Q, rest, seeds, n), level)
    return float(stats.norm.sf((least_QQ - abs(difference)) / math.sqrt(variance)).mean())


def seeds_needed(e: Estimate, level: float = 0.95, difference: float | None = None) -> int | None:
    """The fewest seeds (at least 2) that resolve `difference` (default: as large as `e.mean`) at `level` with 80 % power.

    None if no number would do, because this many test images are the limit. More than `MOST_SEEDS` is given as
    `MOST_SEEDS + 1`.
    """
    wanted = abs(e.mean if difference is None else difference)
    if math.isnan(e.var_seed) or wanted == 0:
        return None
    floor = math.sqrt(e.var_image / e.images)
    if (stats.norm.ppf((1 + level) / 2) + stats.norm.ppf(POWER)) * floor >= wanted:
        return None
    # power grows with the seeds: halving finds in 7 looks what a scan finds in up to 99
    return 2 + bisect_left(range(2, MOST_SEEDS + 1), POWER, key=lambda s: power(e, wanted, s, level))


def detectable(e: Estimate, level: float = 0.95) -> float:
    """The least true difference that `e.seeds` seeds would resolve at `level` with 80 % power; NaN with one seed.

    >>> e = estimate(np.random.default_rng(0).normal(0, 1, (3, 400)))
    >>> round(power(e, detectable(e), 3), 3)
    0.8
    """
    if math.isnan(e.var_seed) or e.error == 0:
        return math.nan if math.isnan(e.var_seed) else 0.0
    high = e.error
    while power(e, high, e.seeds, level) < POWER:
        high *= 2
    return float(brentq(lambda d: power(e, d, e.seeds, level) - POWER, 0.0, high, rtol=1e-6))


def holm(p_values: list[float], alpha: float = 0.05) -> list[tuple[float, float]]:
    """Holm's (1979) step-down test of several pairs: for each the adjusted p-value and the level of its interval.

    The k-th smallest of m p-values is held against alpha / (m - k + 1); from the first that fails on, all fail, at that
    one's level. An interval drawn at its pair's level holds zero exactly if the adjusted p-value is not below alpha, so
    picture and verdict never contradict each other.

    >>> [round(p, 2) for p, _ in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    m = len(p_values)
    found, running, stuck = [(1.0, 1 - alpha)] * m, 0.0, 0
    for rank, i in enumerate(np.argsort(p_values, kind="stable")):
        step = stuck or m - rank
        running = max(running, min(1.0, (m - rank) * p_values[i]))
        if running >= alpha:
            stuck = step
        found[int(i)] = (running, 1 - alpha / step)
    return found
