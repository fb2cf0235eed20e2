"""Arrays from a person's own program become a file in the home folder, which everything else can be told by its path."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from fittingroom.spec.errors import FittingroomError
from fittingroom.store.atomic import atomic


def keep_arrays(images: Any, labels: Any, home_dir: Path, name: str = "arrays") -> Path:
    """Write images and labels as an .npz, named by its content; its path. It is carved, decoded and cached like any other.

    Images are as in an .npz of one's own: (N,H,W), (N,H,W,C) or (N,C,H,W) with C = 1 or 3, whole numbers 0 … 255, floats 0 … 1,
    or any others (see `data.range`); labels are names, or whole numbers from 0. Raises `FittingroomError` for what is no such
    pair.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     keep_arrays(np.zeros((4, 8, 8), np.uint8), ["a", "b", "a", "b"], Path(home), "mine").name
    'mine-88308e26.npz'
    """
    pair = {"images": np.ascontiguousarray(images), "labels": np.asarray(labels)}
    if any(array.dtype == object for array in pair.values()) or len(pair["images"]) != len(pair["labels"]):
        found = ", ".join(f"{key} {array.dtype} {array.shape}" for key, array in pair.items())
        raise FittingroomError(f"data: got {found}; give as many labels as images, both plain arrays: (images, labels)")
    content = hashlib.sha256()
    for key, array in pair.items():
        content.update(f"{key} {array.dtype.str} {array.shape} ".encode() + array.tobytes())
    path = home_dir / "arrays" / f"{name}-{content.hexdigest()[:8]}.npz"
    if not path.exists():
        with atomic(path) as file:
            np.savez(file, allow_pickle=False, **pair)
    return path
