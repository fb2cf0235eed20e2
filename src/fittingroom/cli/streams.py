"""Standard output and error as they may be: closed, full, a pipe whose reader has gone, a terminal without UTF-8."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

STDOUT = "standard output"


class Named:
    """Standard output, which is called so where it cannot be written to."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write. Raises `OSError`."""
        with self._named():
            return self.stream.write(text)

    def flush(self) -> None:
        """Flush. Raises `OSError`."""
        with self._named():
            self.stream.flush()

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            error.filename = STDOUT
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class Lasting:
    """Standard error while there is somebody to read it: what is said after that is lost, the work that says it is not."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write, or not."""
        with suppress(OSError):
            return self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or not."""
        with suppress(OSError):
            self.stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def make_ready() -> None:
    """Standard streams that can be written to, whatever the command was started with."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed: `fittingroom runs >&-`
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # what cannot be shown is spelled out
    if not isinstance(sys.stdout, Named):
        sys.stdout = Named(sys.stdout)
    if not isinstance(sys.stderr, Lasting):
        sys.stderr = Lasting(sys.stderr)


def is_gone(error: BaseException) -> bool:
    """Whether the reader of our output has gone (`fittingroom runs | head`), in which nothing is wrong."""
    if isinstance(error, SystemExit):  # as click and rich make of it
        pacified = type(sys.stdout).__name__ == "PacifyFlushWrapper"
        return pacified or isinstance(error.__context__, BrokenPipeError)
    return isinstance(error, OSError) and error.errno == errno.EPIPE


def hush() -> None:
    """Nothing more goes to standard output, where nothing can be written: Python would try once more at its end."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def refused(error: OSError) -> str:
    """What the operating system refuses, and what to do about it, in a sentence."""
    where = f"{error.filename}: " if error.filename else ""
    what = error.strerror or str(error)
    if "temporary directory" in what:
        what += "; set TMPDIR to a folder that can be written to"
    return where + what
