"""Intervals, spreads and McNemar against statsmodels and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.proportion import proportion_confint

from fittingroom.metrics.intervals import mean_interval, own_spread, prediction, spread, welch, wilson
from fittingroom.metrics.mcnemar import mcnemar


@given(st.integers(1, 5000), st.floats(0, 1), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_is_statsmodels(n: int, share: float, level: float) -> None:
    successes = round(share * n)
    assert wilson(successes, n, level) == pytest.approx(
        proportion_confint(successes, n, alpha=1 - level, method="wilson"), abs=1e-9
    )


def test_the_prediction_interval_is_that_of_a_regression_on_a_constant() -> None:
    values = [0.912, 0.918, 0.909, 0.915]
    theirs = sm.OLS(values, np.ones(4)).fit().get_prediction([[1.0]]).conf_int(obs=True, alpha=0.05)[0]
    assert prediction(values, own_spread(values)) == pytest.approx(tuple(theirs))


def test_a_new_run_falls_inside_as_often_as_promised_when_the_spread_is_pooled() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(3000):
        runs = rng.normal(0, 1, (4, 3))
        low, high = prediction(runs[0], spread(runs[0], runs[1:]))
        hits += low <= rng.normal() <= high
    assert 0.93 < hits / 3000 < 0.97


def test_pooling_is_the_weighted_mean_of_variances_and_spares_the_wild() -> None:
    calm = [[0.90, 0.902, 0.901], [0.88, 0.881, 0.883], [0.92, 0.921, 0.9205]]
    known = spread(calm[0], calm[1:])
    assert (
        known.pooled and known.df == 6 and known.sd == pytest.approx(math.sqrt(np.mean(np.var(calm, axis=1, ddof=1))))
    )
    wild = spread([0.8, 0.9, 0.85], calm)
    assert not wild.pooled and wild.sd == pytest.approx(0.05)
    assert not spread([0.1, 0.2, 0.3, 0.4, 0.5], calm).pooled  # enough of its own
    alone = spread([0.9], [[0.8]])
    assert alone.df == 0 and prediction([0.9], alone) == (-math.inf, math.inf)
    assert spread([0.9], calm).df == 6


@given(st.integers(0, 60), st.integers(0, 60))
def test_exact_mcnemar_is_statsmodels_and_mid_p_is_the_slow_sum(b: int, c: int) -> None:
    first = np.r_[np.ones(b, bool), np.zeros(c, bool), np.ones(5, bool)]
    second = np.r_[np.zeros(b, bool), np.ones(c, bool), np.ones(5, bool)]
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (b, c)
    assert found.exact_p == pytest.approx(min(1, statsmodels_mcnemar([[5, b], [c, 0]], exact=True).pvalue))
    if b + c and b != c:
        n = b + c
        weights = [math.comb(n, i) / 2**n for i in range(n + 1)]
        tail = sum(w for i, w in enumerate(weights) if i < min(b, c)) + 0.5 * weights[min(b, c)]
        assert found.mid_p == pytest.approx(2 * tail)
    assert found.mid_p <= found.exact_p


@given(st.integers(0, 999), st.integers(2, 6), st.integers(2, 6))
def test_intervals_of_means_and_of_their_difference_are_scipys(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.lognormal(1, 0.1, n), rng.lognormal(1.2, 0.3, m)
    value, interval = welch(a, b)
    theirs = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert value == pytest.approx(a.mean() - b.mean()) and interval == pytest.approx((theirs.low, theirs.high))
    ratio, ends = welch(a, b, as_ratio=True)
    theirs = stats.ttest_ind(np.log(a), np.log(b), equal_var=False).confidence_interval(0.95)
    assert ratio == pytest.approx(stats.gmean(a) / stats.gmean(b)) and ends == pytest.approx(
        (math.exp(theirs.low), math.exp(theirs.high))
    )
    own = stats.ttest_1samp(a, 0).confidence_interval(0.95)
    assert mean_interval(a) == pytest.approx((own.low, own.high)) and mean_interval([1.0]) == (-math.inf, math.inf)
