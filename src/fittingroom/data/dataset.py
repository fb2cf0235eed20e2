"""Resident images, and a test set behind a lock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fittingroom.data.acquire import Say, acquire, provenance, read_payload
from fittingroom.data.catalog import DatasetEntry, entry, home
from fittingroom.data.idx import parse_idx
from fittingroom.spec.errors import FittingroomError


@dataclass(frozen=True, eq=False, repr=False)
class Images:
    """Labelled images in memory: `images_NCHW` uint8 (0–255), `labels_N` int64 (0 … K-1), K class names.

    >>> tiny = Images(np.zeros((3, 1, 2, 2), np.uint8), np.array([0, 1, 1]), ("a", "b"))
    >>> len(tiny), tiny.take(np.array([2])).labels_N.tolist()
    (3, [1])
    """

    images_NCHW: np.ndarray
    labels_N: np.ndarray
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        assert self.images_NCHW.dtype == np.uint8 and self.images_NCHW.ndim == 4
        assert self.labels_N.shape == (len(self.images_NCHW),)

    def __len__(self) -> int:
        return len(self.labels_N)

    def __repr__(self) -> str:
        return f"<Images: {len(self):,} of {'×'.join(map(str, self.shape))}, {len(self.classes)} classes>"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        _, c, h, w = self.images_NCHW.shape
        return c, h, w

    def take(self, rows: np.ndarray) -> Images:
        return Images(self.images_NCHW[rows], self.labels_N[rows], self.classes)


class LockedTest:
    """A test set that cannot be looked at by accident: it holds no image until `unlock`, which is announced first.

    It is no `Images`, so nothing that trains, selects or tunes can be given one. Few places unlock it: the end of a
    run, `stress` and `audit`, which announce to the runs folder's log, and `data show`, which scores nothing.
    """

    def __init__(self, n: int, read: Callable[[], Images]) -> None:
        self.n = n
        self._read = read

    def unlock(self, announce: Callable[[], None]) -> Images:
        """The test images, read from disk after `announce` (which logs the reading) has returned."""
        announce()
        return self._read()


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A verified data set: all training images (not yet split) and the locked test set. Made by `load`."""

    name: str
    title: str
    digest: str
    classes: tuple[str, ...]
    may_flip: bool
    licence: str
    about: str
    train: Images
    test: LockedTest
    acquired: str  # from where, in words
    home_dir: Path

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.train.shape))
        return f"<Dataset {self.name}: {len(self.train):,} training and {self.test.n:,} locked test images, {shape}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dataset) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def _repr_html_(self) -> str:
        from html import escape

        c, h, w = self.train.shape
        return (
            f"<b>{escape(self.title)}</b>: {len(self.train):,} training images, {self.test.n:,} locked test images, "
            f"{c}×{h}×{w}, {len(self.classes)} classes ({escape(', '.join(self.classes))})"
        )


def load(name: str, home_dir: Path | str | None = None, say: Say = lambda line: None) -> Dataset:
    """The data set called `name`, fetched and verified if it is not in the cache yet.

    Raises `FittingroomError` for an unknown name, files that are not what they must be, or when no source delivers.

    >>> data = load("fashion-mnist")
    >>> data.train.images_NCHW.shape
    (60000, 1, 28, 28)
    """
    where = home(home_dir)
    found = entry(name, where)
    folder = acquire(found, where, say)
    files = found.files
    return Dataset(
        name=found.name,
        title=found.title,
        digest=found.digest,
        classes=found.classes,
        may_flip=found.may_flip,
        licence=found.licence,
        about=found.about,
        train=_read_images(found, folder, "train"),
        test=LockedTest(files.test_labels.size_bytes - 8, lambda: _read_images(found, folder, "test")),
        acquired=provenance(found, where),
        home_dir=where,
    )


def _read_images(found: DatasetEntry, folder: Path, split: str) -> Images:
    image_file, label_file = {
        "train": (found.files.train_images, found.files.train_labels),
        "test": (found.files.test_images, found.files.test_labels),
    }[split]
    images = parse_idx(read_payload(folder, image_file), image_file.name)
    labels = parse_idx(read_payload(folder, label_file), label_file.name).astype(np.int64)
    if images.ndim == 3:
        images = images[:, None]
    if labels.ndim != 1 or images.ndim != 4 or len(images) != len(labels):
        raise FittingroomError(f"{found.name}: {split} has {images.shape} images and {labels.shape} labels")
    if labels.size and labels.max() >= len(found.classes):
        raise FittingroomError(f"{found.name}: label {labels.max()} but only {len(found.classes)} class names")
    return Images(images, labels, found.classes)
