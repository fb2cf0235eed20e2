"""Arrays by key in a folder, which may be deleted at any time: what was computed once and would be the same again."""

from __future__ import annotations

import contextlib
import secrets
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock
import numpy as np

from fittingroom.store.atomic import atomic


@dataclass(frozen=True)
class _Part:
    """Arrays that were computed together. `values` are mapped where they are in a file."""

    row_of: dict[bytes, int]
    sums: np.ndarray  # CRC-32 of each array's bytes
    values: np.ndarray


class KeptArrays:
    """Named collections of arrays of one shape, each known by a key of so many bytes; in memory without a folder.

    >>> kept = KeptArrays()
    >>> kept.of("a", np.array([[1], [2]], np.uint8), lambda rows: np.eye(2)[rows]).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    >>> kept.of("a", np.array([[2]], np.uint8), lambda rows: np.zeros(0)).tolist()  # known
    [[0.0, 1.0]]
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._parts: dict[str, dict[str, _Part]] = {}

    def of(self, name: str, keys_N: np.ndarray, make: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """The array of each key (N,B) uint8, of which there is at least one; `make` gives those of the rows that nobody knows.

        Several processes may ask: one computes, the others wait. What is damaged is made anew.
        """
        keys = [key.tobytes() for key in keys_N]
        found, missing = self._known(name, keys)
        if missing:
            with self._lock(name):
                self._look(name)
                found, missing = self._known(name, keys)
                if missing:
                    made = make(np.fromiter(missing.values(), np.int64))
                    self._add(name, list(missing), made)
                    if not len(found):  # nothing was known of this name
                        found = np.empty((len(keys), *made.shape[1:]), made.dtype)
                    at = {key: i for i, key in enumerate(missing)}
                    for row, key in enumerate(keys):
                        if key in at:
                            found[row] = made[at[key]]
        return found

    def has(self, name: str, keys_N: np.ndarray) -> bool:
        """Whether all of these keys are there; what is damaged is found when it is asked for."""
        self._look(name)
        known = set().union(*(part.row_of for part in self._parts[name].values()))
        return all(key.tobytes() in known for key in keys_N)

    def _known(self, name: str, keys: list[bytes]) -> tuple[np.ndarray, dict[bytes, int]]:
        """The array of each key as far as it is known and whole, and the first row of each other key."""
        parts = list(self._parts.get(name, {}).values())
        found = np.empty((len(keys), *parts[0].values.shape[1:]), parts[0].values.dtype) if parts else np.empty(0)
        missing: dict[bytes, int] = {}
        for row, key in enumerate(keys):
            for part in parts:
                at = part.row_of.get(key)
                if at is not None and zlib.crc32(value := part.values[at]) == part.sums[at]:
                    found[row] = value
                    break
            else:
                missing.setdefault(key, row)
        return found, missing

    def _add(self, name: str, keys: list[bytes], values: np.ndarray) -> None:
        values = np.ascontiguousarray(values)
        sums = np.array([zlib.crc32(value) for value in values], np.uint32)
        if self.folder is None:
            parts = self._parts.setdefault(name, {})
            for other in [one for one in self._parts if one != name][:-1]:  # memory is not a disk
                del self._parts[other]
            parts[str(len(parts))] = _Part({key: i for i, key in enumerate(keys)}, sums, values)
            return
        stem = secrets.token_hex(8)
        for suffix, content in (
            (".npy", values),
            (".sums.npy", sums),
            (".keys.npy", np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), -1)),  # last: now it is there
        ):
            with atomic(self.folder / name / f"{stem}{suffix}") as file:
                np.save(file, content, allow_pickle=False)
        self._look(name)

    def _look(self, name: str) -> None:
        """Look for what other processes computed; a part that cannot be read is none."""
        parts = self._parts.setdefault(name, {})
        for file in sorted((self.folder / name).glob("*.keys.npy")) if self.folder else ():
            stem = file.name.partition(".")[0]
            if stem not in parts:
                with contextlib.suppress(OSError, ValueError, EOFError):
                    keys_N, sums = np.load(file), np.load(file.with_name(f"{stem}.sums.npy"))
                    values = np.load(file.with_name(f"{stem}.npy"), mmap_mode="r")
                    if len(keys_N) == len(sums) == len(values):
                        parts[stem] = _Part({key.tobytes(): i for i, key in enumerate(keys_N)}, sums, values)

    @contextlib.contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        """Held while computing, so that what several processes need is computed by one."""
        if self.folder is None:
            yield
            return
        (self.folder / name).mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(self.folder / name / ".lock"):
            yield
