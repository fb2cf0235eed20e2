"""Ctrl-C and SIGTERM: heard from the first moment on, though libraries that are being loaded may swallow an interruption."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import NoReturn

STOPPED = 130  # exit codes, as shells give them: after Ctrl-C …
TERMINATED = 143  # … and after SIGTERM
AGAIN_S = 2.0  # until an interruption that nobody heeded comes again


class Interruptions:
    """What has been heard: `code` is that of the exit, 0 before anything was."""

    def __init__(self) -> None:
        self.code = 0

    def hear(self) -> None:
        """From now on; a service manager's stop is treated like Ctrl-C."""
        for name in ("SIGTERM", "SIGINT", "SIGALRM"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), self._interrupted)

    def _interrupted(self, number: int, _: FrameType | None) -> NoReturn:
        self.code = TERMINATED if number == signal.SIGTERM else self.code or STOPPED
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
        raise KeyboardInterrupt


def heeded() -> None:
    """An interruption has been heard, and need not come again."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)


def stopped() -> int:
    """Say that it ends here; the exit code that stands for it."""
    heeded()
    print("\nstopped", file=sys.stderr)
    return STOPPED
