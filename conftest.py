"""Shared by tests and doctests: real images through the product's own acquisition, and a folder of one's own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# of who runs the tests, not theirs
for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "FITTINGROOM_TOKEN", "FITTINGROOM_EVENTS", "RAY_ADDRESS"):
    os.environ.pop(name, None)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tests run in parallel; two OpenMP teams on two cores collapse

skipped_main_job: list[str] = []
TRAINING = ("cv", "ablate", "tune", "replicate")  # functions of api.py whose examples take seconds


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test writes into a folder of its own, and leaves one thread to the next."""
    monkeypatch.chdir(tmp_path)
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.name.removeprefix("fittingroom.api.") in TRAINING:
            item.add_marker(pytest.mark.slow)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and "main_job" in report.keywords:
        skipped_main_job.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a main-job test that was skipped is a failure: green must mean that it ran."""
    if os.environ.get("CI") and skipped_main_job:
        print("\nskipped, but CI must run them:", *skipped_main_job, sep="\n  ")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
