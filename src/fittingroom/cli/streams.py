"""Standard output and error as they may be: closed, full, a pipe whose reader has gone, a terminal without UTF-8."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import IO, Any

STDOUT = "standard output"


class _Stream:
    """A standard stream, and what becomes of its refusals."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write, unless nobody can."""
        with self._guarded():
            return self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, unless nobody can."""
        with self._guarded():
            self.stream.flush()

    def _guarded(self) -> AbstractContextManager[None]:
        raise NotImplementedError

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class Named(_Stream):
    """Standard output, which is called so where it cannot be written to."""

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            error.filename = STDOUT
            raise


class Lasting(_Stream):
    """Standard error while there is somebody to read it: what is said after that is lost, the work that says it is not."""

    def _guarded(self) -> AbstractContextManager[None]:
        return suppress(OSError)


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


def is_gone(error: OSError | SystemExit) -> bool:
    """Whether the reader of our output has gone (`fittingroom runs | head`), in which nothing is wrong."""
    if isinstance(error, OSError):
        return error.errno == errno.EPIPE
    # as click and rich make of it
    return type(sys.stdout).__name__ == "PacifyFlushWrapper" or isinstance(error.__context__, BrokenPipeError)


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
