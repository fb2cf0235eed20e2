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

Images of one patient, or one video, succeed and fail together, so they are not so many independent images. Where groups are
known, the second sample are the groups: each gives what its images together add to the mean, n_g (x_sg - mean), and these are
crossed with the seeds in place of the images. For groups of unlike sizes that is the linearised ratio estimator of survey
sampling (Cochran, *Sampling Techniques*, 1977, §6.3, §9A.2), scaled so that it is unbiased where groups differ and images within
them do not; its degrees of freedom are Satterthwaite's for that quadratic form (after Bell & McCaffrey 2002), or those for
independent images if they are fewer.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fittingroom.metrics.distributions import chi2_quantile, normal_cdf, normal_quantile, root, t_quantile
from fittingroom.spec.design import ALONE, Design

MOST_SEEDS = 100  # beyond this we say "more than", not a number
MOST_TIMES = 20  # as many groups as there are; more is no advice
POWER = 0.80
LEAST_LOG_P = math.log(1e-12)  # what is smaller is given as 0
FEWEST_IN_FOLD = 3  # images or groups in a part of a cross-validation that show how they scatter within it
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
    var_image: float  # of an image; of a group's part of the mean, where images belong together
    var_rest: float
    groups: int = 0  # that the images belong to; 0: each is alone
    df: float = math.nan  # degrees of freedom of what the images (or groups) do
    design_effect: float = 1.0  # how many times the variance that as many independent images would have
    folds: int = 0  # of a cross-validation; 0: all images were scored by the same models
    fixed: Shares = ()  # those of the shares that neither more seeds nor more images would make smaller

    def plus(self, variance: float, df: float) -> Estimate:
        """The same with one more source of luck, which neither these seeds nor these images show.

        >>> estimate(np.array([[1, 0, 1, 1]])).plus(0.01, 30).error > estimate(np.array([[1, 0, 1, 1]])).error
        True
        """
        fixed = ((variance, df),) if variance > 0 else ()
        shares = (*self.shares, *fixed)
        return replace(self, shares=shares, fixed=fixed, p=p_value(self.mean, shares) if self.units > 1 else 1.0)

    @property
    def units(self) -> int:
        """How many independent pieces the images are: images, or groups."""
        return self.groups or self.images

    @property
    def shared(self) -> float:
        """By how much the luck of a training set that the folds share swells the variance: see `_by_fold`."""
        return _shared(self.folds) if self.folds > 1 else 1.0

    @property
    def knows_luck(self) -> bool:
        """Whether it comes from several trainings, and so can tell their luck from merit."""
        return self.seeds > 1 or self.folds > 1

    @property
    def error(self) -> float:
        """The standard error of the mean."""
        return math.sqrt(sum(variance for variance, _ in self.shares))

    @property
    def images_dominate(self) -> bool:
        """Whether the test images (or their groups), not the seeds, make most of the uncertainty."""
        return self.var_image / self.units > 0.5 * self.error**2

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The confidence interval at `level`."""
        half = float(half_width(self.shares, level))
        return self.mean - half, self.mean + half


def estimate(x_SN: np.ndarray, design: Design = ALONE) -> Estimate:
    """The mean of `x_SN` (S seeds, N images; 0/1 for right or wrong, -1/0/1 for a difference) as an `Estimate`.

    `design` says which images belong together, and which were scored by one model of a cross-validation.

    >>> e = estimate(np.array([[1, 0, 1, 1], [1, 1, 1, 0]]))
    >>> e.mean, e.interval()[0] < 0.75 < e.interval()[1]
    (0.75, True)
    >>> x_SN = np.array([[1, 1, 0, 0, 1, 1], [1, 1, 0, 0, 1, 0]])
    >>> two = estimate(x_SN, Design(groups_N=np.array([0, 0, 1, 1, 2, 2])))
    >>> two.groups, two.error > estimate(x_SN).error
    (3, True)
    """
    x_SN = np.asarray(x_SN, np.float64)
    e = _estimate(x_SN, design)
    if not e.groups:
        return e
    alone = _estimate(x_SN, replace(design, groups_N=None))
    return replace(e, design_effect=(e.error / alone.error) ** 2) if alone.error else e


def _estimate(x_SN: np.ndarray, design: Design) -> Estimate:
    s, n = x_SN.shape
    mean = float(x_SN.mean())
    y_SU, df, groups, fold_RU = x_SN, float(max(1, n - 1)), 0, design.parts(s)
    if design.groups_N is not None and design.groups < n:
        y_SU, df = _by_group(x_SN, design.groups_N)
        groups = y_SU.shape[1]
        if fold_RU is not None:  # a group is never divided
            fold_RU = fold_RU[:, np.unique(design.groups_N, return_index=True)[1]]
    u = y_SU.shape[1]
    if fold_RU is not None and design.folds > 1:
        shares, within = _by_fold(y_SU if len(fold_RU) > 1 else y_SU.mean(0)[None], fold_RU, df)
        p = p_value(mean, shares)
        return Estimate(mean, shares, p, s, n, math.nan, within, math.nan, groups, df, folds=design.folds)

    def found(shares: Shares, var_seed: float, var_image: float, var_rest: float) -> Estimate:
        p = p_value(mean, shares) if u > 1 else 1.0  # one image or group says nothing of others
        return Estimate(mean, shares, p, s, n, var_seed, var_image, var_rest, groups, df)

    if s == 1:
        spread = float(((y_SU - mean) ** 2).sum()) / (u - 1) if u > 1 else float(x_SN.var())
        return found(((spread / u, df),), math.nan, math.nan, math.nan)
    seed_S, unit_U = x_SN.mean(1) - mean, y_SU.mean(0) - mean
    rest_SU = y_SU - mean - seed_S[:, None] - unit_U[None, :]
    ms_seed = u * float(seed_S @ seed_S) / (s - 1)
    ms_unit = s * float(unit_U @ unit_U) / max(1, u - 1)
    ms_rest = float((rest_SU**2).sum()) / max(1, (s - 1) * (u - 1))
    shares = _shares(ms_seed, ms_unit, ms_rest, s, u, df)
    return found(shares, max(0.0, (ms_seed - ms_rest) / u), max(0.0, (ms_unit - ms_rest) / s), ms_rest)


def _shared(folds: int) -> float:
    return 1 + folds / (folds - 1)


def _by_fold(y_RU: np.ndarray, fold_RU: np.ndarray, df: float) -> tuple[Shares, float]:
    """The variance of a cross-validation's mean, and a unit's own, from each unit's mean over the seeds that shared parts (R,U).

    Images scatter within the parts; what the parts scatter beyond that is the luck of each part's trainings. Both are seen. What
    is not: the parts' training sets share most of their pictures, and so the luck of having just these. Nadeau & Bengio (2003,
    *Machine Learning* 52) answer for it with a variance of (1/K + 1/(K - 1)) times that of a part's mean instead of 1/K, as if
    each part had been trained on pictures of its own. On 60 samples of 300 digits that is what happens: docs/statistics.md.
    Parts drawn anew R times show their luck R times, and the mean holds an R-th of it; the images stay the same.
    """
    several = [len(np.unique(fold_U)) > 1 for fold_U in fold_RU]  # of a class, a division may have all in one part
    y_U, y_RU, fold_RU = y_RU.mean(0), y_RU[several], fold_RU[several]
    r, u, k = *y_RU.shape, len(np.unique(fold_RU[0]))
    within = float(np.mean([_within(y_U, fold_U)[0] for fold_U in fold_RU]))
    if u < FEWEST_IN_FOLD * k:  # too few groups in a part to tell theirs from its own
        spread = float(((y_U - y_U.mean()) ** 2).sum()) / max(1, u - 1)
        return ((_shared(k) * spread / u, df),), within
    own = [_within(*one) for one in zip(y_RU, fold_RU, strict=True)]
    excess = float(np.mean([between - inside for inside, between in own])) / r
    by_unit = _shared(k) * within / u, df * max(1, u - k) / max(1, u - 1)
    return (by_unit, (max(0.0, excess) / u, r * (k - 1))), within


def _within(y_U: np.ndarray, fold_U: np.ndarray) -> tuple[float, float]:
    """The mean squares within and between the parts."""
    u, k = len(y_U), len(np.unique(fold_U))
    size_K = np.bincount(fold_U)
    mean_K = np.bincount(fold_U, y_U) / np.maximum(size_K, 1)
    within = float(((y_U - mean_K[fold_U]) ** 2).sum()) / max(1, u - k)
    return within, float((size_K * (mean_K - y_U.mean()) ** 2).sum()) / (k - 1)


def _by_group(x_SN: np.ndarray, groups_N: np.ndarray) -> tuple[np.ndarray, float]:
    """What each group adds to the mean (S,G), the mean itself left in, and the degrees of freedom that these groups deserve.

    Each seed's mean stands in its row as it is; what groups add to it is scaled so that `estimate`'s analysis of variance gives
    the variance of the mean without bias where images of a group are alike.
    """
    n = x_SN.shape[1]
    _, number_N = np.unique(groups_N, return_inverse=True)
    size_G = np.bincount(number_N).astype(np.float64)
    g = len(size_G)
    sums_SG = np.stack([np.bincount(number_N, x_N, minlength=g) for x_N in x_SN])
    own_S = x_SN.mean(1)
    share_G = size_G / n
    if g == 1:
        return own_S[:, None], 1.0
    kept_G = 1 - 2 * share_G + share_G @ share_G  # of a group's variance, once the mean is taken from it
    scale_G = g / n * np.sqrt((1 - 1 / g) / np.maximum(kept_G, 1e-12))
    return own_S[:, None] + (sums_SG - size_G * own_S[:, None]) * scale_G, _deserved(share_G, kept_G)


def _deserved(share_G: np.ndarray, kept_G: np.ndarray) -> float:
    """Satterthwaite's degrees of freedom of the estimated variance of a mean over groups: of what is the less certain.

    The estimate is a quadratic form in the groups' sums, of independent groups: T' A T with A = M' diag(1/kept) M, M taking the
    mean away. Its degrees of freedom are 2 E²/Var = tr(AV)² / tr(AVAV), once for sums that scatter as the size does (images of a
    group alike), once as its root does (images independent).

    >>> round(_deserved(np.full(5, 0.2), np.full(5, 0.8)), 6), _deserved(np.array([0.9, 0.05, 0.05]), np.ones(3)) < 2
    (4.0, True)
    """
    w_G = 1 / np.maximum(kept_G, 1e-12)
    t_G = w_G * share_G
    c = float(share_G @ t_G)  # A = diag(w) - t 1' - 1 t' + c 1 1'

    def satterthwaite(v_G: np.ndarray) -> float:
        trace = float((w_G - 2 * t_G + c) @ v_G)
        of_all, of_t, of_tt = float(v_G.sum()), float(t_G @ v_G), float(t_G**2 @ v_G)
        off = c**2 * of_all**2 + 2 * of_tt * of_all - 4 * c * of_t * of_all + 2 * of_t**2  # as if w were 0
        own = (w_G - 2 * t_G + c) ** 2 - (c - 2 * t_G) ** 2
        return trace**2 / (off + float(own @ v_G**2))

    return max(1.0, min(satterthwaite(share_G**2), satterthwaite(share_G), len(share_G) - 1))


def _shares(ms_seed: Any, ms_unit: Any, ms_rest: Any, s: int, n: int, df: float) -> Shares:
    """What seeds and images (or groups) add to the variance of the mean, from mean squares (numbers or arrays).

    A mean square of seeds below the rest's is luck, since it holds the rest: what is missing is made up, and well known.
    """
    missing, by_unit = np.maximum(0.0, ms_rest - ms_seed), np.maximum(0.0, ms_unit - ms_rest)
    few = s - 1
    return (ms_seed / (s * n), few), (missing / (s * n), few * df), (by_unit / (s * n), df)


def half_width(shares: Shares, level: float) -> Any:
    """Half the interval at `level` of a mean whose variance comes in independent `shares` (numbers or arrays).

    >>> float(half_width([(4.0, 1e9)], 0.95).round(2)), float(half_width([(4.0, 2)], 0.95).round(2))
    (3.92, 8.61)
    """
    total = sum(variance for variance, _ in shares)
    weighted = sum(variance * -t_quantile((1 - level) / 2, df) for variance, df in shares)
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
    return math.exp(root(beyond, LEAST_LOG_P, 0.0))


def power(e: Estimate, difference: float, seeds: int, level: float = 0.95, units: int | None = None) -> float:
    """The chance that a true `difference` is resolved with `seeds` seeds and these images, if the variance components
    are those of `e`; or with so many `units`, images or groups like these. NaN if `e` has one seed, which shows no components.

    The mean is independent of the mean squares, which are multiples of chi-squares, so the chance is an average over what
    `estimate` could have found for them. (The noncentral t distribution, with the expected degrees of freedom, promises
    up to 0.1 too much with two or three seeds: docs/log.md 2026-11-20.)

    >>> e = estimate(np.random.default_rng(0).normal(0, 1, (3, 400)))
    >>> 0 <= power(e, 0.01, 3) < power(e, 0.2, 3) <= 1
    True
    """
    if math.isnan(e.var_seed):
        return math.nan
    error, half_QQ = half_widths(e, seeds, level, units)
    return float(difference != 0) if error == 0 else float(normal_cdf((abs(difference) - half_QQ) / error).mean())


def half_widths(e: Estimate, seeds: int, level: float, units: int | None = None) -> tuple[float, np.ndarray]:
    """The standard error of a mean over `seeds` seeds and `units` images (default: as many as there are), and what half of its
    interval can come to, each as likely as the others; if the variance components are those of `e`.
    """
    n, rest, df = units or e.units, e.var_rest, e.df if units is None else e.df * (units - 1) / (e.units - 1)
    seed, image = n * e.var_seed + rest, seeds * e.var_image + rest
    variance = sum(share for share, _ in (*_shares(seed, image, rest, seeds, n, df), *e.fixed))
    chances, few = (np.arange(NODES) + 0.5) / NODES, (np.arange(FEW_NODES) + 0.5) / FEW_NODES
    seed_Q = seed * chi2_quantile(chances, seeds - 1)[:, None] / (seeds - 1)
    image_Q = image * chi2_quantile(few, df)[None, :] / df
    found_QQ = half_width((*_shares(seed_Q, image_Q, rest, seeds, n, df), *e.fixed), level)
    return math.sqrt(variance), np.asarray(found_QQ)


def seeds_needed(e: Estimate, level: float = 0.95, difference: float | None = None) -> int | None:
    """The fewest seeds (at least 2) that resolve `difference` (default: as large as `e.mean`) at `level` with 80 % power.

    None if no number would do, because this many test images are the limit. More than `MOST_SEEDS` is given as
    `MOST_SEEDS + 1`.
    """
    wanted = abs(e.mean if difference is None else difference)
    if math.isnan(e.var_seed) or wanted == 0:
        return None
    floor = math.sqrt(e.var_image / e.units + sum(variance for variance, _ in e.fixed))
    z = -t_quantile((1 - level) / 2, e.df) if e.groups else normal_quantile((1 + level) / 2)
    if (z + normal_quantile(POWER)) * floor >= wanted:
        return None
    # power grows with the seeds: halving finds in 7 looks what a scan finds in up to 99
    return 2 + bisect_left(range(2, MOST_SEEDS + 1), POWER, key=lambda s: power(e, wanted, s, level))


def groups_needed(e: Estimate, level: float = 0.95, difference: float | None = None) -> int | None:
    """The fewest groups like these, in all, that resolve `difference` (default: as large as `e.mean`) with 80 % power, with as
    many seeds as `e` has. None without groups, or where more than `MOST_TIMES` as many would be needed.
    """
    wanted = abs(e.mean if difference is None else difference)
    if e.folds:
        needed = images_needed(e, level, difference)
        return None if needed is None or not e.groups else math.ceil(needed / e.images * e.groups)
    if math.isnan(e.var_seed) or wanted == 0 or e.groups < 2:
        return None
    most = MOST_TIMES * e.groups
    needed = 2 + bisect_left(range(2, most + 1), POWER, key=lambda u: power(e, wanted, e.seeds, level, u))
    return needed if needed <= most else None


def images_needed(e: Estimate, level: float = 0.95, difference: float | None = None) -> int | None:
    """How many images like these a cross-validation needs to resolve `difference` (default: `e.mean`) with 80 % power.

    None for no difference, and for what is no cross-validation.
    """
    wanted = abs(e.mean if difference is None else difference)
    return math.ceil(e.images * (detectable(e, level) / wanted) ** 2) if e.folds and wanted else None


def detectable(e: Estimate, level: float = 0.95) -> float:
    """The least true difference that `e.seeds` seeds would resolve at `level` with 80 % power; NaN with one seed.

    Of a cross-validation: that these images would resolve, with as many folds and seeds.

    >>> e = estimate(np.random.default_rng(0).normal(0, 1, (3, 400)))
    >>> round(power(e, detectable(e), 3), 3)
    0.8
    """
    if e.folds:
        return float(half_width(e.shares, level)) + normal_quantile(POWER) * e.error
    if math.isnan(e.var_seed) or e.error == 0:
        return math.nan if math.isnan(e.var_seed) else 0.0
    high = e.error
    while power(e, high, e.seeds, level) < POWER:
        high *= 2
    return root(lambda d: power(e, d, e.seeds, level) - POWER, 0.0, high, xtol=1e-9 * high)


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
