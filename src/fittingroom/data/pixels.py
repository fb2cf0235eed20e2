"""Images as points: flat, and the few directions in which they differ most."""

from __future__ import annotations

import numpy as np

DIRECTIONS = 24  # more = distances nearer to the full ones, and a slower tree
SAMPLE = 5000  # images from which the directions are taken


def flattened(images_NCHW: np.ndarray) -> np.ndarray:
    """Each image's values as one row (N,D) float32."""
    return images_NCHW.reshape(len(images_NCHW), -1).astype(np.float32)


def leading_directions(centred_ND: np.ndarray, most: int = DIRECTIONS) -> np.ndarray:
    """The `most` (or all) orthonormal directions (D,`most`) of largest variance of points around zero, the widest last.

    >>> abs(leading_directions(np.array([[3.0, 0.1], [-3.0, 0.1], [1.0, -0.2]]), 1)).round(1).tolist()
    [[1.0], [0.0]]
    """
    _, directions = np.linalg.eigh(np.cov(centred_ND[:: max(1, len(centred_ND) // SAMPLE)].T))
    return np.asarray(directions[:, -most:], centred_ND.dtype)
