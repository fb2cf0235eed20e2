"""Shared by tests and doctests: real images through the product's own acquisition, and a folder of one's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tests run in parallel; two OpenMP teams on two cores collapse


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test writes into a folder of its own."""
    monkeypatch.chdir(tmp_path)
