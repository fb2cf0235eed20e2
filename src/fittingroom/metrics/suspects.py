"""Labels against out-of-sample predictions: which are suspect, and what dropping those does to a score."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np

from fittingroom.spec.records import Record

ABLE = 0.5  # of the way from always naming the largest class to always being right: models below it cannot tell a wrong label
UNLIKELY = 0.05  # of a label: one in twenty such would be right, were the probabilities perfect


@dataclass(frozen=True)
class Suspects:
    """The images of one split, judged: `order_N` ranks all rows, the most suspect first."""

    split: str
    p_NK: np.ndarray  # out-of-sample probabilities
    labels_N: np.ndarray
    quality_N: np.ndarray  # of the label, 0 … 1: half of 1 + p(label) - p(most likely other); low is suspect
    flagged_N: np.ndarray  # whether the label is called suspect

    @property
    def accuracy(self) -> float:
        """How often the auditors agree with the labels of images that they had not seen."""
        return float((self.suggested_N == self.labels_N).mean())

    @property
    def yardstick(self) -> float:
        """What always naming the largest class gets."""
        return float(np.bincount(self.labels_N).max() / len(self.labels_N))

    @property
    def able(self) -> bool:
        """Whether such auditors can tell a wrong label from a picture that is merely hard for them."""
        return self.accuracy >= self.yardstick + ABLE * (1 - self.yardstick)

    @property
    def order_N(self) -> np.ndarray:
        """Rows by suspicion: flagged ones first, then by quality."""
        return np.lexsort((self.quality_N, ~self.flagged_N))

    @property
    def suggested_N(self) -> np.ndarray:
        """The label that the auditors would give."""
        return np.asarray(self.p_NK.argmax(1))


def find_suspects(split: str, p_NK: np.ndarray, labels_N: np.ndarray) -> Suspects:
    """Call labels suspect, from calibrated probabilities of models that did not see the images.

    By confident learning (Northcutt, Jiang & Chuang 2021, arXiv:1911.00068; cleanlab), or because the label's own
    probability is below `UNLIKELY`. The second rule is for models that are nearly always right: there confident learning
    asks for more certainty than an average image has, and finds 1 of MNIST's errors (docs/log.md 2026-11-20). Where the models
    are too often wrong to know (`Suspects.able`), none is called suspect.

    >>> p = np.array([[0.9, 0.1]] * 9 + [[0.05, 0.95]] * 9)
    >>> labels = np.array([0] * 9 + [1] * 8 + [0])  # the last one looks like a 1
    >>> find_suspects("train", p, labels).order_N[0]
    np.int64(17)
    """
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    p_NK = p_NK / p_NK.sum(1, keepdims=True)
    quality_N = get_label_quality_scores(labels_N, p_NK, method="normalized_margin")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # its advice on classes of few pictures is about its own arguments
        learned_N = find_label_issues(labels_N, p_NK, filter_by="prune_by_noise_rate", n_jobs=1)
    flagged_N = np.asarray(learned_N, bool) | (p_NK[np.arange(len(labels_N)), labels_N] < UNLIKELY)
    found = Suspects(split, p_NK, labels_N, np.asarray(quality_N), flagged_N)
    return found if found.able else replace(found, flagged_N=np.zeros(len(labels_N), bool))


class Flattery(Record):
    """A recipe's test accuracy (fractions, means over seeds): all images, without suspects, without as many random ones."""

    recipe: str
    whole: float
    without_suspects: float
    without_random: float  # the same on average, by definition
    random_sd: float  # of one such draw
    removed: int


def flattery(recipe: str, right_SN: np.ndarray, suspects: Suspects) -> Flattery:
    """What dropping the flagged suspects would do to a score, beside what dropping as many random images does.

    >>> s = Suspects("test", np.eye(2)[[0, 0, 1, 1]], np.array([0, 1, 1, 1]), np.ones(4), np.array([0, 1, 0, 0], bool))
    >>> flattery("x", np.array([[1, 0, 1, 1]]), s).without_suspects
    1.0
    """
    n, removed = right_SN.shape[1], int(suspects.flagged_N.sum())
    right_N = right_SN.mean(0)
    kept = right_N[~suspects.flagged_N]
    # the mean of n - m drawn without replacement (Cochran 1977, 2.6)
    sd = float(np.sqrt(right_N.var(ddof=1) / max(1, n - removed) * removed / n)) if n > 1 else 0.0
    whole = float(right_N.mean())
    return Flattery(
        recipe=recipe,
        whole=whole,
        without_suspects=float(kept.mean()),
        without_random=whole,
        random_sd=sd,
        removed=removed,
    )
