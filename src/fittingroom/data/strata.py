"""Which images go together: a part of every class, or parts for cross-validation; near duplicates are never divided."""

from __future__ import annotations

import numpy as np

FEW = 4  # groups, of which one alone is held out


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


def draw_groups(
    labels_N: np.ndarray, k: int, fraction: float, rng: np.random.Generator, group_N: np.ndarray, least: int = 1
) -> np.ndarray:
    """As `draw`, where most images belong together: whole groups, so that every class comes as near to `fraction` as they allow.

    Groups are taken in a random order, the large ones rather early, each if the classes come nearer by it, and none that is all
    that is left of a class; at least `least` of them (of four groups and more), where there are such that may go.

    >>> drawn = draw_groups(np.arange(8) % 2, 2, 0.25, np.random.default_rng(0), np.arange(8) // 2)
    >>> int(drawn.sum()), bool((drawn[::2] == drawn[1::2]).all())
    (2, True)
    """
    counts_GK, number_N = _counts(labels_N, k, group_N)
    all_K = counts_GK.sum(0)
    wanted_K, drawn_K = all_K * fraction, np.zeros(k)
    chosen = np.zeros(len(counts_GK), bool)

    def may_go(group: int) -> bool:
        return not ((drawn_K + counts_GK[group] == all_K) & (counts_GK[group] > 0)).any()

    for group in _large_early(counts_GK, rng):
        after_K = drawn_K + counts_GK[group]
        nearer = (((after_K - wanted_K) ** 2 - (drawn_K - wanted_K) ** 2) / np.maximum(all_K, 1)).sum() < 0
        if nearer and may_go(group):
            chosen[group], drawn_K = True, after_K
    for group in counts_GK.sum(1).argsort(kind="stable"):  # all were too large: the smallest do least harm
        if fraction <= 0 or chosen.sum() >= (least if len(chosen) >= FEW else 1):
            break
        if not chosen[group] and may_go(group):
            chosen[group], drawn_K = True, drawn_K + counts_GK[group]
    return np.asarray(chosen[number_N])


def some_groups(labels_N: np.ndarray, k: int, wanted: int, rng: np.random.Generator, group_N: np.ndarray) -> np.ndarray:
    """Which images are kept (N,) bool where about `wanted` are to be, whole groups only, and of each class at least one group.

    >>> kept = some_groups(np.repeat([0, 1, 2], 4), 3, 2, np.random.default_rng(0), np.repeat([0, 1, 2], 4))
    >>> int(kept.sum())
    12
    """
    counts_GK, number_N = _counts(labels_N, k, group_N)
    kept, order = np.zeros(len(counts_GK), bool), rng.permutation(len(counts_GK))
    for label in np.flatnonzero(counts_GK.sum(0)):
        if not counts_GK[kept][:, label].any():
            own = order[counts_GK[order, label] > 0]
            kept[own[counts_GK[own].sum(1).argmin()]] = True
    size_G = counts_GK.sum(1)
    images = size_G[kept].sum()
    for group in order[~kept[order]]:
        if images + size_G[group] / 2 <= wanted:
            kept[group], images = True, images + size_G[group]
    return np.asarray(kept[number_N])


def deal_groups(labels_N: np.ndarray, k: int, rng: np.random.Generator, group_N: np.ndarray) -> np.ndarray:
    """As `folds`, where most images belong together: each group to the part whose classes need it most.

    >>> sorted(np.bincount(deal_groups(np.arange(8) % 2, 2, np.random.default_rng(0), np.arange(8) // 2)).tolist())
    [4, 4]
    """
    counts_GK, number_N = _counts(labels_N, int(labels_N.max()) + 1, group_N)
    total_K = np.maximum(counts_GK.sum(0), 1)
    held_FK, fold_G = np.zeros((k, counts_GK.shape[1])), np.zeros(len(counts_GK), np.int64)
    for group in _large_early(counts_GK, rng):
        fuller_F = ((2 * held_FK + counts_GK[group]) * counts_GK[group] / total_K).sum(1)
        fold = int(np.lexsort((rng.permutation(k), held_FK.sum(1), fuller_F))[0])
        fold_G[group] = fold
        held_FK[fold] += counts_GK[group]
    return np.asarray(fold_G[number_N])


def _counts(labels_N: np.ndarray, k: int, group_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The images of each class in each group (G,K), and the number of each image's group."""
    names, number_N = np.unique(group_N, return_inverse=True)
    cells = np.bincount(number_N * k + labels_N, minlength=len(names) * k)
    return cells.reshape(len(names), k), number_N


def _large_early(counts_GK: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An order of the groups: by size, each size blurred by up to a half, so that the seed decides between alike ones."""
    return np.argsort(-counts_GK.sum(1) * rng.uniform(0.5, 1.5, len(counts_GK)), kind="stable")


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
