"""Where the command begins, `python -m fittingroom` too: it can be stopped from the first moment on, while it is loaded."""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress
from typing import NoReturn

from fittingroom.cli.stopping import STOPPED, Interruptions, heeded, stopped


def run() -> NoReturn:
    """What the command `fittingroom` calls."""
    heard = Interruptions()
    try:
        heard.hear()
        from fittingroom.cli.main import run as command

        code = command()
    except BaseException:
        if not heard.code:
            raise
        code = stopped()  # whatever it became: what Python makes of one inside a class definition is a RuntimeError
    if code == STOPPED and heard.code:
        _leave(heard.code)
    sys.exit(code)


def _leave(code: int) -> NoReturn:
    """End with this exit code. Python would end with another where an interruption came inside an `exec` (bpo-1054041)."""
    heeded()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":  # a worker process imports this file without wanting the command
    run()
