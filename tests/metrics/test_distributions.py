"""Distributions and roots against SciPy's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from fittingroom.metrics import distributions as d

P, DF = st.floats(1e-9, 1 - 1e-9), st.integers(1, 200)


@given(p=P, df=DF, of=DF, x=st.floats(0.01, 30))
def test_they_are_scipys(p: float, df: int, of: int, x: float) -> None:
    assert d.normal_quantile(p) == pytest.approx(stats.norm.ppf(p), abs=1e-9)
    assert float(d.normal_cdf(x - 10)) == pytest.approx(stats.norm.cdf(x - 10))
    assert d.normal_density(np.array([x]), 1.5)[0] == pytest.approx(stats.norm.pdf(x, scale=1.5))
    assert float(d.t_quantile(p, df)) == pytest.approx(stats.t.ppf(p, df), rel=1e-6)
    assert float(d.chi2_quantile(p, df)) == pytest.approx(stats.chi2.ppf(p, df))
    assert d.f_cdf(x, df, of) == pytest.approx(stats.f.cdf(x, df, of)) and d.f_sf(x, df, of) == pytest.approx(
        stats.f.sf(x, df, of)
    )
    assert d.f_quantile(min(max(p, 0.01), 0.99), df, of) == pytest.approx(
        stats.f.ppf(min(max(p, 0.01), 0.99), df, of), rel=1e-6
    )


@given(n=st.integers(1, 2000), data=st.data())
def test_coins_are_scipys(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    assert d.coin_cdf(k, n) == pytest.approx(stats.binom.cdf(k, n, 0.5), abs=1e-12)
    assert d.coin_mass(k, n) == pytest.approx(stats.binom.pmf(k, n, 0.5), rel=1e-8, abs=1e-300)


@given(low=st.floats(-50, 0), size=st.floats(0.1, 100), share=st.floats(0, 1), power=st.sampled_from([1, 3, 5]))
def test_roots_are_where_the_sign_changes(low: float, size: float, share: float, power: int) -> None:
    high, zero = low + size, low + share * size

    def f(x: float) -> float:
        return math.copysign(abs(x - zero) ** power, x - zero) * math.exp(x / 20)

    if f(low) * f(high) < 0:
        assert d.root(f, low, high) == pytest.approx(zero, abs=1e-2 if power > 1 else 1e-8)
    assert d.root(lambda x: x - high, low, high) == high


def test_probabilities_are_scipys_at_any_size() -> None:
    logits_NK = np.random.default_rng(0).normal(0, 300, (50, 7))
    assert np.allclose(d.softmax(logits_NK), special.softmax(logits_NK, axis=1))
    assert np.allclose(d.log_softmax(logits_NK), special.log_softmax(logits_NK, axis=1))
