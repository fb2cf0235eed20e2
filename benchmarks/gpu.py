"""`make bench-gpu`: what a GPU brings, in five minutes, correctness first. One JSON under benchmarks/results/.

    make gpu-kit                             here: pack data and wheels for a machine without internet
    make bench-gpu                           there
    make bench-gpu ARGS="--tiny"             anywhere, a CPU too: every part once, with sizes that say nothing
    make bench-gpu ARGS="--only speed seeds"

Each part that is done is written before the next one begins; one that fails is told, and the rest goes on.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import numpy as np
import torch
from bench import show_race
from race import RIVALS, race
from throughput import study_s

from fittingroom.data import load, prepare
from fittingroom.models import build, describe
from fittingroom.spec.read import read_recipe
from fittingroom.spec.recipe import Recipe
from fittingroom.store import Runs
from fittingroom.study.clock import ceiling
from fittingroom.study.execute import execute
from fittingroom.study.job import resolve
from fittingroom.study.launch.local import apart
from fittingroom.study.sharing import cpu_name
from fittingroom.training import choose_device, choose_precision, fit, prepare_process

HERE = Path(__file__).parent
DEVICE = choose_device("auto")
SPEEDS = (
    "readme-002-cnn1",
    "readme-002-cnn2",
    "readme-004-mlp",
    "fast-mnist",
    "fast-fashion",
    "best-fashion",
    "readme-001-resnet18",
)
WARM_UP, TIMED = 20, 200  # steps
GOALS = (  # recipe and changes, the mean test accuracy to be reached, seeds
    (("fast-mnist",), 0.99, 10),
    (("fast-fashion",), 0.94, 5),
    (("fast-fashion", "train.epochs=8"), 0.94, 5),
)
BEST = ("best-fashion", "model.args.width=64", "train.epochs=40", "score.average=flip")
SMALL = ("readme-004-mlp", "train.epochs=2")  # of which 32 seeds are trained
SEEDS = 32
VERDICT = ("train.epochs=3", "data.limit=12_000", "train.precision=fp32")
loop = importlib.import_module("fittingroom.training.fit")


@dataclass(frozen=True)
class Size:
    """How much is done: all of it, or as little as shows that it runs."""

    tiny: bool

    def recipe(self, name: str, *changes: str) -> Recipe:
        tiny = ("train.epochs=1", "data.limit=1000", "train.batch_size=100")
        return read_recipe(name, [*changes, *(tiny if self.tiny else ())])

    def count(self, whole: int) -> int:
        return min(whole, 2) if self.tiny else whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="every part once, with sizes that say nothing")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="these parts")
    parser.add_argument("--out", type=Path, help="where to write")
    arguments = parser.parse_args()
    size = Size(arguments.tiny)
    name = f"{datetime.datetime.now():%Y-%m-%d-%H%M}-{'tiny-quick' if size.tiny else 'gpu'}.json"  # in order of time
    path = arguments.out or HERE / "results" / name
    prepare_process(1)
    found: dict[str, Any] = {"failed": {}}
    print(machine(), flush=True)
    for part in arguments.only:
        started = time.monotonic()
        try:
            found[part] = PARTS[part](size)
        except Exception as error:  # the machine is lent: what can be measured is measured
            traceback.print_exc()
            found["failed"][part] = f"{type(error).__name__}: {error}"
        print(f"-- {part}: {time.monotonic() - started:.0f} s", flush=True)
        figures = {"machine": machine(), "date": str(datetime.date.today()), "gpu": found}
        path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(f"written: {path}")


def machine() -> str:
    gpu = torch.cuda.get_device_name() if DEVICE == "cuda" else "no GPU"
    return f"{gpu}, {cpu_name()}, Python {sys.version.split()[0]}, torch {torch.__version__}"


def correct(size: Size) -> dict[str, Any]:
    """The tests that need a GPU: the same bytes recorded, resumed; no step that waits; what it trained, read on a CPU."""
    without = ("-p", "no:cacheprovider", "-p", "no:benchmark")  # a plugin that warns beside xdist
    words = [sys.executable, "-m", "pytest", *without, "-n", "6", "--verbosity=0", "tests/training/test_cuda.py"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=HERE.parent, check=False)
    print(done.stdout[-3500:], done.stderr[-500:], flush=True)
    return {"exit_code": done.returncode, "summary": done.stdout.strip().splitlines()[-1].strip("= ")}


def verdict(size: Size) -> list[dict[str, Any]]:
    """A small comparison in float32 on the GPU and on this machine's processor: the same within noise."""
    rows = []
    for name in ("readme-004-mlp", "readme-004-cnn"):
        recipe = size.recipe(name, *VERDICT)
        torch.set_num_threads(8)
        cpu, gpu = (np.array([validated(recipe, s, d) for s in range(size.count(4))]) for d in ("cpu", DEVICE))
        torch.set_num_threads(1)
        error = float(np.sqrt((cpu.var(ddof=1) + gpu.var(ddof=1)) / len(cpu)))
        difference = float(gpu.mean() - cpu.mean())
        rows.append({"recipe": name, "cpu": cpu.tolist(), "gpu": gpu.tolist(), "difference": difference, "se": error})
        print(
            f"{name}: cpu {100 * cpu.mean():.2f} %, gpu {100 * gpu.mean():.2f} %, ± {100 * error:.2f} points",
            flush=True,
        )
    return rows


