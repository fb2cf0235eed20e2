"""Arrays by key in a folder, which may be deleted at any time: what was computed once and would be the same again."""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import filelock
import numpy as np

from fittingroom.store.atomic import atomic


class KeptArrays:
    """Named collections of arrays of one shape, each known by a key of so many bytes.

    >>> KeptArrays(Path("no such folder")).read("a")
    {}
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Held while computing, so that what several processes need is computed by one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(self.folder / f"{name}.lock"):
            yield

    def read(self, name: str) -> dict[bytes, np.ndarray]:
        """What is kept; nothing of a file that is damaged, which is then written anew."""
        try:
            content = (self.folder / f"{name}.npz").read_bytes()
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                keys, values = file["keys"], file["values"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # its checksums don't fit
            return {}
        return {key.tobytes(): value for key, value in zip(keys, values, strict=True)}

    def write(self, name: str, known: Mapping[bytes, np.ndarray]) -> None:
        """Keep all of these, which are at least one."""
        keys = np.frombuffer(b"".join(known), np.uint8).reshape(len(known), -1)
        values = np.stack(list(known.values()))
        with atomic(self.folder / f"{name}.npz") as file:
            np.savez(file, allow_pickle=False, keys=keys, values=values)
