"""One model on one set of labelled images: the headline figures that a run stores, and the confusion matrix."""

from __future__ import annotations

import numpy as np

from fittingroom.metrics.calibration import calibration_error
from fittingroom.metrics.metric import ACCURACY, LOG_LOSS
from fittingroom.spec.records import Scores


def confusion(logits_NK: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    """Counts (K,K) int64: row = true class, column = predicted class.

    >>> confusion(np.array([[0.0, 1.0], [0.0, 1.0]]), np.array([0, 1])).tolist()
    [[0, 1], [0, 1]]
    """
    k = logits_NK.shape[1]
    return np.bincount(labels_N * k + logits_NK.argmax(1), minlength=k * k).reshape(k, k)


def scores(logits_NK: np.ndarray, labels_N: np.ndarray) -> Scores:
    """All of a split's headline figures."""
    return Scores(
        n=len(labels_N),
        accuracy=ACCURACY.score(logits_NK, labels_N),
        loss=LOG_LOSS.score(logits_NK, labels_N),
        ece=calibration_error(logits_NK, labels_N),
    )
