"""The pages in a thread of this process, and a client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from serve.asking import app_in_a_thread
from waiting import PATIENCE_S

from fittingroom.store import Runs
from fittingroom.store.fetch import home
from fittingroom.ui.app import create_ui


@contextmanager
def asked(runs: Path, home_dir: Path | None = None) -> Iterator[httpx.Client]:
    """A client of the pages over a folder."""
    with (
        app_in_a_thread(create_ui(Runs(runs), home_dir or home())) as server,
        httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=PATIENCE_S, trust_env=False) as client,
    ):
        yield client
