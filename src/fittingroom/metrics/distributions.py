"""Distributions and roots, as `scipy.stats` and `scipy.optimize` have them, which take most of a second to load.

What is behind them is `scipy.special`, and that is loaded by the first that needs it. Arguments may be arrays, except where a
float is said.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import numpy as np

_NORMAL = NormalDist()


def softmax(logits_NK: np.ndarray) -> np.ndarray:
    """Probabilities (N,K) of logits.

    >>> softmax(np.array([[0.0, 0.0]])).tolist()
    [[0.5, 0.5]]
    """
    raw_NK = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
    return np.asarray(raw_NK / raw_NK.sum(axis=1, keepdims=True))


def log_softmax(logits_NK: np.ndarray) -> np.ndarray:
    """Their logarithms (N,K), also where a probability is too small for a number."""
    shifted_NK = logits_NK - logits_NK.max(axis=1, keepdims=True)
    return np.asarray(shifted_NK - np.log(np.exp(shifted_NK).sum(axis=1, keepdims=True)))


def normal_cdf(x: Any) -> Any:
    """The chance that a standard normal value is below `x`."""
    from scipy.special import ndtr

    return ndtr(x)


def normal_quantile(p: float) -> float:
    """Below which a standard normal value is with probability `p`, a float in (0, 1).

    >>> round(normal_quantile(0.975), 6)
    1.959964
    """
    return _NORMAL.inv_cdf(p)


def normal_density(x: np.ndarray, sd: float) -> np.ndarray:
    """The density of a normal value with mean 0."""
    return np.asarray(np.exp(-((x / sd) ** 2) / 2) / (sd * math.sqrt(2 * math.pi)))


def t_quantile(p: Any, df: Any) -> Any:
    """Below which a Student's t of `df` degrees of freedom is with probability `p`.

    >>> round(float(t_quantile(0.975, 2)), 4)
    4.3027
    """
    from scipy.special import stdtrit

    return stdtrit(df, p)


def chi2_quantile(p: Any, df: Any) -> Any:
    """Below which the sum of `df` squared standard normal values is with probability `p`."""
    from scipy.special import gammaincinv

    return 2 * gammaincinv(np.asarray(df) / 2, p)


def f_cdf(x: float, df: float, of: float) -> float:
    """The chance that the ratio of two independent mean squares, of `df` and `of` degrees of freedom, is below `x`."""
    from scipy.special import fdtr

    return float(fdtr(df, of, x))


def f_sf(x: float, df: float, of: float) -> float:
    """The chance that it is above `x`."""
    from scipy.special import fdtrc

    return float(fdtrc(df, of, x))


def f_quantile(p: float, df: float, of: float) -> float:
    """Below which it is with probability `p`."""
    from scipy.special import fdtri

    return float(fdtri(df, of, p))


def coin_cdf(k: int, n: int) -> float:
    """The chance of at most `k` heads in `n` tosses.

    >>> coin_cdf(1, 2)
    0.75
    """
    from scipy.special import bdtr

    return float(bdtr(k, n, 0.5))


def coin_mass(k: int, n: int) -> float:
    """The chance of exactly `k` heads in `n` tosses."""
    return math.exp(math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2))


def root(f: Callable[[float], float], low: float, high: float, xtol: float = 1e-9) -> float:
    """Where `f`, whose signs at `low` and `high` differ, is zero, to `xtol` (Ridders 1979, *IEEE Trans. Circuits Syst.* 26).

    >>> round(root(lambda x: x * x - 2, 0, 2), 9)
    1.414213562
    """
    f_low, f_high, before = f(low), f(high), math.nan
    if f_low == 0 or f_high == 0:
        return low if f_low == 0 else high
    assert (f_low < 0) != (f_high < 0) and math.isfinite(f_low) and math.isfinite(f_high)
    while True:
        middle = (low + high) / 2
        f_middle = f(middle)
        x = middle + math.copysign(middle - low, f_low) * f_middle / math.sqrt(f_middle**2 - f_low * f_high)
        if abs(x - before) <= xtol or high - low <= xtol:
            return x
        before, f_x = x, f(x)
        if f_x == 0:
            return x
        ends = sorted([(low, f_low), (middle, f_middle), (x, f_x), (high, f_high)])
        # the two neighbours between which the sign changes
        (low, f_low), (high, f_high) = next((a, b) for a, b in pairwise(ends) if (a[1] < 0) != (b[1] < 0))
