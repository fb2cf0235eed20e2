"""Writes a recipe's `[[measured]]` table from real runs, one after the other with every core, so that nobody types a figure.

    python benchmarks/measure_recipe.py fast-fashion --seeds 5 [--data fashion-mnist] [--runs runs]

The test set is read once a run. Nothing else may run meanwhile.
"""

from __future__ import annotations

import argparse
import datetime
import statistics
from pathlib import Path

import tomli_w

import fittingroom as fr
from fittingroom.spec.read import read_recipe, shipped_recipes

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("recipe")
parser.add_argument("--seeds", type=int, default=5)
parser.add_argument("--data", default=None)
parser.add_argument("--runs", default="runs")
arguments = parser.parse_args()

runs = [
    fr.train(arguments.recipe, data=arguments.data, seed=seed, runs=arguments.runs) for seed in range(arguments.seeds)
]
scores = [run.test_accuracy for run in runs]
environment = runs[0].folder.environment
measured = {
    "dataset": runs[0].recipe.data.name,
    "test_accuracy": round(statistics.mean(scores), 5),
    "sd": round(statistics.stdev(scores), 5) if len(scores) > 1 else 0.0,
    "n": len(scores),
    "train_s": round(statistics.mean(run.metrics.train_s for run in runs), 1),
    "hardware": f"{environment.threads} threads of {environment.cpu}, {environment.device}, {runs[0].recipe.train.precision}, "
    f"torch {environment.torch}",
    "date": datetime.date.today().isoformat(),
}
file = shipped_recipes()[arguments.recipe]
kept = [m.model_dump() for m in read_recipe(arguments.recipe).measured if m.dataset != measured["dataset"]]
text = Path(file).read_text(encoding="utf-8").split("\n[[measured]]", 1)[0].rstrip() + "\n"
file.write_text(text + "".join("\n[[measured]]\n" + tomli_w.dumps(m) for m in [*kept, measured]), encoding="utf-8")
print(file.read_text(encoding="utf-8"))
