"""What a person should know of a data set before trusting a score on it. Looks at the test images, but scores nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fittingroom.data.dataset import Dataset, Images
from fittingroom.data.duplicates import near_pairs


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


@dataclass(frozen=True)
class Inspection:
    """Figures and pictures of a whole data set."""

    counts: dict[str, np.ndarray]  # split → images of each class (K,)
    samples: list[np.ndarray]  # of train, for each class (≤ per_class,C,H,W) uint8
    mean_images: np.ndarray  # (K,C,H,W) uint8 of train
    histogram: dict[str, np.ndarray]  # split → share of pixels in 32 bins
    pixel_mean: dict[str, float]  # split → mean of values 0 … 255
    pixel_sd: dict[str, float]
    pairs: list[DuplicatePair]  # the closest first


def inspect(data: Dataset, per_class: int = 12) -> Inspection:
    """Inspect both splits of `data`."""
    test = data.test.unlock(announce=lambda: None)  # nothing is scored, so it is not a reading in the log's sense
    splits = {"train": data.train, "test": test}
    k = len(data.classes)
    rng = np.random.default_rng(0)
    rows = [rng.permutation(np.flatnonzero(data.train.labels_N == c))[:per_class] for c in range(k)]
    sums = [data.train.images_NCHW[data.train.labels_N == c].sum(0, dtype=np.float64) for c in range(k)]
    counts = np.bincount(data.train.labels_N, minlength=k)
    return Inspection(
        counts={name: np.bincount(part.labels_N, minlength=k) for name, part in splits.items()},
        samples=[data.train.images_NCHW[r] for r in rows],
        mean_images=np.stack([s / max(1, n) for s, n in zip(sums, counts, strict=True)]).round().astype(np.uint8),
        histogram={name: _histogram(part) for name, part in splits.items()},
        pixel_mean={name: float(part.images_NCHW.mean(dtype=np.float64)) for name, part in splits.items()},
        pixel_sd={name: float(part.images_NCHW.std(dtype=np.float64)) for name, part in splits.items()},
        pairs=_duplicates(data.train, test),
    )


def _histogram(images: Images) -> np.ndarray:
    counts = np.bincount(images.images_NCHW.reshape(-1), minlength=256).reshape(32, 8).sum(1)
    return np.asarray(counts / counts.sum())


def _duplicates(train: Images, test: Images) -> list[DuplicatePair]:
    together = np.concatenate([train.images_NCHW, test.images_NCHW])
    labels = np.concatenate([train.labels_N, test.labels_N])
    pairs, distances = near_pairs(together)

    def place(i: int) -> tuple[str, int]:
        return ("train", i) if i < len(train) else ("test", i - len(train))

    return [
        DuplicatePair(*place(i), *place(j), float(rms), together[i], together[j], int(labels[i]), int(labels[j]))
        for (i, j), rms in zip(pairs.tolist(), distances, strict=True)
    ]
