"""A quick form of benchmarks/torture.py: everything that it does to stored things and to a server, a few times."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TORTURE = Path(__file__).parents[1] / "benchmarks" / "torture.py"


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    ["--kills 1 --changes 3 --disks 2 --pairs 1", "--damages 24 --seed 5", "--pictures 100 --requests 300"],
)
def test_nothing_is_silently_wrong(words: str) -> None:
    none = {f"--{what}": "0" for what in ("kills", "changes", "disks", "pairs", "damages", "pictures", "requests")}
    given = words.split()
    asked = none | dict(zip(given[::2], given[1::2], strict=True))
    done = subprocess.run(
        [sys.executable, str(TORTURE), *(word for pair in asked.items() for word in pair)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for line in done.stdout.splitlines()[1:]:
        *_, tried, _whole, _told, wrong, traceback = line.split()
        assert int(tried) > 0 and (wrong, traceback) == ("0", "0"), line
