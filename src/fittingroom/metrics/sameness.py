"""When two recipes are the same for practical purposes: their difference is known to be smaller than what matters.

"Not resolved" is not "the same": three seeds may be too few to show anything. Two one-sided tests (Schuirmann 1987, *J.
Pharmacokin. Biopharm.* 15; Westlake 1981) turn the burden of proof around: each asks whether the difference could be as large as
the margin, one in either direction. Both say no exactly if the interval of the difference lies within ± the margin. The interval
is the one that is drawn and that decides what is better, so that no picture contradicts a verdict; at 95 % each of the two
tests errs in 2.5 % of the studies at most.

The margin has to be chosen before looking: what would make you take the dearer one? By default it is stated for each data set.
"""

from __future__ import annotations

import math
from bisect import bisect_left

import numpy as np

from fittingroom.metrics.crossed import MOST_SEEDS, POWER, Estimate, half_width, half_widths
from fittingroom.metrics.distributions import normal_cdf, normal_quantile, t_quantile
from fittingroom.metrics.metric import Metric
from fittingroom.spec.errors import FittingroomError

MARGINS = {"mnist": 0.1, "fashion-mnist": 0.3}  # points: ten and thirty of 10,000 test images
MARGIN = 1.0  # points, on other pictures


def margin(same: float | None, dataset: str, metric: Metric) -> float | None:
    """What makes no difference on `dataset`, in the metric's own size: `same`, as the metric is shown (points), or a default.

    None where nobody has said and the metric is not counted in points.
    Raises `FittingroomError` for what is no margin.

    >>> from fittingroom.metrics.metric import METRICS
    >>> margin(None, "mnist", METRICS["accuracy"]), margin(0.5, "mnist", METRICS["accuracy"])
    (0.001, 0.005)
    """
    if same is None:
        return MARGINS.get(dataset, MARGIN) / metric.scale if metric.steps == "points" else None
    if not 0 < same < math.inf:
        raise FittingroomError(f"same: got {same:g}; give what makes no difference, above 0 (0.3 = 0.3 points)")
    return same / metric.scale


def power_of_same(e: Estimate, margin: float, seeds: int, level: float = 0.95) -> float:
    """The chance that two recipes without any difference are found to be the same with `seeds` seeds and these images.

    >>> from fittingroom.metrics.crossed import estimate
    >>> e = estimate(np.random.default_rng(0).normal(0, 1, (3, 4000)))
    >>> 0 <= power_of_same(e, 0.03, 3) < power_of_same(e, 0.1, 3) <= 1
    True
    """
    error, half_QQ = half_widths(e, seeds, level)
    if error == 0:
        return 1.0
    return float(np.maximum(0.0, 2 * normal_cdf((margin - half_QQ) / error) - 1).mean())


def seeds_for_same(e: Estimate, margin: float, level: float = 0.95) -> int | None:
    """The fewest seeds (at least 2) that show with 80 % power that recipes without any difference are the same.

    None if no number would do, because this many test images are the limit, and where a single seed shows nothing. More than
    `MOST_SEEDS` is given as `MOST_SEEDS + 1`.
    """
    if math.isnan(e.var_seed):
        return None
    floor = math.sqrt(e.var_image / e.units + sum(variance for variance, _ in e.fixed))
    z = -t_quantile((1 - level) / 2, e.df) if e.groups else normal_quantile((1 + level) / 2)
    if (z + normal_quantile((1 + POWER) / 2)) * floor >= margin:
        return None
    return 2 + bisect_left(range(2, MOST_SEEDS + 1), POWER, key=lambda s: power_of_same(e, margin, s, level))


def images_for_same(e: Estimate, margin: float, level: float = 0.95) -> int | None:
    """How many images like these a cross-validation needs to show with 80 % power that equals are the same; None for others."""
    if not e.folds or e.error == 0:
        return None
    shown = float(half_width(e.shares, level)) + normal_quantile((1 + POWER) / 2) * e.error
    return math.ceil(e.images * (shown / margin) ** 2)
