"""Starts the pages' server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fittingroom.serve.guard import refuse_open_door
from fittingroom.serve.run import bound, run_app
from fittingroom.serve.settings import Door
from fittingroom.spec.errors import FittingroomError, need
from fittingroom.store import Runs


def serve_pages(runs: Runs, home_dir: Path, door: Door, announce: Callable[[str], None] = lambda line: None) -> None:
    """Answer until SIGTERM or Ctrl-C. Raises `FittingroomError` before anything listens, if it cannot work."""
    for module in ("fastapi", "uvicorn", "multipart", "onnxruntime"):
        need(module, "ui", "serve")
    refuse_open_door(door)
    if runs.path.exists() and not runs.path.is_dir():
        raise FittingroomError(f"{runs.path} is a file, no folder of runs")
    from fittingroom.ui.app import create_ui

    listening, address = bound(door)
    announce(address)
    run_app(create_ui(runs, home_dir, door), listening, door)
