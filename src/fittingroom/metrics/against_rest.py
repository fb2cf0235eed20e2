"""One class against the rest: how strongly a model speaks for it, what it finds of it, and what it takes for it wrongly."""

from __future__ import annotations

import numpy as np


def log_odds(logits_NK: np.ndarray, c: int) -> np.ndarray:
    """The log odds (N,) of class `c`: above 0 it is likelier than all others together.

    >>> log_odds(np.array([[1.0, 3.0]]), 1).tolist()
    [2.0]
    """
    logits_NK = logits_NK.astype(np.float64)
    return np.asarray(logits_NK[:, c] - np.logaddexp.reduce(np.delete(logits_NK, c, axis=1), axis=1))


def lead(logits_NK: np.ndarray, c: int) -> np.ndarray:
    """By how much the logit (N,) of class `c` is above each other one: from 0 on it is the answer (the first of equals).

    >>> lead(np.array([[1.0, 3.0, 2.0]]), 1).tolist()
    [1.0]
    """
    logits_NK = logits_NK.astype(np.float64)
    score_N = logits_NK[:, c] - np.delete(logits_NK, c, axis=1).max(1)
    return np.asarray(np.where(logits_NK.argmax(1) == c, score_N, np.minimum(score_N, -np.finfo(np.float64).tiny)))


def answers(logits_NK: np.ndarray, c: int, threshold: float) -> np.ndarray:
    """The class (N,) of each image where it is `c` from log odds of `threshold` on, and below the likeliest of the others.

    >>> answers(np.array([[1.0, 0.5, 2.0], [0.0, 9.0, 8.0]]), 1, -3.0).tolist(), answers(np.array([[0.0, 1.0]]), 1, 2.0).tolist()
    ([1, 1], [0])
    """
    return np.where(log_odds(logits_NK, c) >= threshold, c, best_other(logits_NK, c))


def best_other(logits_NK: np.ndarray, c: int) -> np.ndarray:
    """The likeliest class (N,) but `c`.

    >>> best_other(np.array([[1.0, 5.0, 2.0]]), 1).tolist()
    [2]
    """
    others_NK = np.array(logits_NK, np.float64)
    others_NK[:, c] = -np.inf
    return np.asarray(others_NK.argmax(1))


def sensitivity(score_N: np.ndarray, own_N: np.ndarray) -> np.ndarray:
    """Values (N,) whose mean is the share of a class (`own_N`) that is found: whose score is at least 0. Also called recall.

    >>> float(sensitivity(np.array([1.0, -1.0, 1.0]), np.array([True, True, False])).mean())
    0.5
    """
    found_N = score_N >= 0
    share = found_N[own_N].mean()
    return np.asarray(share + own_N * (found_N - share) * len(own_N) / own_N.sum())


def specificity(score_N: np.ndarray, own_N: np.ndarray) -> np.ndarray:
    """Values (N,) whose mean is the share of the others that is not taken for the class.

    >>> float(specificity(np.array([1.0, -1.0, 1.0]), np.array([True, False, False])).mean())
    0.5
    """
    return sensitivity(np.where(score_N >= 0, -1.0, 1.0), ~own_N)


def precision(score_N: np.ndarray, own_N: np.ndarray) -> np.ndarray:
    """Values (N,) whose mean is the share of those taken for the class that are of it; 0 where none is, as scikit-learn has it.

    >>> float(precision(np.array([1.0, -1.0, 1.0]), np.array([True, True, False])).mean())
    0.5
    """
    found_N = score_N >= 0
    if not found_N.any():
        return np.zeros(len(own_N))
    share = own_N[found_N].mean()
    return np.asarray(share + found_N * (own_N - share) * len(own_N) / found_N.sum())


def cost(score_N: np.ndarray, own_N: np.ndarray, miss: float = 1.0, false_alarm: float = 1.0) -> np.ndarray:
    """What each image (N,) costs: `miss` where one of the class is not found, `false_alarm` where another is taken for it.

    >>> cost(np.array([1.0, -1.0, 1.0]), np.array([True, True, False]), miss=10).tolist()
    [0.0, 10.0, 1.0]
    """
    found_N = score_N >= 0
    return np.asarray(miss * (own_N & ~found_N) + false_alarm * (~own_N & found_N), np.float64)