def validated(recipe: Recipe, seed: int, device: str) -> float:
    """The validation accuracy after the last epoch."""
    *_, last = fit(recipe, *parts_of(recipe), seed=seed, device=device)
    assert last.epoch.val_accuracy is not None
    return last.epoch.val_accuracy


def parts_of(recipe: Recipe) -> Any:
    return prepare(load(recipe.data.name), recipe.data)


class _Enough(Exception):
    pass


def speed(size: Size) -> dict[str, Any]:
    """Images a second of a step with all it needs, recorded and not, beside the card's own matrix product."""
    top = ceiling(DEVICE)
    print(f"matrix product: {top.bf16 / 1e12:.0f} TFLOP/s in bf16, {top.fp32 / 1e12:.1f} in fp32", flush=True)
    rows = []
    for name in SPEEDS:
        recipe = resolved(read_recipe(name))
        train, _ = parts_of(recipe)
        flops = 3 * describe(build(recipe.model, train.shape, len(train.classes)), train.shape).flops
        row: dict[str, Any] = {
            "recipe": name,
            "batch_size": recipe.train.batch_size,
            "precision": recipe.train.precision,
        }
        for recorded in (True, False):
            step = step_s(recipe, train, recorded, *((2, 4) if size.tiny else (WARM_UP, TIMED)))
            rate = recipe.train.batch_size / step
            share = rate * flops / getattr(top, recipe.train.precision)
            kind = "recorded" if recorded else "by_kernel"
            row[kind] = {"step_ms": 1e3 * step, "images_per_s": rate, "share": share}
        rows.append(row)
        for kind in ("recorded", "by_kernel"):
            found = row[kind]
            print(
                f"{name} batch {row['batch_size']} {row['precision']}, {kind}: {found['step_ms']:.3f} ms, "
                f"{found['images_per_s']:,.0f} images/s, {100 * found['share']:.1f} %",
                flush=True,
            )
    return {"ceiling": {"bf16": top.bf16, "fp32": top.fp32}, "rows": rows}


def resolved(recipe: Recipe) -> Recipe:
    precision = choose_precision(recipe.train.precision, DEVICE)
    return recipe.model_copy(update={"train": recipe.train.model_copy(update={"precision": precision})})


def step_s(recipe: Recipe, train: Any, recorded: bool, warm_up: int, timed: int) -> float:
    """Seconds of a step, once the device has caught up."""
    marks: list[float] = []
    seen, cuda = 0, DEVICE == "cuda"
    wait = torch.cuda.synchronize if cuda else lambda: None

    def tick(images: int, loss_sum: torch.Tensor) -> None:
        nonlocal seen
        seen += 1
        if seen in (warm_up, warm_up + timed):
            wait()
            marks.append(time.perf_counter())
        if seen == warm_up + timed:
            raise _Enough

    many = recipe.train.batch_size * (warm_up + timed)
    images = train.take(np.arange(many) % len(train))  # one long epoch: no evaluation in it
    usual = loop.recordable
    loop.recordable = lambda *given: recorded and usual(*given)
    try:
        for _ in fit(recipe, images, None, seed=0, device=DEVICE, tick=tick):
            pass
    except _Enough:
        pass
    finally:
        loop.recordable = usual
    return (marks[1] - marks[0]) / timed


