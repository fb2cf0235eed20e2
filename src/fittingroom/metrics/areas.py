"""How well a model ranks the images of one class above the rest: curves, and the areas under them as values of single images."""

from __future__ import annotations

import numpy as np

GRID = np.linspace(0, 1, 101)  # shares at which a curve is given


def roc_auc(score_N: np.ndarray, own_N: np.ndarray) -> np.ndarray:
    """Values (N,) whose mean is the area under the ROC curve, of a class's images (`own_N`) against the others by their scores.

    By placements: the share of the others that an image of the class is ahead of (DeLong, DeLong & Clarke-Pearson 1988).

    >>> float(roc_auc(np.array([-1.0, 0.0, 3.0]), np.array([False, True, True])).mean())
    1.0
    """
    own, others = np.sort(score_N[own_N]), np.sort(score_N[~own_N])

    def below(sorted_M: np.ndarray, at_N: np.ndarray) -> np.ndarray:
        return (np.searchsorted(sorted_M, at_N) + np.searchsorted(sorted_M, at_N, "right")) / (2 * len(sorted_M))

    placed_N = np.where(own_N, below(others, score_N), 1 - below(own, score_N))
    area = float(placed_N[own_N].mean())
    return np.asarray(area + (placed_N - area) * len(own_N) / np.where(own_N, len(own), len(others)))


def average_precision(score_N: np.ndarray, own_N: np.ndarray) -> np.ndarray:
    """Values (N,) whose mean is the average precision of a class (`own_N`): the mean precision at each of its images.

    An image counts at its own place and at all below it.

    >>> float(average_precision(np.array([-2.0, 1.0, 3.0]), np.array([False, True, True])).mean())
    1.0
    """
    n, n_own = len(own_N), int(own_N.sum())
    level_N, ahead_L, right_L = _levels(score_N, own_N)
    own_L, precision_L = np.diff(right_L, prepend=0), right_L / ahead_L
    mean = float(precision_L @ own_L) / n_own
    # what one more that is right adds to the places at and below its own, and what any one more takes from them
    below_L = np.cumsum((own_L / ahead_L)[::-1])[::-1]
    wrong_L = np.cumsum((own_L * precision_L / ahead_L)[::-1])[::-1]
    added_N = own_N * (precision_L[level_N] - mean + below_L[level_N]) - wrong_L[level_N]
    return np.asarray(mean + added_N * n / n_own)


def roc_curve(score_N: np.ndarray, own_N: np.ndarray) -> np.ndarray:
    """The share of a class that is found (101,) where 0, 1 … 100 % of the others are taken for it.

    >>> roc_curve(np.array([-1.0, 1.0]), np.array([False, True])).tolist() == [1.0] * 101
    True
    """
    _, ahead_L, right_L = _levels(score_N, own_N)
    found, false = np.append(0.0, right_L / own_N.sum()), np.append(0.0, (ahead_L - right_L) / (~own_N).sum())
    return np.asarray(np.interp(GRID, false, found))  # of several points with the same false alarms, the last


def precision_curve(score_N: np.ndarray, own_N: np.ndarray) -> np.ndarray:
    """The precision (101,) where at least 0, 1 … 100 % of a class are found, and no more than it takes.

    >>> precision_curve(np.array([-1.0, 1.0]), np.array([True, False]))[[0, 100]].tolist()
    [0.0, 0.5]
    """
    _, ahead_L, right_L = _levels(score_N, own_N)
    wanted_G = GRID * right_L[-1] - 1e-9  # shares of a count, which rounding must not push beyond it
    at_G = np.searchsorted(right_L, wanted_G)
    return np.asarray((right_L / ahead_L)[at_G])


def _levels(score_N: np.ndarray, own_N: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The level (N,) of each image, best first and ties together; images (L,) down to each level, and those of the class."""
    _, level_N, size_L = np.unique(-score_N, return_inverse=True, return_counts=True)
    return level_N, np.cumsum(size_L), np.cumsum(np.bincount(level_N, own_N, minlength=len(size_L)))
