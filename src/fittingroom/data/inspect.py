"""What a person should know of a data set before trusting a score on it. Looks at the test images, but scores nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np

from fittingroom.data.dataset import Dataset, Images
from fittingroom.data.duplicates import near_pairs, near_rms
from fittingroom.data.pixels import chunks
from fittingroom.data.split import joined


@dataclass(frozen=True)
class DuplicatePair:
    """Two images whose pixels differ by `rms` grey levels (0 = exact)."""

    split_a: str
    row_a: int
    split_b: str
    row_b: int
    rms: float
    image_a: np.ndarray  # (C,H,W) uint8
    image_b: np.ndarray
    label_a: int
    label_b: int
    name_a: str  # what they are called: "train #3", or their files
    name_b: str


@dataclass(frozen=True)
class Inspection:
    """Figures and pictures of a whole data set."""

    counts: dict[str, np.ndarray]  # split → images of each class (K,)
    samples: list[np.ndarray]  # of train, for each class (≤ per_class,C,H,W) uint8
    mean_images: np.ndarray  # (K,C,H,W) uint8 of train
    histogram: dict[str, np.ndarray]  # split → share of pixels in 32 bins
    pixel_mean: dict[str, float]  # split → mean of values 0 … 255
    pixel_sd: dict[str, float]
    near_rms: float  # grey levels by which pairs differ at most
    pairs: list[DuplicatePair]  # the closest first


def inspect(data: Dataset, per_class: int = 12) -> Inspection:
    """Inspect all splits of `data`."""
    test = data.test.unlock(announce=lambda: None)  # nothing is scored, so it is not a reading in the log's sense
    splits = {"train": data.train, **({"val": data.val} if data.val else {}), "test": test}
    k = len(data.classes)
    rng = np.random.default_rng(0)
    rows = [rng.permutation(np.flatnonzero(data.train.labels_N == c))[:per_class] for c in range(k)]
    of_level = {name: _levels(part) for name, part in splits.items()}
    within = near_rms(data.train.images_NCHW)
    mean = {name: float(np.average(np.arange(256), weights=n)) for name, n in of_level.items()}
    return Inspection(
        counts={name: np.bincount(part.labels_N, minlength=k) for name, part in splits.items()},
        samples=[data.train.images_NCHW[r] for r in rows],
        mean_images=_mean_images(data.train),
        histogram={name: n.reshape(32, 8).sum(1) / n.sum() for name, n in of_level.items()},
        pixel_mean=mean,
        pixel_sd={
            s: float(np.sqrt(np.average((np.arange(256) - mean[s]) ** 2, weights=n))) for s, n in of_level.items()
        },
        near_rms=within,
        pairs=_duplicates(splits, within),
    )


def _levels(images: Images) -> np.ndarray:
    """How many values of each grey level 0 … 255 there are (256,)."""
    return np.asarray(
        np.sum([np.bincount(part.reshape(-1), minlength=256) for part in chunks(images.images_NCHW)], axis=0)
    )


def _mean_images(images: Images) -> np.ndarray:
    """The mean image of each class (K,C,H,W) uint8; black for a class without images."""
    sums, first = np.zeros((len(images.classes), *images.shape)), 0
    for part in chunks(images.images_NCHW):
        labels = images.labels_N[first : first + len(part)]
        for label in np.unique(labels):
            sums[label] += part[labels == label].sum(0, dtype=np.float64)
        first += len(part)
    counts = np.bincount(images.labels_N, minlength=len(sums))
    return np.asarray((sums / np.maximum(1, counts)[:, None, None, None]).round().astype(np.uint8))


def _duplicates(splits: dict[str, Images], within: float) -> list[DuplicatePair]:
    together = reduce(joined, splits.values())
    pairs, distances = near_pairs(together.images_NCHW, within)
    places = [(name, row) for name, part in splits.items() for row in range(len(part))]

    def pair(i: int, j: int, rms: float) -> DuplicatePair:
        (split_a, row_a), (split_b, row_b) = places[i], places[j]
        a, b = (np.asarray(together.images_NCHW[k]) for k in (i, j))
        labels, named = together.labels_N, together.names_N
        called = [
            f"{s} #{r}" if named is None else str(named[k]) for k, s, r in ((i, split_a, row_a), (j, split_b, row_b))
        ]
        return DuplicatePair(split_a, row_a, split_b, row_b, rms, a, b, int(labels[i]), int(labels[j]), *called)

    return [pair(i, j, float(rms)) for (i, j), rms in zip(pairs.tolist(), distances, strict=True)]
