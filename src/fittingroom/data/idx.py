"""The IDX format of MNIST's authors: big-endian header, then raw values."""

from __future__ import annotations

import math

import numpy as np

from fittingroom.spec.errors import FittingroomError


def parse_idx(payload: bytes, where: str = "file") -> np.ndarray:
    """The uint8 array in an IDX payload, without copying. Raises `FittingroomError` for anything else.

    >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9])).tolist()
    [7, 9]
    """
    if len(payload) < 4 or payload[:3] != b"\x00\x00\x08" or not 1 <= payload[3] <= 4:
        raise FittingroomError(f"{where} is not an IDX file of bytes; decompress it first if its name ends in .gz")
    dimensions = payload[3]
    start = 4 + 4 * dimensions
    if len(payload) < start:
        raise FittingroomError(f"{where} is cut off inside its header")
    shape = tuple(int(n) for n in np.frombuffer(payload[4:start], ">u4"))
    size = math.prod(shape)
    if len(shape) != dimensions or len(payload) - start != size:
        raise FittingroomError(f"{where} is cut off: its header says {size:,} values, it has {len(payload) - start:,}")
    return np.frombuffer(payload, np.uint8, offset=start).reshape(shape)
