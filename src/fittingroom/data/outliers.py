"""Images unlike any other, by their distance to their nearest neighbours. Needs no model."""

from __future__ import annotations

import numpy as np

from fittingroom.data.dataset import Images
from fittingroom.data.pixels import flattened, leading_directions


def outliers(images: Images, among: Images | None = None, neighbours: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Rows by how far an image lies from its nearest neighbours (`among`, or the images themselves), the farthest first.

    With them that mean distance (N,), in grey levels (root mean square) of the leading principal directions.
    """
    from scipy.spatial import cKDTree

    flat = flattened(images.images_NCHW)
    space = flat if among is None else flattened(among.images_NCHW)
    mean = space.mean(0)
    basis = leading_directions(space - mean)
    tree = cKDTree((space - mean) @ basis)
    itself = int(among is None)
    k = min(neighbours, len(space) - itself) + itself  # of few images there are no ten others
    distance_Nk, _ = tree.query((flat - mean) @ basis, k=[*range(1, k + 1)])
    own = distance_Nk[:, itself:]
    far_N = own.mean(1) / np.sqrt(np.prod(images.shape))
    return np.argsort(-far_N, kind="stable"), far_N
