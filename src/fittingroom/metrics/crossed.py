"""Means and paired differences with seeds and images as crossed random effects.

Two things make a measured accuracy wobble: another seed would give other weights, and another test set would hold other
images. Every seed meets every image, so the two are crossed, and a two-way analysis of variance takes them apart:

    x_si = mean + seed_s + image_i + rest_si
    Var(mean over S seeds, N images) = (MS_seed + MS_image - MS_rest) / (S·N)

(Searle, Casella & McCulloch, *Variance Components*, 1992, ch. 4.) The degrees of freedom are Satterthwaite's (1946), so
that two or three seeds give honestly wide intervals. Unlike McNemar's test, which describes one pair of weights, this
generalises to new seeds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

MOST_SEEDS = 100  # beyond this we say "more than", not a number
POWER = 0.80


@dataclass(frozen=True)
class Estimate:
    """A mean with its standard error and p-value against zero. With one seed the error knows nothing of seeds."""

    mean: float
    error: float  # standard error of the mean
    df: float
    p: float
    seeds: int
    images: int
    var_seed: float  # variance components, not below 0; NaN with one seed
    var_image: float
    var_rest: float

    @property
    def images_dominate(self) -> bool:
        """Whether the test images, not the seeds, make most of the uncertainty."""
        return self.var_image / self.images > 0.5 * self.error**2

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The confidence interval at `level`."""
        half = float(stats.t.ppf((1 + level) / 2, self.df)) * self.error
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
        variance, df = float(x_SN[0].var(ddof=1)) / n if n > 1 else 0.0, float(max(1, n - 1))
        return _estimate(mean, variance, df, s, n, (math.nan,) * 3)
    seed_S, image_N = x_SN.mean(1) - mean, x_SN.mean(0) - mean
    rest_SN = x_SN - mean - seed_S[:, None] - image_N[None, :]
    ms_seed = n * float(seed_S @ seed_S) / (s - 1)
    ms_image = s * float(image_N @ image_N) / max(1, n - 1)
    ms_rest = float((rest_SN**2).sum()) / max(1, (s - 1) * (n - 1))
    components = (
        max(0.0, (ms_seed - ms_rest) / n),
        max(0.0, (ms_image - ms_rest) / s),
        ms_rest,
    )
    variance = components[0] / s + components[1] / n + components[2] / (s * n)
    # Satterthwaite: each mean square's share of the variance, squared, over its own degrees of freedom
    shares = ((ms_seed, s - 1), (ms_image, n - 1), (-ms_rest, (s - 1) * (n - 1)))
    total = sum(ms for ms, _ in shares)
    spread = sum(ms**2 / dof for ms, dof in shares if dof)
    df = total**2 / spread if spread and total > 0 else float(s - 1)
    return _estimate(mean, variance, max(1.0, df), s, n, components)


def _estimate(
    mean: float, variance: float, df: float, s: int, n: int, components: tuple[float, float, float]
) -> Estimate:
    error = math.sqrt(variance)
    p = float(2 * stats.t.sf(abs(mean) / error, df)) if error else float(mean == 0)
    return Estimate(mean, error, df, p, s, n, *components)


def seeds_needed(e: Estimate, level: float = 0.95) -> int | None:
    """Seeds with which a difference as large as `e.mean` would be resolved at `level` with 80 % power, more than there
    are; None if no number would do, because this many test images are the limit. More than `MOST_SEEDS` is given as
    `MOST_SEEDS + 1`.
    """
    if math.isnan(e.var_seed) or e.mean == 0:
        return None
    floor = e.var_image / e.images
    tail = (1 + level) / 2
    z = stats.norm.ppf(tail) + stats.norm.ppf(POWER)
    if z * math.sqrt(floor) >= abs(e.mean):
        return None
    for s in range(max(2, e.seeds + 1), MOST_SEEDS + 1):
        error = math.sqrt(e.var_seed / s + floor + e.var_rest / (s * e.images))
        df = 1e6 if e.var_seed == 0 else (error**2) ** 2 / ((e.var_seed / s) ** 2 / (s - 1))
        if (stats.t.ppf(tail, df) + stats.t.ppf(POWER, df)) * error < abs(e.mean):
            return s
    return MOST_SEEDS + 1


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
