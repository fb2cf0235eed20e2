"""What takes seconds to load and is not needed is not loaded; what was answered is answered again without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fittingroom.store import Runs

HEAVY = ("torch", "torch._dynamo", "torch._inductor", "sympy", "scipy", "scipy.stats", "altair", "pandas", "matplotlib")
SMALL = ("train.epochs=1", "data.limit=300")
RUN = f"""
import sys
from fittingroom.cli.main import run
code = run()
print("LOADED", *[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
sys.exit(code)
"""


def loaded(*words: str) -> tuple[set[str], subprocess.CompletedProcess[str]]:
    done = subprocess.run([sys.executable, "-c", RUN, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.rpartition("LOADED")[2].split()), done


def test_a_training_loads_torch_and_neither_its_compiler_nor_scipy(tmp_path: Path) -> None:
    found, _ = loaded("train", "fast-mnist", *SMALL, "train.batch_size=64", "--runs", str(tmp_path))
    assert found - {"scipy"} == {"torch"}  # scipy.spatial finds near duplicates, once for each data set
    assert loaded("runs", "--runs", str(tmp_path))[0] == set()


@pytest.mark.slow
def test_a_comparison_is_answered_again_without_torch_until_something_is_different(tmp_path: Path) -> None:
    words = ["compare", "readme-004-mlp", "readme-004-mlp-tuned", *SMALL, "--data", "mnist", "--seeds", "1"]
    words += ["--device", "cpu", "--at-once", "1", "--runs", str(tmp_path), "--json"]
    first, one = loaded(*words)
    again, other = loaded(*words)
    assert "torch" in first and "torch" not in again
    assert json.loads(one.stdout) == json.loads(other.stdout)
    assert "2 runs: all finished" not in one.stderr and json.loads(one.stdout)["comparisons"]
    assert "torch" in loaded(*words, "--seeds", "2")[0]
    run = Runs(tmp_path).list()[0]
    (run.path / "metrics.json").write_text((run.path / "metrics.json").read_text().replace("accuracy", "accurate"))
    done = subprocess.run([sys.executable, "-m", "fittingroom", *words], capture_output=True, text=True)
    assert done.returncode == 2 and "metrics.json" in done.stderr and "is not what it was" in done.stderr
    Runs(tmp_path).delete(run)
    assert "torch" in loaded(*words)[0] and run.done  # trained again
