"""Exact and near duplicates, without comparing every pair.

A projection on orthonormal directions never lengthens a distance, so two images closer than the threshold are also closer
in the projection. A k-d tree finds those candidates, the full pixels decide.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import numpy as np

from fittingroom.data.pixels import CHUNK_BYTES, Pixels, chunks, flattened, leading_directions, take
from fittingroom.spec.errors import FittingroomError
from fittingroom.store.atomic import atomic
from fittingroom.store.runs import load_npz

NEAR_RMS = 8.0  # grey levels of 255; judged on the pairs that `data show` prints: docs/log.md 2026-11-20
USUAL_SD = 64.0  # of a picture's pixels: what eight levels are judged by
PALE_SD = 32.0  # of a set whose pictures hardly differ from grey, or are mostly black: eight levels would be nearly all there is
SAMPLED = 1000  # pictures by which that is seen
_groups: dict[tuple[str, int, float | None, Path], np.ndarray] = {}  # of this process's last few data sets


def near_rms(images_NCHW: Pixels) -> float:
    """How little images differ (root mean square, grey levels) that are near copies: 8 of 255, in a pale set less in proportion.

    Pale is a set whose median picture has a standard deviation under 32 levels: digits stored as 0 … 16, masks of 0 and 1, strips
    that became mostly black. What pictures look like counts there, not how many levels they have.

    >>> grey = np.random.default_rng(0).integers(0, 256, (4, 1, 8, 8), np.uint8)
    >>> near_rms(grey), near_rms(grey // 16) < 1
    (8.0, True)
    """
    if not len(images_NCHW):
        return NEAR_RMS
    some = images_NCHW[np.linspace(0, len(images_NCHW) - 1, min(SAMPLED, len(images_NCHW))).astype(int)]
    sd = float(np.median(some.reshape(len(some), -1).std(1)))
    return NEAR_RMS if sd >= PALE_SD else NEAR_RMS * sd / USUAL_SD


def near_pairs(images_NCHW: Pixels, rms: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (P,2) of rows i < j whose pixels differ by at most `rms` (root mean square, grey levels), and that distance (P,).

    Exact duplicates have distance 0. Sorted by distance. Without `rms`, what `near_rms` says of these images.

    >>> a = np.random.default_rng(0).integers(0, 255, (4, 1, 6, 6), dtype=np.uint8)
    >>> a[3] = a[1]; near_pairs(a)[0].tolist()
    [[1, 3]]
    """
    from scipy.spatial import cKDTree

    if len(images_NCHW) < 2:
        return np.zeros((0, 2), np.int64), np.zeros(0, np.float32)
    rms = near_rms(images_NCHW) if rms is None else rms
    flat = flattened(images_NCHW)
    centred = flat - flat.mean(0)
    tree = cKDTree(centred @ leading_directions(centred))
    values = int(np.prod(images_NCHW.shape[1:]))
    slack = 1e-3  # rounding of the projection must not lose a pair
    candidates = tree.query_pairs(rms * np.sqrt(values) + slack, output_type="ndarray")
    if flat.shape[1] < values:  # sums of blocks: they rule most pairs out before any pixel is read
        limit = rms * np.sqrt(values) * (1 + 1e-5)
        candidates = candidates[_distances(flat, candidates) * np.sqrt(flat.shape[1]) <= limit]
        distances = _distances(images_NCHW, candidates)
    else:
        distances = _distances(flat, candidates)
    near = distances <= rms
    pairs, distances = np.sort(candidates[near].astype(np.int64), axis=1), distances[near]
    order = np.lexsort((pairs[:, 1], pairs[:, 0], distances))
    return pairs[order], distances[order]


def _distances(points: Pixels, pairs: np.ndarray) -> np.ndarray:
    """The root mean square difference (P,) of each of `pairs` of rows."""
    size = max(1, CHUNK_BYTES // (4 * int(np.prod(points.shape[1:]))))
    found = [np.zeros(0, np.float32)]
    for first in range(0, len(pairs), size):
        block = pairs[first : first + size]
        a, b = (points[block[:, i]].reshape(len(block), -1).astype(np.float32, copy=False) for i in (0, 1))
        found.append(np.sqrt(np.mean((a - b) ** 2, axis=1)))
    return np.concatenate(found)


def groups(n: int, pairs: np.ndarray) -> np.ndarray:
    """For each of `n` images the number of its group (N,): images joined by a chain of `pairs` share one.

    >>> groups(4, np.array([[1, 3]])).tolist()
    [0, 1, 2, 1]
    """
    # each points to a smaller one that it hangs together with, or to itself (SciPy's components, which take longer to load)
    first_N = np.arange(n)
    while True:
        a_P, b_P = first_N[pairs[:, 0]], first_N[pairs[:, 1]]
        low_P, nearer_N = np.minimum(a_P, b_P), first_N.copy()
        np.minimum.at(nearer_N, a_P, low_P)
        np.minimum.at(nearer_N, b_P, low_P)
        nearer_N = nearer_N[nearer_N]
        if np.array_equal(nearer_N, first_N):
            return np.unique(first_N, return_inverse=True)[1].astype(np.int32)
        first_N = nearer_N


def joined_groups(a_N: np.ndarray, b_N: np.ndarray) -> np.ndarray:
    """The groups (N,) of images that share a group in `a_N` or in `b_N`, by chains of both.

    >>> joined_groups(np.array([0, 0, 1, 2]), np.array([5, 6, 6, 7])).tolist()
    [0, 0, 0, 1]
    """
    n = len(a_N)
    nodes = [np.unique(group_N, return_inverse=True)[1] for group_N in (a_N, b_N)]
    links = [np.stack([np.arange(n), n + nodes[0]], 1), np.stack([np.arange(n), 2 * n + nodes[1]], 1)]
    return np.unique(groups(3 * n, np.concatenate(links))[:n], return_inverse=True)[1]


def near_links(images_NCHW: Pixels, rms: float | None = None) -> np.ndarray:
    """Pairs (P,2) that join the same images as `near_pairs` does, without every pair among the exact copies of one."""
    first_of: dict[bytes, int] = {}
    row = 0
    copies = []
    for part in chunks(images_NCHW):
        for image in part:
            first = first_of.setdefault(hashlib.sha256(image.tobytes()).digest(), row)
            if first != row:
                copies.append((first, row))
            row += 1
    kept = np.array(list(first_of.values()), np.int64)
    rms = near_rms(images_NCHW) if rms is None else rms
    pairs, _ = near_pairs(take(images_NCHW, kept) if copies else images_NCHW, rms)
    return np.concatenate([kept[pairs], np.array(copies, np.int64).reshape(-1, 2)])


def cached_groups(images_NCHW: Pixels, digest: str, home_dir: Path, rms: float | None = None) -> np.ndarray:
    """`groups` of a data set's training images by `near_links`, computed once a data set and kept beside it."""
    asked = digest, len(images_NCHW), rms, home_dir
    if asked not in _groups:
        if len(_groups) > 8:
            _groups.pop(next(iter(_groups)))
        _groups[asked] = _kept_groups(images_NCHW, digest, home_dir, rms)
    return _groups[asked]


def _kept_groups(images_NCHW: Pixels, digest: str, home_dir: Path, rms: float | None) -> np.ndarray:
    rms = near_rms(images_NCHW) if rms is None else rms
    file = home_dir / "duplicates" / f"{digest[:16]}-{len(images_NCHW)}-rms{rms:g}.npz"  # train, or all but test
    with contextlib.suppress(FittingroomError):  # damaged: it is made again
        if file.exists():
            return groups(len(images_NCHW), load_npz(file)["pairs"])
    pairs = near_links(images_NCHW, rms)
    with contextlib.suppress(FittingroomError), atomic(file) as out:  # a shared home may be read-only
        np.savez_compressed(out, pairs=pairs)
    return groups(len(images_NCHW), pairs)
