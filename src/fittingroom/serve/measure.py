"""What Prometheus is told, added up over all workers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from fittingroom.serve.settings import SHARED_METRICS

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LATENCIES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Meters:
    """Requests, images, batches, seconds and the queue, by model."""

    def __init__(self) -> None:
        disable_created_metrics()  # a second series for each, of which nobody asks
        self.registry = CollectorRegistry()
        to: dict[str, Any] = {"registry": self.registry}
        name = "fittingroom"
        self.requests = Counter(f"{name}_requests", "Requests, by path and status.", ["path", "status"], **to)
        self.seconds = Histogram(
            f"{name}_request_seconds", "From request to answer.", ["path"], buckets=LATENCIES, **to
        )
        self.images = Counter(f"{name}_images", "Images classified.", ["model"], **to)
        self.batch = Histogram(
            f"{name}_batch_images", "Images in a batch.", ["model"], buckets=(1, 2, 4, 8, 16, 32), **to
        )
        self.inference = Histogram(f"{name}_batch_seconds", "Time in the graph.", ["model"], buckets=LATENCIES, **to)
        self.waiting = Gauge(
            f"{name}_waiting_requests", "Requests in the queue.", ["model"], multiprocess_mode="livesum", **to
        )
        self.gone = Counter(f"{name}_cancelled", "Requests whose client went away.", ["model"], **to)

    def text(self) -> bytes:
        """The exposition format, of this worker or, where they share a folder, of all."""
        if SHARED_METRICS not in os.environ:
            return bytes(generate_latest(self.registry))
        _forget_the_dead(Path(os.environ[SHARED_METRICS]))
        everyone = CollectorRegistry()
        MultiProcessCollector(everyone)
        return bytes(generate_latest(everyone))


def _forget_the_dead(folder: Path) -> None:
    """The queue of a worker that was killed has gone with it."""
    for file in folder.glob("gauge_live*_*.db"):
        pid = int(file.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid)
        except OSError:
            pass  # another's, so it lives
