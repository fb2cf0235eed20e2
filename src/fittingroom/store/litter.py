"""What a killed process leaves: scratch files and folders, told from those that somebody is still writing, and removed.

Whatever is made under another name first is called `.NAME.xxxxxxxx.fittingroom-part`. Its maker holds a lock of the operating
system on it, which a process lets go when it is killed.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where what is open cannot be removed
    fcntl = None  # type: ignore[assignment]

PART, OLD = ".fittingroom-part", ".fittingroom-old"  # nobody else calls anything so
LITTER = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}\.fittingroom-(part|old)")
OF_BEFORE = re.compile(
    r"\..+\.[a-z0-9_]{8}\.part|\.(making|fetch)-[a-z0-9_]{8}"
)  # 0.1's names; swept where all is ours
YOUNG_S = 10.0  # its maker may not have come to hold it yet
_SWEPT: set[Path] = set()  # folders, by this process


def lock(descriptor: int) -> None:
    """Say that somebody is writing what is open here, for as long as it is."""
    if fcntl:
        with suppress(OSError):  # a file system may have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """`lock` a file or folder that is there."""
    descriptor = os.open(path, os.O_RDONLY) if fcntl else None
    try:
        if descriptor is not None:
            lock(descriptor)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


@contextmanager
def scratch(name: str, folder: Path | None = None) -> Iterator[Path]:
    """A folder to make something in, called after it, which is gone afterwards; in `folder`, or where temporary files are.

    >>> with scratch("cake") as path:
    ...     path.is_dir(), path.name.startswith(".cake.")
    (True, True)
    >>> path.exists()
    False
    """
    folder = folder or Path(tempfile.gettempdir())
    sweep_once(folder)
    path = Path(tempfile.mkdtemp(dir=folder, prefix=f".{name}.", suffix=PART))
    with locked(path):
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)


def sweep_once(folder: Path) -> None:
    """Remove what lies about in `folder`, once in this process."""
    if folder not in _SWEPT:
        _SWEPT.add(folder)
        for path in litter(folder):
            remove(path)


def litter(folder: Path, ours: bool = False) -> list[Path]:
    """What lies about in `folder` that nobody holds. `ours`: a folder of fittingroom's own, looked through as a whole."""

    def is_litter(name: str) -> bool:
        return bool(LITTER.fullmatch(name) or (ours and OF_BEFORE.fullmatch(name)))

    found = []
    for where, folders, files in os.walk(folder):
        found += [path for name in [*folders, *files] if is_litter(name) and _abandoned(path := Path(where, name))]
        folders[:] = [name for name in folders if not is_litter(name)] if ours else []
    return sorted(found)


def remove(path: Path) -> int | None:
    """Remove what was left; how many bytes it had, None for what could not be removed.

    A folder that was on its way out when nothing had taken its name yet has that name again.
    """
    with suppress(OSError):
        named = LITTER.fullmatch(path.name)
        if path.suffix == OLD and named and path.is_dir() and not path.with_name(named["name"]).exists():
            path.rename(path.with_name(named["name"]))
            return 0
        size = sum(one.lstat().st_size for one in ([path] if path.is_file() else path.rglob("*")))
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        return size
    return None


def _abandoned(path: Path) -> bool:
    """Whether nobody holds it any more."""
    with suppress(OSError):
        about = path.lstat()
        mine = not hasattr(os, "getuid") or about.st_uid == os.getuid()
        if not mine or abs(time.time() - about.st_mtime) < YOUNG_S or path.is_symlink() or not fcntl:
            return False
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        finally:
            os.close(descriptor)
    return False
