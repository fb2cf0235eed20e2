"""Charts become SVGs in a process beside this one, which makes the next chart meanwhile: half of a page's time is drawing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

from fittingroom.report.render import light_and_dark
from fittingroom.report.theme import Draw, drawing_of, spec_of

# one line of JSON in, one out; it ends when nobody asks any more
CHILD = """
import json, sys, vl_convert
for line in sys.stdin:
    print(json.dumps(vl_convert.vegalite_to_svg(line)), flush=True)
"""


DrawBeside = Callable[[Draw], Future[dict[str, str]]]


@contextmanager
def drawing_beside() -> Iterator[DrawBeside]:
    """A function from a chart to what will be its light and dark data: URIs; drawn here where no process can be started."""
    child: subprocess.Popen[str] | None = None
    with suppress(OSError, TypeError):  # an embedded Python knows no executable
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        # -P: no module of the folder that one happens to be in
        child = subprocess.Popen([sys.executable, "-P", "-c", CHILD], text=True, encoding="utf-8", **pipes)

    def drawn(spec: str) -> dict[str, str]:
        if child and child.stdin and child.stdout:
            with suppress(OSError, ValueError):
                child.stdin.write(f"{spec}\n")
                child.stdin.flush()
                return light_and_dark(str(json.loads(child.stdout.readline())))
        return light_and_dark(drawing_of(spec))

    turn = ThreadPoolExecutor(1)  # which waits for the process while we go on
    try:
        yield lambda draw: turn.submit(drawn, spec_of(draw))
    finally:
        turn.shutdown(cancel_futures=True)
        if child:
            with suppress(OSError):
                child.communicate()
