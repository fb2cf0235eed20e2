"""What this process may use of the machine that it is on."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cores() -> int:
    """The cores that this process may use; a container's quota counts."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = Path("/sys/fs/cgroup/cpu.max")
    limit, _, period = quota.read_text().partition(" ") if quota.exists() else ("max", "", "")
    return there if limit == "max" else max(1, min(there, round(int(limit) / int(period))))


def memory_bytes() -> int:
    """The memory that this process may use; a container's limit counts."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else sys.maxsize
    quota = Path("/sys/fs/cgroup/memory.max")
    limit = quota.read_text().strip() if quota.exists() else "max"
    return there if limit == "max" else min(there, int(limit))
