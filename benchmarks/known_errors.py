"""Does `fittingroom audit` find the label errors of MNIST's test set that people have validated? Writes docs/data.md.

    python benchmarks/known_errors.py [RUNS_DIR]

The errors are those of Northcutt, Athalye & Mueller, *Pervasive Label Errors in Test Sets*, 2021 (arXiv:2103.14749): images
of which at most two of five people chose the given label. Trains the five folds of the audit where they are missing.
"""

from __future__ import annotations

import datetime
import json
import subprocess
import sys

from pages import write_block

from fittingroom.spec.machine import cores
from fittingroom.study.sharing import cpu_name

VALIDATED = (947, 1621, 1901, 2130, 2462, 2597, 2654, 3520, 3558, 5937, 6651, 6783, 8527, 9679, 9729)

runs = sys.argv[1] if len(sys.argv) > 1 else "runs"
words = [sys.executable, "-m", "fittingroom", "audit", "mnist", "--split", "test", "--runs", runs, "--json"]
found = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
rank = {suspect["index"]: i for i, suspect in enumerate(found["suspects"], 1)}
lines = [
    "| among the first | of the 15 validated errors |",
    "|---|---|",
    *(f"| {n} in rank | {sum(rank.get(row, n + 1) <= n for row in VALIDATED)} |" for n in (10, 20, 50, 100)),
    "",
    f"By {found['folds']} folds of {found['auditor']}, seed 0, {cpu_name()}, {cores()} cores, {datetime.date.today()}; "
    "written by `benchmarks/known_errors.py`.",
]
write_block("docs/data.md", "known", lines)
print("\n".join(lines))
