"""Seals: what a file was when it was written. What is read later is that, or it is told.

A seal finds damage (a flipped bit, a changed digit, files that were mixed up), not a forger, who could make another.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.printable import printable

T = TypeVar("T", bound=BaseModel)
OWN = "seal"  # the key of a JSON object's or a file of tensors' own seal


class Damaged(FittingroomError):
    """A file is not what it was when it was written, or does not agree with the others of its run."""


class FileSeal(NamedTuple):
    """What a file was: its size and its SHA-256."""

    size: int
    sha256: str

    @classmethod
    def of(cls, content: bytes) -> FileSeal:
        """The seal of this content.

        >>> FileSeal.of(b"whole").size
        5
        """
        return cls(len(content), hashlib.sha256(content).hexdigest())


@dataclass(frozen=True)
class Seal:
    """What a finished run's `DONE` holds: what its files were, and what ties them together.

    A file may be one of two while it is being replaced, and None is one that is not there (yet).
    """

    finished: str
    digest: str
    seed: int
    epochs: int
    images: dict[str, int]  # scored, by split
    files: dict[str, list[FileSeal | None]]

    def refuse_changed(self, name: str, content: bytes | None) -> None:
        """Raises `Damaged` unless this is what the file `name` was, and for one that was never a part of the run."""
        known = self.files.get(name, [None])
        found = None if content is None else FileSeal.of(content)
        if found in known:
            return
        if not any(known):
            raise Damaged("is not of this run: nobody sealed it")
        was = next(seal for seal in reversed(known) if seal is not None)
        if found is None:
            raise Damaged("is missing")
        if found.size != was.size:
            raise Damaged(f"has {found.size:,} bytes, and had {was.size:,} when it was written")
        raise Damaged("is not what it was when it was written (its SHA-256 differs)")


def read_seal(content: bytes) -> Seal | None:
    """The seal in a run's `DONE`; None for one of before there were seals, which held a time. Raises `Damaged`."""
    text = content.decode("utf-8", "replace").strip()
    if len(text) < 40 and text[:4].isdigit():
        return None
    body, _, own = content.rstrip(b"\n").rpartition(b"\n")
    if own.decode("utf-8", "replace") != hashlib.sha256(body).hexdigest():
        raise Damaged("is not what it was when it was written (its seal differs)")
    try:
        tree = json.loads(body)
        tree["files"] = {name: [FileSeal(*one) if one else None for one in was] for name, was in tree["files"].items()}
        return Seal(**tree)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Damaged(f"is damaged ({first_line(error)})") from None


def plain_bytes(path: Path, most: int) -> bytes:
    """What is in a file, looked at before it is read: no pipe, device or folder, and no more than `most` bytes.

    Raises `Damaged`, `FileNotFoundError` where there is none.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(str(path)) from None
    except OSError as error:
        raise Damaged(f"cannot be read ({error.strerror})") from None
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode):
        os.close(descriptor)
        raise Damaged("is no plain file")
    with os.fdopen(descriptor, "rb") as file:
        if about.st_size > most:
            raise Damaged(f"has {about.st_size:,} bytes, which is more than such a file ever has ({most:,})")
        try:
            return file.read()
        except OSError as error:
            raise Damaged(f"cannot be read ({error.strerror})") from None


def written_seal(seal: Seal) -> str:
    """What a run's `DONE` holds: the seal as JSON, and on the last line the SHA-256 of that text."""
    body = json.dumps(asdict(seal), indent=1)
    return f"{body}\n{hashlib.sha256(body.encode()).hexdigest()}\n"


