"""A file is there whole or not at all: temporary file, fsync, rename."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from fittingroom.spec.errors import FittingroomError
from fittingroom.store.litter import PART, lock, sweep_once


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """A file opened for writing that takes the name `path` only when the block ends well.

    A full disk or a missing permission becomes a `FittingroomError` with the path; nothing half-written stays.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic(Path(folder) / "a") as file:
    ...         _ = file.write(b"whole")
    ...     (Path(folder) / "a").read_bytes()
    b'whole'
    """
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_once(path.parent)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=PART)
        lock(descriptor)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                Path(temporary).chmod(0o666 & ~UMASK)
                if os.name != "nt":  # where what is open cannot be renamed
                    Path(temporary).replace(path)  # while it is still locked: nobody takes it for litter
            if os.name == "nt":
                Path(temporary).replace(path)
            _sync_folder(path.parent)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def _umask() -> int:
    """It can only be asked by setting it: done once, while nothing else runs, or two threads could leave it at 0."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


UMASK = _umask()  # what this process takes away from the permissions of what it makes


def write(path: Path, content: str | bytes) -> None:
    """Write `content` (text as UTF-8) to `path` atomically."""
    with atomic(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def append_line(path: Path, line: str, *, lasting: bool = True) -> None:
    """Append one line in one write, so that lines of several processes do not mix; `lasting`: it survives a power cut."""
    content = f"{line}\n".encode()
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # a buffer with room for all of it: a longer line would be written in parts
        with path.open("ab", buffering=len(content) + 1) as file:
            file.write(content)
            file.flush()
            if lasting:
                os.fsync(file.fileno())


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns what the operating system refuses at `path` into a message with the path and a remedy."""
    try:
        yield
    except OSError as error:
        elsewhere = "choose another place with --runs or --home"
        remedy = {
            errno.ENOSPC: f"no space left on the disk; free some, or {elsewhere}",
            errno.EDQUOT: f"the disk quota is used up; free some, or {elsewhere}",
            errno.EACCES: f"no permission to write here; {elsewhere}",
            errno.EPERM: f"no permission to write here; {elsewhere}",
            errno.EROFS: f"the file system is read-only; {elsewhere}",
            errno.ENOTDIR: "a part of this path is a file, not a folder",
            errno.EEXIST: "a part of this path is a file, not a folder",
            errno.EISDIR: "this is a folder; give a file name",
        }.get(error.errno or 0, f"{error.strerror}; {elsewhere}")
        raise FittingroomError(f"cannot write {path}: {remedy}") from None


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # a folder cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
