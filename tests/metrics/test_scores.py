"""Scores against torchmetrics and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics
import torch
import torchmetrics.functional.classification as tm
from hypothesis import given, settings
from hypothesis import strategies as st

from fittingroom.metrics.scores import accuracy, calibration_error, confusion, log_loss, scores


def case(seed: int, n: int, k: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, k)).astype(np.float32) * scale, rng.integers(0, k, n)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 9999), st.integers(1, 300), st.integers(2, 12), st.floats(0.1, 3)
)  # torchmetrics keeps a bin of its own for confidences that round to 1
def test_against_the_oracles(seed: int, n: int, k: int, scale: float) -> None:
    logits, labels = case(seed, n, k, scale)
    predicted = logits.argmax(1)
    assert accuracy(logits, labels) == pytest.approx(sklearn.metrics.accuracy_score(labels, predicted))
    p = torch.softmax(torch.from_numpy(logits).double(), 1).numpy()
    assert log_loss(logits, labels) == pytest.approx(
        -np.log(np.maximum(p[np.arange(n), labels], 1e-300)).mean(), rel=1e-5
    )
    expected = sklearn.metrics.confusion_matrix(labels, predicted, labels=range(k))
    assert np.array_equal(confusion(logits, labels), expected)
    ece = tm.multiclass_calibration_error(torch.from_numpy(p), torch.from_numpy(labels), k, n_bins=15)
    assert calibration_error(logits, labels) == pytest.approx(float(ece), abs=1e-6)


def test_scores_of_nothing_wrong() -> None:
    found = scores(np.eye(4, dtype=np.float32) * 100, np.arange(4))
    assert (found.n, found.accuracy, found.ece) == (4, 1.0, 0.0) and found.loss < 1e-9
