"""How fast the pages of `fittingroom ui` come up over 10,000 runs.

    python benchmarks/ui.py [--runs 10000] [--write]

One real run is trained; the others are hard links to its files in folders of their own. Nothing else may run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import date
from pathlib import Path
from typing import Any

from pages import ROOT, table, write_block

from fittingroom.data import load
from fittingroom.spec.machine import cores
from fittingroom.spec.read import read_recipe
from fittingroom.store import Runs
from fittingroom.study.execute import execute
from fittingroom.study.job import resolve
from fittingroom.study.sharing import cpu_name

RESULT = ROOT / "benchmarks" / "results" / "ui.json"
ASKED = {
    "the first page": "/",
    "filtered, sorted by test accuracy, the hundredth page": "/?q=run+finished&sort=test&first=9900",
    "the table alone, as it is refreshed": "/rows",
}


def copies(folder: Path, n: int) -> None:
    runs = Runs(folder)
    recipe = read_recipe("readme-004-mlp", ["train.epochs=20", "data.limit=2000"])
    first = execute(resolve(recipe, load("fashion-mnist"), "cpu", runs, threads=cores()), runs)
    for i in range(n - 1):
        path = folder / f"run-{i:05d}"
        path.mkdir()
        for file in first.path.iterdir():
            if file.is_file() and file.name != ".lock":
                (path / file.name).hardlink_to(file)


def seconds(address: str) -> tuple[float, str]:
    began = time.perf_counter()
    with urllib.request.urlopen(address) as reply:
        text = reply.read().decode()
    return time.perf_counter() - began, text


def started(folder: Path) -> tuple[subprocess.Popen[str], str, float]:
    began = time.perf_counter()
    command = [sys.executable, "-m", "fittingroom", "ui", str(folder), "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert server.stderr
    address = re.findall(r"http://[\d.:]+", server.stderr.readline())[0]
    while True:
        try:
            seconds(address + "/commands")
            return server, address, time.perf_counter() - began
        except OSError:
            time.sleep(0.02)


def measure(n: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as there:
        folder = Path(there)
        copies(folder, n)
        server, address, up_s = started(folder)
        began, slowest, text = time.perf_counter(), 0.0, "to go"
        first = seconds(address)[0]
        while "to go" in text:
            took, text = seconds(address)
            slowest = max(slowest, took)
            time.sleep(0.1)
        built_s = time.perf_counter() - began
        server.send_signal(signal.SIGTERM)
        server.wait()
        server, address, again_s = started(folder)
        asked = {words: min(seconds(address + path)[0] for _ in range(5)) for words, path in ASKED.items()}
        memory = next(line for line in Path(f"/proc/{server.pid}/status").read_text().splitlines() if "VmRSS" in line)
        server.send_signal(signal.SIGTERM)
        server.wait()
    return {
        "runs": n, "up_s": up_s, "first_ever_s": first, "slowest_while_reading_s": slowest, "built_s": built_s,
        "up_again_s": again_s, "asked": asked, "memory_mb": int(memory.split()[1]) / 1024,
        "machine": f"{cpu_name()}, {cores()} cores", "date": f"{date.today()}",
    }  # fmt: skip


def write(r: dict[str, Any]) -> None:
    rows = [
        ["the first page of a folder that was never read", f"{1000 * r['first_ever_s']:.0f} ms"],
        ["the slowest, while the folder is being read", f"{1000 * r['slowest_while_reading_s']:.0f} ms"],
        *([words, f"{1000 * s:.0f} ms"] for words, s in r["asked"].items()),
    ]
    note = (
        f"{r['runs']:,} runs of 20 epochs. The server answers {r['up_s']:.1f} s after the command; reading the folder for the "
        f"first time takes {r['built_s']:.0f} s beside it; memory {r['memory_mb']:.0f} MB. ({r['machine']}, {r['date']}; "
        "`benchmarks/ui.py`)"
    )
    write_block("docs/pages.md", "speed", [*table(["page", "time"], rows), "", note])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--write", action="store_true", help="only write docs/pages.md, from what was measured last")
    args = parser.parse_args()
    if not args.write:
        RESULT.write_text(json.dumps(measure(args.runs), indent=1) + "\n")
    write(json.loads(RESULT.read_text()))


if __name__ == "__main__":
    main()
