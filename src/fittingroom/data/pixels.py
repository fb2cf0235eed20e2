"""Images as arrays: rows of a file that need not be in memory, and images as points in few directions."""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

DIRECTIONS = 24  # more = distances nearer to the full ones, and a slower tree
SAMPLE = 5000  # images from which the directions are taken
CHUNK_BYTES = 64 << 20  # of pixels that are looked at together
FORGET_BYTES = 512 << 20  # of a mapped file, after which the process lets go of what it has seen
BATCH = 250  # images classified together; larger is no faster and takes more memory (measured: docs/log.md 2026-11-20)
BATCH_PIXELS = BATCH * 64 * 64  # in a batch, at most
SMALL = 32  # a larger image is compared by the sums of its blocks first
BLOCKS = 16  # of them along each side


class Rows:
    """Some rows of an (N,C,H,W) uint8 array in a file, in any order, read when they are asked for.

    Asking works like an array's fancy indexing and gives an array. `take` gives rows again, without reading.
    """

    def __init__(self, file: np.memmap, rows_N: np.ndarray) -> None:
        self.file, self.rows_N = file, rows_N
        self.dtype, self.ndim = file.dtype, file.ndim
        self._seen_bytes = 0

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.rows_N), *self.file.shape[1:])

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.rows_N)

    def __getitem__(self, key: slice | np.ndarray | list[int] | int) -> np.ndarray:
        if isinstance(key, int):
            return np.asarray(self[[key]][0])
        rows = self.rows_N[key]
        order = np.argsort(rows)  # a disk likes to go forwards
        out = np.empty((len(rows), *self.file.shape[1:]), np.uint8)
        out[order] = self.file[rows[order]]
        self._seen_bytes += out.nbytes
        if self._seen_bytes > FORGET_BYTES and hasattr(mmap, "MADV_DONTNEED"):
            # pages of the file count as ours until we say so; the system still has them in its cache
            self.file._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]
            self._seen_bytes = 0
        return out

    def __reduce__(self) -> tuple[Any, ...]:
        """To another process these rows travel as an array: it may not have the file, and shall not have its other rows."""
        return np.asarray, (self[:],)

    def take(self, rows: np.ndarray | slice) -> Rows:
        return Rows(self.file, self.rows_N[rows])


Pixels = np.ndarray | Rows


def take(pixels: Pixels, rows: np.ndarray | slice) -> Pixels:
    """These rows of `pixels`: a copy of an array (a view, of a slice), more `Rows` of a file."""
    return pixels.take(rows) if isinstance(pixels, Rows) else pixels[rows]


def chunks(pixels: Pixels) -> Iterator[np.ndarray]:
    """All of `pixels`, in order, in arrays of at most `CHUNK_BYTES` (or one image).

    >>> [len(c) for c in chunks(np.zeros((3, 1, 2, 2), np.uint8))]
    [3]
    """
    size = max(1, CHUNK_BYTES // max(1, int(np.prod(pixels.shape[1:]))))
    for first in range(0, len(pixels), size):
        yield pixels[first : first + size]


def at_once(shape: Sequence[int]) -> int:
    """How many images of this shape (C,H,W) are classified together: fewer where they are large.

    >>> at_once((1, 28, 28)), at_once((3, 224, 224))
    (250, 20)
    """
    return max(1, min(BATCH, BATCH_PIXELS // math.prod(shape[1:])))


def shrunk(pixels: Pixels, most_bytes: int) -> np.ndarray:
    """All of `pixels` in memory, each side divided by the smallest whole number that makes them at most `most_bytes`.

    >>> shrunk(np.zeros((1, 3, 8, 9), np.uint8), 60).shape
    (1, 3, 4, 4)
    """
    n, c, h, w = pixels.shape
    by = next(d for d in range(1, max(h, w) + 1) if n * c * (h // d) * (w // d) <= most_bytes or d >= min(h, w))
    if by == 1:
        return pixels[:]
    cut = (slice(None), slice(None), slice(h // by * by), slice(w // by * by))
    parts = [p[cut].reshape(len(p), c, h // by, by, w // by, by).mean((3, 5)).astype(np.uint8) for p in chunks(pixels)]
    return np.concatenate(parts)


def flattened(images_NCHW: Pixels) -> np.ndarray:
    """Each image as one row (N,D) float32: its values, or sums over blocks where it is large.

    The sums are scaled so that no distance between two rows is longer than between their images.

    >>> a = np.random.default_rng(0).integers(0, 255, (2, 3, 70, 64), np.uint8)
    >>> full = np.linalg.norm(a[0].astype(float) - a[1])
    >>> bool(0.1 * full < np.linalg.norm(np.subtract(*flattened(a))) < full)
    True
    """
    n, c, h, w = images_NCHW.shape
    if max(h, w) <= SMALL:
        return images_NCHW[:].reshape(n, -1).astype(np.float32)
    edges_h, edges_w = (np.unique(np.linspace(0, side, BLOCKS + 1).astype(int)[:-1]) for side in (h, w))
    sizes = np.outer(np.diff([*edges_h, h]), np.diff([*edges_w, w]))
    scale = (1 / np.sqrt(sizes)).astype(np.float32)
    out = np.empty((n, c * sizes.size), np.float32)
    first = 0
    for part in chunks(images_NCHW):
        sums = np.add.reduceat(np.add.reduceat(part, edges_h, axis=2, dtype=np.float32), edges_w, axis=3)
        out[first : first + len(part)] = (sums * scale).reshape(len(part), -1)
        first += len(part)
    return out


def leading_directions(centred_ND: np.ndarray, most: int = DIRECTIONS) -> np.ndarray:
    """The `most` (or all) orthonormal directions (D,`most`) of largest variance of points around zero, the widest last.

    >>> abs(leading_directions(np.array([[3.0, 0.1], [-3.0, 0.1], [1.0, -0.2]]), 1)).round(1).tolist()
    [[1.0], [0.0]]
    >>> leading_directions(np.array([[3.0], [-3.0]])).tolist()  # pictures of one pixel
    [[1.0]]
    """
    _, directions = np.linalg.eigh(np.atleast_2d(np.cov(centred_ND[:: max(1, len(centred_ND) // SAMPLE)].T)))
    return np.asarray(directions[:, -most:], centred_ND.dtype)
