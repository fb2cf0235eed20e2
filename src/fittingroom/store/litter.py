"""What a killed process leaves: scratch files and folders, told from those that somebody is still writing, and removed.

Whatever is made under another name first is called `.NAME.xxxxxxxx.part`. Its maker holds a lock of the operating system on it,
which a process lets go when it is killed.
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

LITTER = re.compile(
    r"\.(?P<name>.+)\.[a-z0-9_]{8}\.(part|old)|\.(making|fetch)-[a-z0-9_]{8}"
)  # the last two: of before
YOUNG_S = 10.0  # its maker may not have come to hold it yet
_MET: set[Path] = set()  # folders that this process has looked through


def hold(descriptor: int) -> None:
    """Say that somebody is writing what is open here, for as long as it is."""
    if fcntl:
        with suppress(OSError):  # a file system may have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def holding(path: Path) -> Iterator[None]:
    """`hold` a file or folder that is there."""
    descriptor = os.open(path, os.O_RDONLY) if fcntl else None
    try:
        if descriptor is not None:
            hold(descriptor)
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
    meet(folder)
    path = Path(tempfile.mkdtemp(dir=folder, prefix=f".{name}.", suffix=".part"))
    with holding(path):
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)


def meet(folder: Path) -> None:
    """Remove what lies about in `folder`, once in this process."""
    if folder not in _MET:
        _MET.add(folder)
        for path in litter(folder):
            remove(path)


def litter(folder: Path, deep: bool = False) -> list[Path]:
    """What lies about in `folder`, and with `deep` in all folders below it, that nobody holds."""
    found = []
    for where, folders, files in os.walk(folder):
        mine = [Path(where, name) for name in [*folders, *files] if LITTER.fullmatch(name)]
        found += [path for path in mine if _abandoned(path)]
        folders[:] = [name for name in folders if not LITTER.fullmatch(name)] if deep else []
    return sorted(found)


def remove(path: Path) -> int:
    """Remove what was left; how many bytes it had. A folder that was to be replaced takes its name again, if nothing has it."""
    with suppress(OSError):
        if path.suffix == ".old" and (named := LITTER.fullmatch(path.name)):
            whole = path.with_name(named["name"])
            if not whole.exists():
                path.rename(whole)
                return 0
        size = sum(one.lstat().st_size for one in ([path] if path.is_file() else path.rglob("*")))
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        return size
    return 0


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
