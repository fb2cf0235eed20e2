"""Waiting for what goes on in another thread or process: as long as a busy machine needs, and no longer than it takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE_S = 200.0


def until(true: Callable[[], T], pause_s: float = 0.01) -> T:
    """What `true()` gives as soon as it is true."""
    last = time.monotonic() + PATIENCE_S
    while not (found := true()):
        assert time.monotonic() < last, "it never came"
        threading.Event().wait(pause_s)
    return found
