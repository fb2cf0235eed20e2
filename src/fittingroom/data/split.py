"""Carves validation or folds out of train: stratified, by seed, duplicates on one side."""

from __future__ import annotations

import numpy as np

from fittingroom.data.dataset import Dataset, Images
from fittingroom.data.duplicates import cached_groups
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import DataSpec


def carve(
    images: Images, fraction: float, seed: int, group_N: np.ndarray | None = None
) -> tuple[Images, Images | None]:
    """Train and validation parts of `images`; validation is None for `fraction` 0.

    `fraction` (0 ≤ f < 1) of every class goes to validation, rounded. `group_N` numbers the group of each image (see
    `duplicates.groups`); a group is never divided.

    >>> all_images = Images(np.zeros((10, 1, 2, 2), np.uint8), np.arange(10) % 2, ("a", "b"))
    >>> train, val = carve(all_images, 0.4, seed=0)
    >>> len(train), np.bincount(val.labels_N).tolist()
    (6, [2, 2])
    """
    if fraction == 0:
        return images, None
    in_val = _draw(images.labels_N, len(images.classes), fraction, np.random.default_rng(seed), group_N)
    return images.take(np.flatnonzero(~in_val)), images.take(np.flatnonzero(in_val))


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


def prepare(data: Dataset, spec: DataSpec) -> tuple[Images, Images | None]:
    """The training and validation images that a recipe's `[data]` asks for, near duplicates on one side.

    Raises `FittingroomError` if too little is left to train on.
    """
    images, group_N = data.train, None
    if spec.val_fraction or spec.folds:
        group_N = cached_groups(images.images_NCHW, data.digest, data.home_dir)
    if spec.limit is not None and spec.limit < len(images):
        rng = np.random.default_rng(spec.split_seed)
        chosen = _draw(images.labels_N, len(images.classes), spec.limit / len(images), rng, None)
        images, group_N = images.take(np.flatnonzero(chosen)), group_N[chosen] if group_N is not None else None
    val: Images | None
    if spec.folds:
        held_out = folds(images.labels_N, spec.folds, spec.split_seed, group_N) == spec.fold
        train, val = images.take(np.flatnonzero(~held_out)), images.take(np.flatnonzero(held_out))
    else:
        train, val = carve(images, spec.val_fraction, spec.split_seed, group_N)
    if len(train) == 0 or (val is not None and len(val) == 0):
        raise FittingroomError(
            f"data.limit = {spec.limit} and data.val_fraction = {spec.val_fraction} leave {len(train)} images to train on "
            f"and {0 if val is None else len(val)} to validate on; raise data.limit"
        )
    return train, val


def _draw(
    labels_N: np.ndarray, k: int, fraction: float, rng: np.random.Generator, group_N: np.ndarray | None
) -> np.ndarray:
    """Which images are drawn (N,) bool: `fraction` of each class, whole groups only."""
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
