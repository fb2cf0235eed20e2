"""One named pair of runs on the same images: do their weights differ? Says nothing of other seeds."""

from __future__ import annotations

import numpy as np

from fittingroom.metrics.distributions import coin_cdf, coin_mass
from fittingroom.spec.records import Record


class McNemar(Record):
    """Images that only the first, or only the second, gets right, and the p-values of a fair coin between them."""

    only_first: int
    only_second: int
    exact_p: float  # McNemar 1947, by the binomial distribution: never below what it should be
    mid_p: float  # Lancaster 1961; Fagerland, Lydersen & Laake 2013: less conservative, the better default


def mcnemar(right_a_N: np.ndarray, right_b_N: np.ndarray) -> McNemar:
    """Exact and mid-p McNemar test of two models' right answers (N,) bool on the same images.

    >>> result = mcnemar(np.array([1, 1, 1, 0], bool), np.array([0, 0, 0, 1], bool))
    >>> result.only_first, result.exact_p
    (3, 0.625)
    """
    first = int(np.sum(right_a_N & ~right_b_N))
    second = int(np.sum(right_b_N & ~right_a_N))
    n, few = first + second, min(first, second)
    if n == 0:
        return McNemar(only_first=0, only_second=0, exact_p=1.0, mid_p=1.0)
    tail, point = coin_cdf(few, n), coin_mass(few, n)
    exact = min(1.0, 2 * tail)
    mid = 1 - point / 2 if first == second else 2 * tail - point
    return McNemar(only_first=first, only_second=second, exact_p=exact, mid_p=mid)
