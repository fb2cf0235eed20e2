"""`make bench`: our speed against its peers and against the machine. One table, one JSON under benchmarks/results/.

    make bench                 rows 1, 3 and 5 on parts of an epoch
    make bench ARGS=--quick    the same, smaller
    make bench ARGS=--full     rows 2, 4 and 6, too, at full length, and row 3 for every shipped recipe
    make bench ARGS="--rows 7" memory with 50,000 pictures, for which it needs 10 GB of disk
    make bench ARGS="--full --rows 2 4"    some of that alone
    make bench ARGS="--rows 8" what one waits for besides training; --before SRC beside an older source tree, --full with the demo

Each ratio is taken within one round of turns. Nothing else may run meanwhile.
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from growth import growth
from large import large
from memory import memory
from race import race
from scale import scale, whole_runs, workers
from throughput import against_loops, throughput
from time_to import time_to
from waits import waits

from fittingroom.spec.read import shipped_recipes
from fittingroom.study.clock import Quiet
from fittingroom.study.cost import machine

RESULTS = Path(__file__).parent / "results"
LISTEN_S = 3  # to whether others use the machine, before anything is measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller, for a look")
    parser.add_argument("--full", action="store_true", help="rows 2, 4 and 6, too, and row 3 for every recipe")
    parser.add_argument("--rows", type=int, nargs="+", choices=range(1, 11), help="only these")
    parser.add_argument("--before", default="", metavar="SRC", help="row 8: an older source tree, measured in turn")
    parser.add_argument("--busy", action="store_true", help="measure although the machine is busy")
    arguments = parser.parse_args()
    quiet = Quiet()
    time.sleep(LISTEN_S)
    if not (quiet or arguments.busy):
        sys.exit("something else uses a core here, and two threads collapse beside it; wait, or say --busy")
    print(machine(), flush=True)
    figures: dict[str, Any] = {"machine": machine(), "date": str(datetime.date.today()), "quiet_before": bool(quiet)}
    rows = arguments.rows or ([1, 2, 3, 4, 5, 6, 8, 9, 10] if arguments.full else [1, 3, 5])
    kind = "-quick" if arguments.quick else "-full" if arguments.full else ""
    if arguments.rows:
        kind += "-rows-" + "-".join(map(str, rows))
    images, rounds = (2_560, 1) if arguments.quick else (6_400, 3)
    parts: dict[int, Callable[[], dict[str, Any]]] = {
        1: lambda: {"race": races((64,) if arguments.quick else (64, 256), images, rounds)},
        2: lambda: {"time_to": time_to()},
        3: lambda: {
            "own": own(*(shipped_recipes() if arguments.full else ())),
            "own_fp32": own("readme-002-cnn1", "readme-002-cnn2", "fast-fashion", "train.precision=fp32"),
        },
        4: lambda: {"growth": growth(600_000)},
        5: lambda: {"throughput": throughput(3_000 if arguments.quick else 60_000, 1, rounds)},
        6: lambda: {
            "scale": scale(4 if arguments.quick else 24, rounds),
            "whole_runs": whole_runs(),
            "workers": workers(),
        },
        7: lambda: {"memory": memory(2_000 if arguments.quick else 50_000, 224)},
        10: lambda: {"large": large(20 if arguments.quick else 100, 1 if arguments.quick else 3)},
        9: lambda: {"loops": against_loops(3_000 if arguments.quick else 12_000, 4 if arguments.quick else 16)},
        8: lambda: {"waits": waits(arguments.before, 1 if arguments.quick else 3, arguments.full)},
    }
    path = RESULTS / f"{datetime.datetime.now():%Y-%m-%d-%H%M}{kind}.json"  # names in order of time
    RESULTS.mkdir(exist_ok=True)
    for row in rows:
        figures |= parts[row]()
        path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")  # what is measured is kept
    print(f"written: {path}")


def races(batches: Sequence[int], images: int, rounds: int) -> list[dict[str, Any]]:
    """cnn1 and cnn2, which takes twice as long an image, against every peer."""
    rows = []
    for model, share in (("cnn1", 1.0), ("cnn2", 0.5)):
        for batch in batches:
            found = race(model, batch, round(images * share), rounds)
            show_race(found)
            rows += found
    return rows


def show_race(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        print(
            "{model} batch {batch:>3} {ours} against {theirs} {rival:20} {ratio:6.2f} × [{low:.2f}, {high:.2f}]  "
            "{our_images_per_s:8,.0f} against {rival_images_per_s:8,.0f} images/s, "
            "loss {our_loss:.4f} against {rival_loss:.4f}".format(**row),
            flush=True,
        )


def own(*words: str) -> dict[str, Any]:
    """What `fittingroom bench` says."""
    words = (sys.executable, "-m", "fittingroom", "bench", "--json", *words)
    found: dict[str, Any] = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    for s in found["speeds"]:
        print(
            f"{s['recipe']:18} {100 * s['share']:.0f} % of the {s['precision']} ceiling, "
            f"{s['images_per_s']:,.0f} images/s, overhead {1e3 * s['overhead_s']:.2f} ms a step",
            flush=True,
        )
    return found


if __name__ == "__main__":
    main()
