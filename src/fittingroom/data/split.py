"""What a recipe trains and validates on: carved out of train by seed, unless the data bring it along."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fittingroom.data.dataset import Dataset, Images, LockedTest
from fittingroom.data.duplicates import cached_groups, joined_groups
from fittingroom.data.pixels import Pixels, Rows
from fittingroom.data.strata import deal_groups, draw, draw_groups, folds, some_groups
from fittingroom.spec.digest import digest
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import DataSpec


def carve(
    images: Images, fraction: float, seed: int, group_N: np.ndarray | None = None
) -> tuple[Images, Images | None]:
    """Train and validation parts of `images`; validation is None for `fraction` 0.

    `fraction` (0 ≤ f < 1) of every class goes to validation, rounded. `group_N` numbers the group of each image (see
    `duplicates.groups`; not given: the images' own); a group is never divided.

    >>> all_images = Images(np.zeros((10, 1, 2, 2), np.uint8), np.arange(10) % 2, ("a", "b"))
    >>> train, val = carve(all_images, 0.4, seed=0)
    >>> len(train), np.bincount(val.labels_N).tolist()
    (6, [2, 2])
    """
    if fraction == 0:
        return images, None
    in_val = _held_out(images, slice(None), fraction, seed, images.groups_N if group_N is None else group_N)
    return images.take(np.flatnonzero(~in_val)), images.take(np.flatnonzero(in_val))


def prepare(data: Dataset, spec: DataSpec) -> tuple[Images, Images | None]:
    """The training and validation images that a recipe's `[data]` asks for, near duplicates on one side.

    Validation images that came with the data are taken as they are; folds are made of these and train together, and with
    `spec.val_is` "train" all else is, too. What `spec.exclude` names is taken out of both after they were drawn.
    Raises `FittingroomError` if too little is left to train on.
    """
    by_fold = spec.folds and spec.fold_is == "val"
    images, val = (not_test(data), None) if by_fold or spec.val_is == "train" else (data.train, data.val)
    rows, group_N, k = np.arange(len(images)), None, len(images.classes)
    limited = spec.limit is not None and spec.limit < len(images)
    if by_fold or (spec.val_fraction and val is None) or (limited and images.groups_N is not None):
        group_N = undivided(images, data, spec.near)
    if limited:
        assert spec.limit is not None
        rng, share = np.random.default_rng(spec.split_seed), spec.limit / len(images)
        if images.groups_N is None:
            chosen = draw(images.labels_N, k, share, rng, None)
        else:
            chosen = some_groups(images.labels_N, k, spec.limit, rng, images.groups_N)
        rows, group_N = rows[chosen], group_N[chosen] if group_N is not None else None
    held_out = np.zeros(len(rows), bool)
    if by_fold:
        held_out = _parts(images, rows, spec, group_N) == spec.fold
    elif val is None and spec.val_fraction:
        held_out = _held_out(images, rows, spec.val_fraction, spec.split_seed, group_N)
    left_in = ~np.isin(rows, _excluded(spec))  # taken out last, so that both parts keep what they had
    train = _some(images, rows[~held_out & left_in])
    if val is None and held_out.any():
        val = _some(images, rows[held_out & left_in])
    if len(train) == 0 or (val is not None and len(val) == 0):
        by_limit = f"data.limit = {spec.limit} and " if spec.limit is not None else ""
        raise FittingroomError(
            f"{by_limit}data.val_fraction = {spec.val_fraction} leave {len(train)} images to train on "
            f"and {0 if val is None else len(val)} to validate on; "
            + (
                "raise data.limit"
                if by_limit
                else f"there are {len(data.train)} in all: add pictures, or raise data.val_fraction"
            )
        )
    return train, val


def _some(images: Images, rows: np.ndarray) -> Images:
    """These rows, which are in order: the images themselves if they are all of them, for a copy takes memory."""
    return images if len(rows) == len(images) else images.take(rows)


def _excluded(spec: DataSpec) -> np.ndarray:
    assert not isinstance(spec.exclude, str)  # `study.plan` reads the file
    if spec.exclude and spec.folds:
        raise FittingroomError("data.exclude goes with whole trainings; leave it away where there are folds")
    return np.array(spec.exclude, np.int64)


def fold_of(data: Dataset, spec: DataSpec) -> Dataset:
    """For `fold_is = "test"`: the data set whose test set is part `fold` of all images but the real test set, which stays out.

    Any other `spec` gets `data` back.
    """
    if not spec.folds or spec.fold_is == "val":
        return data
    images = not_test(data)
    held_out = fold_numbers(data, spec) == spec.fold
    if not held_out.any():
        raise FittingroomError(
            f"{len(images)} images leave part {spec.fold + 1} of {spec.folds} empty; give fewer folds"
        )
    near = {} if spec.near is None else {"near": spec.near}
    n_groups = 0 if images.groups_N is None else len(np.unique(images.groups_N[held_out]))
    part = f"{data.name}, part {spec.fold + 1} of {spec.folds}"
    return replace(
        data,
        title=part,
        digest=digest({"of": data.digest, "folds": spec.folds, "fold": spec.fold, "seed": spec.split_seed} | near),
        train=images.take(np.flatnonzero(~held_out)),
        val=None,
        test=LockedTest(int(held_out.sum()), lambda: images.take(np.flatnonzero(held_out)), n_groups),
        acquired=f"{data.acquired}; the test images are held-out training images",
    )


def fold_numbers(data: Dataset, spec: DataSpec) -> np.ndarray:
    """The part (N,), 0 … `spec.folds` - 1, of each image of `not_test(data)`."""
    images = not_test(data)
    return _parts(images, slice(None), spec, undivided(images, data, spec.near))


def _held_out(
    images: Images, rows: np.ndarray | slice, fraction: float, seed: int, group_N: np.ndarray | None
) -> np.ndarray:
    """Which of these rows are held out (N,) bool; `group_N` numbers what belongs together, near copies and groups."""
    labels_N, k, rng = images.labels_N[rows], len(images.classes), np.random.default_rng(seed)
    if images.groups_N is None:
        return draw(labels_N, k, fraction, rng, group_N)
    assert group_N is not None
    return draw_groups(labels_N, k, fraction, rng, group_N)


def _parts(images: Images, rows: np.ndarray | slice, spec: DataSpec, group_N: np.ndarray | None) -> np.ndarray:
    """The part (N,) of a cross-validation that each of these rows is in."""
    labels_N = images.labels_N[rows]
    if images.groups_N is None:
        return folds(labels_N, spec.folds, spec.split_seed, group_N)
    assert group_N is not None
    return deal_groups(labels_N, spec.folds, np.random.default_rng(spec.split_seed), group_N)


def undivided(images: Images, data: Dataset, near: float | None) -> np.ndarray:
    """The number (N,) of what no split divides: near duplicates, and the groups that `data.group` names, by chains of both.

    `near` is `data.near`, how little near duplicates differ.
    """
    near_N = cached_groups(images.images_NCHW, data.digest, data.home_dir, near)
    return near_N if images.groups_N is None else joined_groups(near_N, images.groups_N)


def not_test(data: Dataset) -> Images:
    """All images but the test set: train, with the validation images that came along."""
    return joined(data.train, data.val) if data.val is not None else data.train


def joined(a: Images, b: Images) -> Images:
    """All images of both, those of `a` first."""
    one, other = a.images_NCHW, b.images_NCHW
    if isinstance(one, Rows) and isinstance(other, Rows):
        pixels: Pixels = Rows(one.file, np.concatenate([one.rows_N, other.rows_N]))
    else:
        pixels = np.concatenate([one[:], other[:]])
    both = ((a.groups_N, b.groups_N), (a.names_N, b.names_N))
    groups_N, names_N = (None if x is None or y is None else np.concatenate([x, y]) for x, y in both)
    return Images(pixels, np.concatenate([a.labels_N, b.labels_N]), a.classes, groups_N, names_N)
