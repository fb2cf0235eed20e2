"""What a server is told when it starts: plain values, so that worker processes can be given them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fittingroom.spec.machine import cores

SHARED_METRICS = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's own name; set before it is imported


@dataclass(frozen=True)
class Limits:
    """What one request may bring, and how long it may take. Beyond: 4xx, 503 (queue) and 504 (deadline)."""

    queue: int = 64  # requests that may wait for each model in each worker; and as many that are being read
    deadline_s: float = 10.0  # from the end of a request's head to its answer
    body_bytes: int = 32 << 20
    images: int = 256
    pixels: int = 40_000_000  # of one picture
    pixels_together: int = 200_000_000  # of all that come with one request


@dataclass(frozen=True)
class Settings:
    """Which bundles, for whom."""

    bundles: tuple[Path, ...]
    host: str = "127.0.0.1"
    port: int = 8000
    token: str = ""
    workers: int = 1
    names: tuple[str, ...] = ()  # other names of this machine
    limits: Limits = Limits()

    @property
    def threads(self) -> int:
        """Of one worker's inference."""
        return max(1, cores() // self.workers)
