"""Which images go together: a part of every class, or parts for cross-validation; near duplicates are never divided."""

from __future__ import annotations

import numpy as np


def draw(
    labels_N: np.ndarray, k: int, fraction: float, rng: np.random.Generator, group_N: np.ndarray | None
) -> np.ndarray:
    """Which images are drawn (N,) bool: `fraction` of each of `k` classes, rounded; whole groups only (see `duplicates.groups`).

    >>> int(draw(np.array([0, 0, 1, 1]), 2, 0.5, np.random.default_rng(0), None).sum())
    2
    """
    wanted_K = np.rint(np.bincount(labels_N, minlength=k) * fraction).astype(int)
    drawn = np.zeros(len(labels_N), bool)
    alone = np.ones(len(labels_N), bool)
    if group_N is not None:
        sizes = np.bincount(group_N)
        alone = sizes[group_N] == 1
        for group in rng.permutation(np.flatnonzero(sizes > 1)):  # few: each is drawn with the same chance as an image
            members = np.flatnonzero(group_N == group)
            needs_K = np.bincount(labels_N[members], minlength=k)
            if rng.random() < fraction and (needs_K <= wanted_K).all():
                drawn[members] = True
                wanted_K = wanted_K - needs_K
    for label, wanted in enumerate(wanted_K):
        candidates = np.flatnonzero(alone & (labels_N == label))
        drawn[rng.permutation(candidates)[:wanted]] = True
    return drawn


def folds(labels_N: np.ndarray, k: int, seed: int, group_N: np.ndarray | None = None) -> np.ndarray:
    """The number (N,) of the part, 0 … `k` - 1, that each image is held out with in a `k`-fold cross-validation.

    Every class is spread evenly over the parts; a group (see `duplicates.groups`) is never divided.

    >>> folds(np.array([0, 0, 1, 1]), 2, seed=0).tolist() in ([0, 1, 0, 1], [0, 1, 1, 0], [1, 0, 0, 1], [1, 0, 1, 0])
    True
    """
    rng = np.random.default_rng(seed)
    fold_N = np.full(len(labels_N), -1)
    if group_N is not None:
        sizes = np.bincount(group_N)
        for group in rng.permutation(np.flatnonzero(sizes > 1)):
            fold_N[group_N == group] = rng.integers(k)
    for label in np.unique(labels_N):
        open_ = rng.permutation(np.flatnonzero((labels_N == label) & (fold_N < 0)))
        taken_k = np.bincount(fold_N[(labels_N == label) & (fold_N >= 0)], minlength=k)
        # deal to the emptiest part first, ties in an order of the class's own, so that no part gets all the remainders
        slots = np.concatenate([np.arange(taken, taken + len(open_)) for taken in taken_k])
        part = np.repeat(np.arange(k), len(open_))
        order = np.lexsort((np.repeat(rng.permutation(k), len(open_)), slots))[: len(open_)]
        fold_N[open_] = part[order]
    return fold_N
