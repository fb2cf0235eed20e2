"""`make bench`: our speed against its peers and against the machine. One table, one JSON under benchmarks/results/.

    make bench                 rows 1, 3 and 5 on parts of an epoch
    make bench ARGS=--quick    the same, smaller
    make bench ARGS=--full     row 4 too

Each ratio is taken within one round of turns. Nothing else may run meanwhile.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
from pathlib import Path

from growth import growth
from race import race
from throughput import throughput

from fittingroom.study.cost import machine
from fittingroom.study.plan import cores

RESULTS = Path(__file__).parent / "results"

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--quick", action="store_true", help="smaller, for a look")
parser.add_argument("--full", action="store_true", help="row 4, too")
parser.add_argument("--busy", action="store_true", help="measure although the machine is busy")
arguments = parser.parse_args()

load = os.getloadavg()[0]
if load > 0.5 * cores() and not arguments.busy:
    sys.exit(
        f"the load is {load:.1f}: something else runs here, and two threads collapse beside it; wait, or say --busy"
    )

images, rounds = (2_560, 1) if arguments.quick else (12_800, 3)
print(f"{machine()}, load {load:.1f}", flush=True)
rows = []
for model in ("cnn1", "cnn2"):
    for batch in (64, 256):
        for precision in ("fp32", "bf16"):
            found = race(model, precision, batch, images if model == "cnn1" else images // 2, rounds)
            rows += found
            for row in found:
                print(
                    f"{row['model']} {row['precision']} batch {row['batch']:>3}  {row['rival']:20} "
                    f"{row['ratio']:6.2f} × [{row['low']:.2f}, {row['high']:.2f}]  "
                    f"{row['ours_images_per_s']:8,.0f} against {row['rival_images_per_s']:8,.0f} images/s, "
                    f"loss {row['our_loss']:.4f} against {row['rival_loss']:.4f}",
                    flush=True,
                )
words = [sys.executable, "-m", "fittingroom", "bench", "--json"]
own = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
for s in own["speeds"]:
    print(
        f"{s['recipe']:18} {100 * s['share']:.0f} % of the {s['precision']} ceiling, {s['images_per_s']:,.0f} images/s",
        flush=True,
    )
study = throughput(3_000 if arguments.quick else 12_000, 1, rounds)
print(
    f"16 seeds take {study['ratio']:.2f} [{study['low']:.2f}, {study['high']:.2f}] of 16 times one run alone",
    flush=True,
)
grown = growth(600_000) if arguments.full else []
RESULTS.mkdir(exist_ok=True)
path = RESULTS / f"{datetime.date.today()}{'-quick' if arguments.quick else ''}.json"
figures = {"machine": machine(), "load": load, "race": rows, "own": own, "throughput": study, "growth": grown}
path.write_text(json.dumps(figures, indent=2) + "\n")
print(f"written: {path}")
