"""How well a model ranks: areas under curves as values of single images, and the ROC curve itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import log_softmax

GRID = np.linspace(0, 1, 101)  # false alarms, at which a curve is given


def roc_auc(logits_NK: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    """Values (N,) whose mean is the area under the ROC curve, a mean over the classes, each against the rest.

    By placements: the share of the others that an image of the class is ahead of (DeLong, DeLong & Clarke-Pearson 1988).

    >>> float(roc_auc(np.array([[2.0, 1.0], [1.0, 1.0], [0.0, 3.0]]), np.array([0, 1, 1])).mean())
    1.0
    """

    def of_class(score_N: np.ndarray, own_N: np.ndarray) -> np.ndarray:
        own, others = np.sort(score_N[own_N]), np.sort(score_N[~own_N])

        def below(sorted_M: np.ndarray, at_N: np.ndarray) -> np.ndarray:
            return (np.searchsorted(sorted_M, at_N) + np.searchsorted(sorted_M, at_N, "right")) / (2 * len(sorted_M))

        placed_N = np.where(own_N, below(others, score_N), 1 - below(own, score_N))
        area = float(placed_N[own_N].mean())
        return np.asarray(area + (placed_N - area) * len(own_N) / np.where(own_N, len(own), len(others)))

    return _one_against_the_rest(of_class, logits_NK, labels_N)


def average_precision(logits_NK: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    """Values (N,) whose mean is the average precision, a mean over the classes, each against the rest.

    That is the mean precision at each image of a class; an image counts at its own place and at all below it.

    >>> float(average_precision(np.array([[2.0, 1.0], [0.0, 1.0], [1.0, 3.0]]), np.array([0, 1, 1])).mean())
    1.0
    """

    def of_class(score_N: np.ndarray, own_N: np.ndarray) -> np.ndarray:
        n, n_own = len(own_N), int(own_N.sum())
        _, level_N, size_L = np.unique(-score_N, return_inverse=True, return_counts=True)  # best first, ties together
        own_L = np.bincount(level_N, own_N, minlength=len(size_L))
        ahead_L, right_L = np.cumsum(size_L), np.cumsum(own_L)
        precision_L = right_L / ahead_L
        mean = float(precision_L @ own_L) / n_own
        # what one more that is right adds to the places at and below its own, and what any one more takes from them
        below_L = np.cumsum((own_L / ahead_L)[::-1])[::-1]
        wrong_L = np.cumsum((own_L * precision_L / ahead_L)[::-1])[::-1]
        added_N = own_N * (precision_L[level_N] - mean + below_L[level_N]) - wrong_L[level_N]
        return np.asarray(mean + added_N * n / n_own)

    return _one_against_the_rest(of_class, logits_NK, labels_N)


def _one_against_the_rest(
    of_class: Callable[[np.ndarray, np.ndarray], np.ndarray], logits_NK: np.ndarray, labels_N: np.ndarray
) -> np.ndarray:
    """The mean over the classes that some images have and some have not; NaN where there is none."""
    score_NK = log_softmax(logits_NK.astype(np.float64), axis=1)
    score_NK -= np.log(-np.expm1(np.minimum(score_NK, -1e-300)))  # log odds: probabilities near 1 stay apart
    counts_K = np.bincount(labels_N, minlength=logits_NK.shape[1])
    present = np.flatnonzero((counts_K > 0) & (counts_K < len(labels_N)))
    if not len(present):
        return np.full(len(labels_N), np.nan)
    return np.asarray(np.mean([of_class(score_NK[:, c], labels_N == c) for c in present], axis=0))


def roc_curve(logits_N2: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    """The share of the second class that is found (101,) where 0, 1 … 100 % of the first are taken for it.

    >>> roc_curve(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 1])).tolist() == [1.0] * 101
    True
    """
    score_N = logits_N2[:, 1].astype(np.float64) - logits_N2[:, 0]
    _, level_N = np.unique(-score_N, return_inverse=True)  # ties are taken together
    found, false = (
        np.append(0.0, np.cumsum(np.bincount(level_N, labels_N == c)) / (labels_N == c).sum()) for c in (1, 0)
    )
    return np.asarray(np.interp(GRID, false, found))  # of several points with the same false alarms, the last