def peers(size: Size) -> list[dict[str, Any]]:
    """Default against default, each a process of its own: the READMEs' script and Lightning in fp32, ours in bf16."""
    rivals = [rival for rival in RIVALS if rival.name in ("README-style script", "Lightning")]
    images, pairs = 1_280 if size.tiny else 25_600, (("bf16", "fp32"),)
    rows = [row for model in ("cnn1", "cnn2") for row in race(model, 64, images, 1, rivals, pairs)]
    show_race(rows)
    return rows


def time_to(size: Size) -> list[dict[str, Any]]:
    """Seconds of training to a mean test accuracy, by a fixed recipe; each run reads the test set once."""
    return [reached(size, words, target, size.count(seeds)) for words, target, seeds in GOALS]


def reached(size: Size, words: tuple[str, ...], target: float, seeds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        found = [trained(size.recipe(*words), seed, Runs(Path(folder))) for seed in range(seeds)]
    accuracies, seconds = [m.test.accuracy for m in found], [m.train_s for m in found]
    row = {
        "recipe": " ".join(words), "target": target, "seeds": seeds, "accuracies": accuracies, "train_s": seconds,
        "accuracy": mean(accuracies), "sd": stdev(accuracies), "median_train_s": median(seconds),
        "eval_s": median(m.eval_s for m in found),
    }  # fmt: skip
    print(
        f"{row['recipe']}: {100 * row['accuracy']:.2f} ± {100 * row['sd']:.2f} % (target {100 * target:g}), "
        f"{row['median_train_s']:.2f} s of training, n = {seeds}",
        flush=True,
    )
    return row


def trained(recipe: Recipe, seed: int, runs: Runs) -> Any:
    """The metrics of a run, made in this process."""
    job = resolve(recipe, load(recipe.data.name), DEVICE, runs, threads=1)
    return execute(replace(job, seed=seed), runs).metrics


def seeds(size: Size) -> dict[str, Any]:
    """32 seeds of a small recipe as a study trains them, as a multiple of one alone: from the process's start, and without it."""
    recipe = size.recipe(*SMALL)
    many = size.count(SEEDS)
    row: dict[str, Any] = {"recipe": " ".join(SMALL), "seeds": many}
    for title, n, workers in (("one", 1, 1), *((f"{w}_at_once", many, w) for w in ((2,) if size.tiny else (4,)))):
        started = time.perf_counter()
        row[title] = {
            "trains_s": apart(partial(study_s, recipe, n, workers), 1),
            "whole_s": time.perf_counter() - started,
        }
        times = {kind: row[title][kind] / row["one"][kind] for kind in row[title]}
        print(
            f"{n} seeds, {workers} at once: {row[title]['whole_s']:.1f} s, {times['whole_s']:.1f} times one; "
            f"without the start {row[title]['trains_s']:.1f} s, {times['trains_s']:.1f} times",
            flush=True,
        )
    return row


def best(size: Size) -> dict[str, Any]:
    """Fashion-MNIST as well as one seed of half a minute can: the widest net that pays so far."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        metrics = trained(size.recipe(*BEST), 0, Runs(Path(folder)))
    row = {
        "recipe": " ".join(BEST), "whole_s": time.monotonic() - started, "train_s": metrics.train_s, "eval_s": metrics.eval_s,
        "val": metrics.val.accuracy, "test": metrics.test.accuracy, "test_averaged": metrics.test_averaged.accuracy,
    }  # fmt: skip
    print(row, flush=True)
    return row


PARTS: dict[str, Callable[[Size], Any]] = {
    "correct": correct, "speed": speed, "time_to": time_to, "best": best, "peers": peers, "verdict": verdict, "seeds": seeds,
}  # fmt: skip

if __name__ == "__main__":
    main()
