"""Class by class: precision, recall, F1, and which classes are taken for which, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fittingroom.metrics.crossed import estimate
from fittingroom.metrics.intervals import proportion
from fittingroom.metrics.parts import Part, judge_parts
from fittingroom.spec.design import ALONE, Design


@dataclass(frozen=True)
class ClassScores:
    """Of each class (K,): fractions, NaN where a class has no image (recall) or is never predicted (precision)."""

    precision_K: np.ndarray
    recall_K: np.ndarray
    f1_K: np.ndarray
    support_K: np.ndarray  # images of the class

    def macro(self, name: str) -> float:
        """Mean over the classes that have images, of "precision", "recall" or "f1"; an undefined value counts as 0."""
        return float(np.nan_to_num(getattr(self, f"{name}_K"))[self.support_K > 0].mean())

    def weighted(self, name: str) -> float:
        """The same, weighted by each class's images."""
        return float(np.average(np.nan_to_num(getattr(self, f"{name}_K")), weights=self.support_K))


def class_scores(counts_KK: np.ndarray) -> ClassScores:
    """Precision, recall, F1 and support from a confusion matrix (rows true, columns predicted; means over seeds will do).

    >>> class_scores(np.array([[3, 1], [0, 4]])).recall_K.tolist()
    [0.75, 1.0]
    """
    right_K, true_K, said_K = np.diag(counts_KK), counts_KK.sum(1), counts_KK.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return ClassScores(right_K / said_K, right_K / true_K, 2 * right_K / (true_K + said_K), true_K)


@dataclass(frozen=True)
class Confusion:
    """Images of class `true` that are taken for class `predicted`: the share of the true class, with a 95 % interval."""

    true: int
    predicted: int
    count: float  # mean over seeds
    share: float
    low: float
    high: float


def most_confused(
    predicted_SN: np.ndarray, labels_N: np.ndarray, k: int, most: int = 4, design: Design = ALONE
) -> list[Confusion]:
    """The most frequent confusions, by count; predictions of S seeds on the same N images of `k` classes.

    The interval covers other seeds and other images (`crossed`), by their `design`; with one seed it is Wilson's, over images.

    >>> most_confused(np.array([[0, 1, 1, 1]]), np.array([0, 0, 0, 1]), 2)[0].count
    2.0
    """
    counts_KK = mean_confusion(predicted_SN, labels_N, k)
    off_KK = counts_KK * (1 - np.eye(k))
    found = []
    for at in np.argsort(-off_KK, axis=None, kind="stable")[:most]:
        i, j = divmod(int(at), k)
        if off_KK[i, j] == 0:
            break
        taken_SN, own = (predicted_SN[:, labels_N == i] == j).astype(np.float64), design.of(labels_N == i)
        if (taken_SN == taken_SN[0]).all():  # one seed, or seeds that agree on every image
            low, high = proportion(taken_SN[0] > 0, own)
        else:
            low, high = estimate(taken_SN, own).interval()
        found.append(Confusion(i, j, float(off_KK[i, j]), float(taken_SN.mean()), max(0.0, low), min(1.0, high)))
    return found


def mean_confusion(predicted_SN: np.ndarray, labels_N: np.ndarray, k: int) -> np.ndarray:
    """Mean counts (K,K) over seeds; rows are true classes."""
    s = len(predicted_SN)
    cells = (labels_N[None, :] * k + predicted_SN).reshape(-1)
    return np.asarray(np.bincount(cells, minlength=k * k).reshape(k, k) / s)


def look_alikes(counts: Sequence[np.ndarray], share: float = 0.5) -> list[tuple[int, int]]:
    """The fewest unordered pairs of classes i < j that hold at least `share` of all mistakes of all models together.

    `counts` are the models' confusion matrices. All of them decide alike, so the choice favours none.

    >>> look_alikes([np.array([[9, 4, 0], [3, 9, 1], [0, 1, 9]])])
    [(0, 1)]
    """
    total_KK = np.sum(counts, axis=0)
    both_KK = np.triu(total_KK + total_KK.T, 1)
    order = np.argsort(-both_KK, axis=None, kind="stable")
    running = np.cumsum(both_KK.reshape(-1)[order])
    if running[-1] == 0:
        return []
    enough = int(np.searchsorted(running, share * running[-1])) + 1
    return [divmod(int(at), len(total_KK)) for at in order[:enough]]


def within(labels_N: np.ndarray, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    """The rows (M,) of the images of the classes in `pairs`."""
    return np.flatnonzero(np.isin(labels_N, sorted({c for pair in pairs for c in pair})))


def confused_within(predicted_SN: np.ndarray, labels_N: np.ndarray, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    """(S, M) 0/1 over the M images of the classes in `pairs`: whether an image is taken for a partner of its class."""
    rows = within(labels_N, pairs)
    taken_SM = np.zeros((len(predicted_SN), len(rows)))
    for i, j in pairs:
        for a, b in ((i, j), (j, i)):
            taken_SM += (labels_N[rows] == a) & (predicted_SN[:, rows] == b)
    return taken_SM


def class_differences(
    right_a_SN: np.ndarray,
    right_b_SN: np.ndarray,
    labels_N: np.ndarray,
    classes: Sequence[str],
    design: Design = ALONE,
) -> list[Part]:
    """By how much A gets more of each class that occurs right than B (its recall), judged together.

    >>> a, b = np.ones((2, 4)), np.array([[1, 1, 0, 0], [1, 1, 0, 0]])
    >>> [(p.name, p.difference) for p in class_differences(a, b, np.array([0, 0, 1, 1]), ["coat", "bag"])]
    [('coat', 0.0), ('bag', 1.0)]
    """
    ahead_SN = right_a_SN.astype(float) - right_b_SN
    return judge_parts(
        (classes[c], estimate(ahead_SN[:, labels_N == c], design.of(labels_N == c))) for c in np.unique(labels_N)
    )
