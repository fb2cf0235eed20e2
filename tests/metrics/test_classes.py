"""Class by class, against scikit-learn; the paired comparisons of classes on simulated runs."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from fittingroom.metrics.classes import (
    class_differences,
    class_scores,
    confused_within,
    look_alikes,
    mean_confusion,
    most_confused,
)
from fittingroom.metrics.intervals import wilson


@given(st.integers(0, 9999), st.integers(1, 200), st.integers(2, 9))
def test_class_scores_are_scikit_learns(seed: int, n: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    labels, predicted = rng.integers(0, k, n), rng.integers(0, k, n)
    found = class_scores(mean_confusion(predicted[None], labels, k))
    p, r, f, support = sklearn.metrics.precision_recall_fscore_support(
        labels, predicted, labels=range(k), zero_division=0
    )
    assert np.allclose(np.nan_to_num(found.precision_K), p) and np.allclose(np.nan_to_num(found.recall_K), r)
    assert np.allclose(np.nan_to_num(found.f1_K), f) and np.array_equal(found.support_K, support)
    for name, values in {"precision": p, "recall": r, "f1": f}.items():
        assert found.macro(name) == pytest.approx(values[support > 0].mean())
        assert found.weighted(name) == pytest.approx(np.average(values, weights=support))


def test_confusions_are_counted_by_a_slow_loop_and_carry_intervals() -> None:
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 4, 500), rng.integers(0, 4, (3, 500))
    for c in most_confused(predicted, labels, 4, most=12):
        count = np.mean(
            [sum(a == c.true and b == c.predicted for a, b in zip(labels, row, strict=True)) for row in predicted]
        )
        assert c.count == pytest.approx(count) and c.low < c.share < c.high
    one = most_confused(predicted[:1], labels, 4)[0]
    assert (one.low, one.high) == wilson(round(one.count), int((labels == one.true).sum()))
    assert most_confused(labels[None], labels, 4) == []


def test_look_alikes_hold_half_of_all_mistakes_and_are_compared_within() -> None:
    counts = np.diag([90, 80, 80, 95])
    counts[1, 2] = counts[2, 1] = 20
    counts[0, 3] = 6
    assert look_alikes([counts]) == [(1, 2)] and look_alikes([counts], 1.0) == [(1, 2), (0, 3)]
    labels = np.array([0, 1, 2, 1, 3])
    predicted = np.array([[3, 2, 1, 3, 3]])
    assert confused_within(predicted, labels, [(1, 2)]).tolist() == [[1, 1, 0]]
    assert look_alikes([np.diag([5, 5])]) == []


def test_a_class_that_is_really_better_is_found_and_no_other() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(5), 400)
    hard = rng.random(2000)
    a = np.stack([hard + 0.05 * rng.normal(size=2000) < 0.9 for _ in range(3)])
    better = np.where(labels == 2, 0.7, 0.9)
    b = np.stack([hard + 0.05 * rng.normal(size=2000) < better for _ in range(3)])
    names = [f"c{i}" for i in range(labels.max() + 1)]
    assert [d.name for d in class_differences(a, b, labels, names) if d.resolved] == ["c2"]
    assert not any(d.resolved for d in class_differences(a[:1], b[:1], labels, names))
