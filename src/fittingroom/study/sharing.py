"""How many trainings share a machine, and the threads of each."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from fittingroom.spec.machine import cores


def sharing(device: str, launcher: str = "local", at_once: int | None = None, most: int = 1 << 30) -> tuple[int, int]:
    """How many trainings run together, of `most` in all, and the threads of each.

    Here one a core on a CPU, and one alone on an accelerator, whose memory it may need; on a cluster each has one thread.
    `at_once` says otherwise: so many share this machine, or a machine like it.
    """
    fitting = cores() if device == "cpu" or launcher != "local" else 1
    together = at_once or fitting
    if launcher == "local":
        together = min(most, together)
    return together, threads_each(together)


def threads_each(runs: int = 1) -> int:
    """Threads for each of `runs` trainings: one where a run can have a core of its own, more only when cores are left.

    OMP_NUM_THREADS is a limit, as it is for torch itself.
    """
    limit = os.environ.get("OMP_NUM_THREADS", "")
    allowed = min(cores(), int(limit)) if limit.isdecimal() and int(limit) > 0 else cores()
    return max(1, allowed // runs)


def cpu_name() -> str:
    """The processor's model name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
