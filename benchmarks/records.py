"""The least time to an accuracy that counts: attempts on this machine, and docs/records.md from all that were made.

    make record                    what there is to reach, and by what we reach it
    make record ARGS=mnist-99      check one: the same runs again here, some minutes; nothing else may run
    make record ARGS="mnist-99 --with 'fast-mnist train.epochs=1 optimizer.lr=0.2' --runs 20"    try to beat it
    make record ARGS=--write       docs/records.md from the files in benchmarks/results

An attempt counts if the *mean* final test accuracy of its runs is above the target with p < 0.01 (Student's one-sided t-test over
seeds 0, 1, 2 …; the rule of airbench, arXiv:2404.00498). A run here is a process of its own that reads the test set once, at its
end; no run is left away. Beside these stand the figures of `make bench ARGS=--full`, of `make bench-gpu` (whose runs follow one
another in one process) and those that recipes bear themselves; what came near and did not count is on the page, too.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import shlex
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import mean, median, stdev
from typing import Any

from pages import RESULTS, ROOT, table, write_block
from scipy import stats
from time_to import QUICK, Goal, ours_once

from fittingroom.spec.read import read_recipe, shipped_recipes
from fittingroom.study.clock import Quiet
from fittingroom.study.cost import machine

ENOUGH, LISTEN_S = 0.01, 3
NEAR = 0.0015  # below a target
GOALS = {
    "fashion-92.68": Goal("fashion-mnist", 0.9268, QUICK, 10, (), 0),
    "fashion-94": Goal("fashion-mnist", 0.94, ("fast-fashion", "train.epochs=8"), 5, (), 0),
    "fashion-95": Goal("fashion-mnist", 0.95, ("best-fashion",), 5, (), 0),
    "fashion-96": Goal("fashion-mnist", 0.96, ("best-fashion",), 5, (), 0),
    "mnist-99": Goal("mnist", 0.99, ("fast-mnist", "train.epochs=1"), 10, (), 0),
    "mnist-99.4": Goal("mnist", 0.994, ("fast-mnist", "train.epochs=3"), 10, (), 0),
    "mnist-99.6": Goal("mnist", 0.996, ("fast-mnist", "train.epochs=12"), 10, (), 0),
}


@dataclass(frozen=True)
class Attempt:
    """Runs of one recipe, on one machine, meant for one goal; it may reach others."""

    goal: str
    recipe: str
    runs: int
    accuracy: float
    sd: float
    train_s: float  # median, of the training alone
    total_s: float | None  # median, from the process's start to its end
    machine: str
    date: str

    def p(self, goal: str) -> float:
        """That a mean as far above the target would come of runs that are at it."""
        above, error = self.accuracy - GOALS[goal].target, self.sd / math.sqrt(self.runs)
        return float(stats.t.sf(above / error, self.runs - 1)) if error else float(above <= 0)

    def counts(self, goal: str) -> bool:
        """Whether it reaches a goal."""
        return GOALS[goal].dataset == GOALS[self.goal].dataset and self.p(goal) < ENOUGH

    def misses(self, goal: str) -> bool:
        """Whether it comes near to a goal, or was meant for it, and does not reach it."""
        same = GOALS[goal].dataset == GOALS[self.goal].dataset
        near = self.accuracy > GOALS[goal].target - NEAR or goal == self.goal
        return same and near and not self.counts(goal)

    @property
    def on_gpu(self) -> bool:
        return "NVIDIA" in self.machine


def measure(name: str, recipe: tuple[str, ...], runs: int, busy: bool) -> dict[str, Any]:
    """Run it, and keep what came out under benchmarks/results."""
    goal = Goal(GOALS[name].dataset, GOALS[name].target, recipe, runs, (), 0)
    found = []
    for seed in range(runs):
        found.append(ours_once(goal, seed))
        one = found[-1]
        print(
            f"seed {seed}: {100 * one['accuracy']:.2f} %, {one['train_s']:.1f} s of training, {one['total_s']:.1f} s in all",
            flush=True,
        )
    record = {"goal": name, "recipe": shlex.join(recipe), **{key: [one[key] for one in found] for key in found[0]}}
    now = datetime.datetime.now()
    path = ROOT / "benchmarks/results" / f"{now:%Y-%m-%d-%H%M}-record-{name}.json"
    kept = {"machine": machine(), "date": str(now.date()), "busy": busy, "records": [record]}
    path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return kept


def attempts() -> list[Attempt]:
    """All that were kept: of quiet machines in benchmarks/results, and of the recipes."""
    found = [one for path in RESULTS for one in _of(json.loads(path.read_text(encoding="utf-8")))]
    return [*found, *(one for name in shipped_recipes() for one in _told(name))]


def _told(name: str) -> Iterator[Attempt]:
    """What a recipe says of itself, towards the first goal that it has or comes near to."""
    for m in read_recipe(name).measured:
        goals = [goal for goal, about in GOALS.items() if about.dataset == m.dataset]
        for goal in goals[:1]:
            yield Attempt(goal, name, m.n, m.test_accuracy, m.sd, m.train_s, None, m.hardware, m.date)


def _of(kept: dict[str, Any]) -> Iterator[Attempt]:
    if kept.get("busy"):
        return
    where = {"machine": kept["machine"], "date": kept["date"]} if "machine" in kept else {}
    for r in kept.get("records", []):
        yield _attempt(r["goal"], r["recipe"], r["accuracy"], r["train_s"], r["total_s"], **where)
    for r in kept.get("time_to", []):
        for name in _goals(r["dataset"], r["target"]):
            yield Attempt(name, r["recipe"], r["seeds"], r["accuracy"], r["sd"], r["train_s"], r["total_s"], **where)
    for r in kept.get("gpu", {}).get("time_to", []):
        dataset = "mnist" if r["recipe"].startswith("fast-mnist") else "fashion-mnist"
        for name in _goals(dataset, r["target"]):
            yield _attempt(name, r["recipe"], r["accuracies"], r["train_s"], None, **where)


def _attempt(
    goal: str, recipe: str, accuracies: list[float], train_s: list[float], total_s: list[float] | None, **where: str
) -> Attempt:
    score, sd, whole_s = mean(accuracies), stdev(accuracies), median(total_s) if total_s else None
    return Attempt(goal, recipe, len(accuracies), score, sd, median(train_s), whole_s, **where)


def _goals(dataset: str, target: float) -> list[str]:
    return [name for name, goal in GOALS.items() if goal.dataset == dataset and goal.target == target]


HEAD = ["target", "mean ± sd, % (runs, p)", "training, s", "process, s", "by", "on", "when"]


def write(made: list[Attempt]) -> None:
    """The two tracks, and what did not count."""
    for track, gpu in (("cpu", False), ("gpu", True)):
        rows = []
        for name in GOALS:
            here = [a for a in made if a.on_gpu == gpu and a.counts(name)]
            best = min(here, key=lambda a: a.train_s, default=None)
            rows += [
                [_title(name), *_cells(best, name), _check(best, name)] if best else [_title(name), *["–"] * 6, "open"]
            ]
        write_block("docs/records.md", track, table([*HEAD, "check"], rows))
    missed = [[_title(goal), *_cells(a, goal)] for a in made for goal in GOALS if a.misses(goal)]
    write_block("docs/records.md", "missed", table(HEAD, missed) if missed else ["None."])


def _title(goal: str) -> str:
    return f"{GOALS[goal].dataset} {100 * GOALS[goal].target:g} %"


def _check(one: Attempt, goal: str) -> str:
    """The command that does it again."""
    usual = (
        one.recipe in (shlex.join(GOALS[goal].recipe), " ".join(GOALS[goal].recipe)) and one.runs == GOALS[goal].seeds
    )
    return (
        f"`make record ARGS={goal}`"
        if usual
        else f"`make record ARGS=\"{goal} --with '{one.recipe}' --runs {one.runs}\"`"
    )


def _cells(a: Attempt, goal: str) -> list[str]:
    p = f"p {a.p(goal):.3f}" if a.p(goal) >= 0.001 else "p < 0.001"
    return [
        f"{100 * a.accuracy:.2f} ± {100 * a.sd:.2f} ({a.runs}, {p})",
        f"{a.train_s:.2f}" if a.train_s < 10 else f"{a.train_s:.1f}",
        f"{a.total_s:.1f}" if a.total_s else "not measured",
        f"`{a.recipe}`", a.machine, a.date,
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("goal", nargs="?", choices=[*GOALS], help="what to reach")
    parser.add_argument("--with", dest="recipe", help="by this recipe and changes (default: ours)")
    parser.add_argument("--runs", type=int, help="how many (default: as ours)")
    parser.add_argument("--write", action="store_true", help="write docs/records.md from what was measured")
    parser.add_argument("--busy", action="store_true", help="measure although the machine is busy")
    given = parser.parse_args()
    if given.runs is not None and given.runs < 3:
        parser.error("--runs: a mean of fewer than three says nothing of the next; give at least 3")
    if given.goal:
        quiet = Quiet()
        time.sleep(LISTEN_S)
        if not (quiet or given.busy):
            sys.exit("something else uses a core here, and two threads collapse beside it; wait, or say --busy")
        goal = GOALS[given.goal]
        recipe = tuple(shlex.split(given.recipe)) if given.recipe else goal.recipe
        kept = measure(given.goal, recipe, given.runs or goal.seeds, busy=not quiet)
        one = next(_of(kept | {"busy": False}))
        print(f"{', '.join(_cells(one, one.goal))}: {'it counts' if one.counts(one.goal) else 'it does not count'}")
    elif given.write:
        write(attempts())
    else:
        for name, goal in GOALS.items():
            print(f"{name}: {100 * goal.target:g} % of {goal.dataset}, by {shlex.join(goal.recipe)}, {goal.seeds} runs")


if __name__ == "__main__":
    main()
