"""Where the command begins, `python -m fittingroom` too: it can be stopped from the first moment on, while it is loaded."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from contextlib import suppress
from typing import NoReturn

STOPPED = 130  # exit codes, as shells give them: after Ctrl-C …
TERMINATED = 143  # … and after SIGTERM
AGAIN_S = 2.0  # libraries that are being loaded may swallow an interruption: it comes again until somebody heeds it


def run() -> NoReturn:
    """What the command `fittingroom` calls."""
    stopped = 0

    def interrupted(number: int, _: object) -> NoReturn:
        nonlocal stopped
        stopped = TERMINATED if number == signal.SIGTERM else stopped or STOPPED
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
        raise KeyboardInterrupt  # a service manager's stop is treated like Ctrl-C

    try:
        for name in ("SIGTERM", "SIGINT", "SIGALRM"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), interrupted)
        from fittingroom.cli.main import run as command

        code = command()
    except BaseException:
        heeded()
        if not stopped:
            raise
        # whatever it became on its way: what Python makes of one in the middle of a class is a RuntimeError
        print("\nstopped", file=sys.stderr)
        code = STOPPED
    if code == STOPPED and stopped:
        _leave(stopped)
    sys.exit(code)


def _leave(code: int) -> NoReturn:
    """End with this exit code. Python would end with another where an interruption came inside an `exec` (bpo-1054041)."""
    heeded()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def heeded() -> None:
    """An interruption has been heard, and need not come again."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)


if __name__ == "__main__":  # a worker process imports this file without wanting the command
    run()
