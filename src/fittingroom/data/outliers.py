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
    distance_Nk, _ = tree.query((flat - mean) @ basis, k=neighbours + (among is None))
    own = distance_Nk[:, 1:] if among is None else distance_Nk
    far_N = own.mean(1) / np.sqrt(np.prod(images.shape))
    return np.argsort(-far_N, kind="stable"), far_N
