"""What this process may use of the machine that it is on."""

from __future__ import annotations

import os
from pathlib import Path


def cores() -> int:
    """The cores that this process may use; a container's quota counts."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = Path("/sys/fs/cgroup/cpu.max")
    limit, _, period = quota.read_text().partition(" ") if quota.exists() else ("max", "", "")
    return there if limit == "max" else max(1, min(there, round(int(limit) / int(period))))
