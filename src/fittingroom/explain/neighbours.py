"""A model's own space: training images near an image, the most typical of each class, and a map of the whole test set."""

from __future__ import annotations

import numpy as np

from fittingroom.spec.errors import need

NEAREST = 5
TYPICAL = 6
DIMENSIONS = 30  # principal ones of the features, in which the embedding looks for neighbours


def nearest(features_MD: np.ndarray, among_ND: np.ndarray, most: int = NEAREST) -> np.ndarray:
    """For each of M points the rows (M,`most`) of the nearest of N others, the nearest first (Euclidean).

    >>> nearest(np.array([[0.0]]), np.array([[3.0], [1.0], [-2.0]]), 2).tolist()
    [[1, 2]]
    """
    squared_MN = (features_MD**2).sum(1)[:, None] - 2 * features_MD @ among_ND.T + (among_ND**2).sum(1)[None]
    some = np.argpartition(squared_MN, min(most, squared_MN.shape[1] - 1), axis=1)[:, :most]
    order = np.argsort(np.take_along_axis(squared_MN, some, 1), axis=1, kind="stable")
    return np.asarray(np.take_along_axis(some, order, 1))


def prototypes(features_ND: np.ndarray, labels_N: np.ndarray, classes: int, most: int = TYPICAL) -> np.ndarray:
    """The rows (K,`most`) of each class that lie nearest to the class's mean; -1 where a class has fewer."""
    found = np.full((classes, most), -1)
    for c in range(classes):
        rows = np.flatnonzero(labels_N == c)
        if len(rows):
            centre = features_ND[rows].mean(0, keepdims=True)
            best = rows[nearest(centre, features_ND[rows], min(most, len(rows)))[0]]
            found[c, : len(best)] = best
    return found


def embedding(features_ND: np.ndarray, seed: int = 0, jobs: int = 1) -> np.ndarray:
    """A 2-D map (N,2) float32 in which near features stay near: t-SNE (van der Maaten & Hinton 2008), by openTSNE.

    Distances between far groups mean nothing. Raises `MissingExtra` without openTSNE.
    """
    need("openTSNE", "explain", "explain")
    from openTSNE import TSNE
    from sklearn.utils.extmath import randomized_svd

    centred = features_ND - features_ND.mean(0)
    if centred.shape[1] > DIMENSIONS:
        _, _, directions = randomized_svd(centred, DIMENSIONS, random_state=seed)
        centred = centred @ directions.T
    reduced = centred.astype(np.float64)
    perplexity = min(30, max(2, (len(reduced) - 1) // 3))
    # measured on 10,000 points, 2 threads: 6 s, where the defaults take 13 s for the same neighbours (docs/log.md)
    fast = {"negative_gradient_method": "fft", "n_iter": 300, "neighbors": "exact"}
    fitted = TSNE(perplexity=perplexity, n_jobs=jobs, random_state=seed, **fast).fit(reduced)
    return np.asarray(fitted, np.float32)
