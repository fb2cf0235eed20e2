"""Peak memory of every shipped recipe, each trained for one short epoch in a process of its own on the whole data set in memory.

    python benchmarks/peak_memory.py

The number of images that an epoch takes does not change the peak; batch size and model do.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile

from fittingroom.spec.read import shipped_recipes

with tempfile.TemporaryDirectory() as folder:
    for name in shipped_recipes():
        words = [sys.executable, "-m", "fittingroom", "train", name, "train.epochs=1", "data.limit=6000", "--json"]
        done = subprocess.run([*words, "--runs", folder], capture_output=True, text=True, check=True)
        peak = json.loads(done.stdout)["metrics"]["peak_memory_bytes"]
        print(f"{name:24} {peak / 1e9:.2f} GB", flush=True)