def json_with_seal(tree: Mapping[str, Any]) -> str:
    """A JSON object as text, with the seal of all else in it as its last key.

    >>> sealed_json(json_with_seal({"a": 1}))
    {'a': 1}
    """
    plain = json.loads(json.dumps(tree))
    sealed = plain | {OWN: _of_json(plain)}
    text = json.dumps(sealed, indent=1, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # names of files may be no UTF-8
        text = json.dumps(sealed, indent=1)
    return text + "\n"


def sealed_json(content: str | bytes, demanded: bool = False) -> dict[str, Any]:
    """The JSON object that was written with its seal, without it. Of before there were seals it has none.

    Raises `Damaged` for one that has changed, or has none where one is `demanded`, ValueError for what is no JSON object
    (RecursionError is made one).
    """
    try:
        tree = json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if not isinstance(tree, dict):
        raise ValueError("it is no JSON object")
    own = tree.pop(OWN, None)
    _refuse_unsealed(own, demanded)
    if own is not None and own != _of_json(tree):
        raise Damaged("is not what it was when it was written (its seal differs)")
    return tree


def sealed_record(kind: type[T], path: Path, most: int) -> T:
    """What `json_with_seal` wrote of a record. Raises `Damaged`, which doesn't name the file, and `FileNotFoundError`."""
    try:
        return kind.model_validate_json(json.dumps(sealed_json(plain_bytes(path, most))))
    except ValueError as error:
        raise Damaged(f"is damaged ({first_line(error)})") from None


def tensors_with_seal(arrays: Mapping[str, np.ndarray]) -> bytes:
    """A safetensors file with the seal of its tensors in it.

    >>> sealed_tensors(tensors_with_seal({"a": np.ones(2)}))["a"].tolist()
    [1.0, 1.0]
    """
    plain = {name: np.asarray(value, order="C") for name, value in arrays.items()}
    return save(plain, {OWN: _of_tensors(plain)})


def sealed_tensors(content: bytes) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file; those with a seal are what it says. Raises `Damaged`."""
    try:
        arrays = load(content)
        size = struct.unpack("<Q", content[:8])[0]
        own = json.loads(content[8 : 8 + size]).get("__metadata__", {}).get(OWN)
    except (SafetensorError, ValueError, struct.error, KeyError, AttributeError) as error:
        raise Damaged(f"is not readable ({first_line(error)})") from None
    if own is not None and own != _of_tensors(arrays):
        raise Damaged("is not what it was when it was written (its seal differs)")
    return arrays


def arrays_with_seal(arrays: Mapping[str, np.ndarray], of: str) -> dict[str, np.ndarray]:
    """Arrays for an .npz file, with the seal of all of them, and of what they belong to, among them.

    >>> sorted(sealed_arrays(arrays_with_seal({"a": np.ones(2)}, "study x"), "study x"))
    ['a']
    """
    return {**arrays, OWN: np.array(_of_tensors({**arrays, "of": np.array(of)}))}


def sealed_arrays(arrays: Mapping[str, np.ndarray], of: str, demanded: bool = False) -> dict[str, np.ndarray]:
    """The arrays that were written with their seal, without it; of before there were seals they have none.

    Raises `Damaged`, also for those that have none where one is `demanded`.
    """
    found = dict(arrays)
    own = found.pop(OWN, None)
    _refuse_unsealed(own, demanded)
    if own is not None and str(own) != _of_tensors({**found, "of": np.array(of)}):
        raise Damaged("is not what it was when it was written (its seal differs), or belongs to another")
    return found


def _refuse_unsealed(own: object, demanded: bool) -> None:
    if demanded and own is None:
        raise Damaged("has no seal")


def first_line(error: Exception) -> str:
    """The first line of what an exception of others says, fit for a terminal."""
    said = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
    return printable(next(iter(said.splitlines()), type(error).__name__))[:200]


def _of_json(tree: Mapping[str, Any]) -> str:
    return hashlib.sha256(
        json.dumps(tree, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass")
    ).hexdigest()


def _of_tensors(arrays: Mapping[str, np.ndarray]) -> str:
    seen = hashlib.sha256()
    for name in sorted(arrays):
        value = arrays[name]
        seen.update(repr((name, value.dtype.str, value.shape)).encode())
        seen.update(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
    return seen.hexdigest()
