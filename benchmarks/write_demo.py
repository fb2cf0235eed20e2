"""Writes what `fittingroom demo` prints into the README, so that nobody types a figure.

    python benchmarks/write_demo.py [RUNS_DIR]

Finished runs are not trained again. Run it after a change that alters the demo's results.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pages import write_block

from fittingroom.store import Runs

runs = Path(sys.argv[1] if len(sys.argv) > 1 else "runs")
printed = subprocess.run(
    [sys.executable, "-m", "fittingroom", "demo", "--runs", runs], capture_output=True, text=True, check=True
).stdout
environment = next(run for run in Runs(runs).list() if run.name.startswith("fast-fashion")).environment
lines = [line.rstrip().replace(str(runs), "runs") for line in printed.strip().splitlines()]  # as where nothing is said
hardware = f"{environment.cpu}, {environment.cores} cores, torch {environment.torch}, {environment.started[:10]}"
write_block("README.md", "demo", ["```text", *lines, "```", f"({hardware})"])
