"""One model on one set of labelled images: accuracy, loss, calibration, confusion."""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax, softmax

from fittingroom.spec.records import Scores


def accuracy(logits_NK: np.ndarray, labels_N: np.ndarray) -> float:
    """Share of images whose largest logit is the label's; NaN for no images.

    >>> accuracy(np.array([[2.0, 1.0], [0.0, 1.0]]), np.array([0, 0]))
    0.5
    """
    return float(np.mean(logits_NK.argmax(1) == labels_N)) if len(labels_N) else float("nan")


def log_loss(logits_NK: np.ndarray, labels_N: np.ndarray) -> float:
    """Mean cross-entropy in nats.

    >>> round(log_loss(np.zeros((1, 2)), np.array([0])), 4)
    0.6931
    """
    log_p = log_softmax(logits_NK.astype(np.float64), axis=1)
    return float(-log_p[np.arange(len(labels_N)), labels_N].mean()) if len(labels_N) else float("nan")


def calibration_error(logits_NK: np.ndarray, labels_N: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error: |accuracy - confidence| over `bins` of equal width, weighted by their images.

    Naeini et al. 2015; Guo et al. 2017 (arXiv:1706.04599). A bin is (low, high].

    >>> calibration_error(np.array([[50.0, 0.0]]), np.array([1]))
    1.0
    """
    p_NK = softmax(logits_NK.astype(np.float64), axis=1)
    confidence_N, right_N = p_NK.max(1), p_NK.argmax(1) == labels_N
    bin_N = np.clip(np.ceil(confidence_N * bins).astype(int) - 1, 0, bins - 1)
    gap = np.bincount(bin_N, right_N - confidence_N, minlength=bins)
    return float(np.abs(gap).sum() / len(labels_N))


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
        accuracy=accuracy(logits_NK, labels_N),
        loss=log_loss(logits_NK, labels_N),
        ece=calibration_error(logits_NK, labels_N),
    )
