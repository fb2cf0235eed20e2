"""`make bench-gpu`: what a GPU brings, in eight minutes, correctness first. One JSON under benchmarks/results/.

    make gpu-kit                             here: pack data and wheels for a machine without internet
    make bench-gpu                           there
    make bench-gpu ARGS="--tiny"             anywhere, a CPU too: every part once, with sizes that say nothing
    make bench-gpu ARGS="--only speed seeds --out FILE"

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
SMALL = ("readme-004-mlp", "train.epochs=2")  # of which 32 seeds are trained
SEEDS = 32
VERDICT = ("train.epochs=3", "data.limit=12_000", "train.precision=fp32")
loop = importlib.import_module("fittingroom.training.fit")


@dataclass(frozen=True)
class Size:
    """How much is done: all of it, or as little as shows that it runs."""

    tiny: bool
    ends: float  # by time.monotonic(): when the whole is to be over

    def changes(self, *words: str) -> list[str]:
        return [*words, "train.epochs=1", "data.limit=1000", "train.batch_size=100"] if self.tiny else [*words]

    def count(self, whole: int) -> int:
        return min(whole, 2) if self.tiny else whole

    def left_s(self) -> float:
        return self.ends - time.monotonic()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="every part once, with sizes that say nothing")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="these parts")
    parser.add_argument("--seconds", type=float, default=480, help="of the whole")
    parser.add_argument("--best", nargs="+", default=["sota-fashion"], help="recipe and changes of the part `best`")
    parser.add_argument("--val", action="store_true", help="part `best`: leave the test set closed, it is being chosen")
    parser.add_argument("--out", type=Path, help="where to write")
    arguments = parser.parse_args()
    size = Size(arguments.tiny, time.monotonic() + arguments.seconds)
    path = (
        arguments.out
        or HERE / "results" / f"{datetime.datetime.now():%Y-%m-%d-%H%M}-{'tiny' if size.tiny else 'gpu'}-quick.json"
    )
    prepare_process(1)
    figures: dict[str, Any] = {
        "machine": machine(),
        "date": str(datetime.date.today()),
        "tiny": size.tiny,
        "failed": {},
    }
    print(figures["machine"], flush=True)
    for name in arguments.only:
        started = time.monotonic()
        try:
            figures[name] = PARTS[name](size, arguments)
        except Exception as error:  # noqa: BLE001  # the machine is lent: what can be measured is measured
            traceback.print_exc()
            figures["failed"][name] = f"{type(error).__name__}: {error}"
        print(f"-- {name}: {time.monotonic() - started:.0f} s, {size.left_s():.0f} s left", flush=True)
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(f"written: {path}")


def machine() -> dict[str, Any]:
    there = DEVICE == "cuda"
    return {
        "gpu": torch.cuda.get_device_name() if there else None,
        "multiprocessors": torch.cuda.get_device_properties(0).multi_processor_count if there else None,
        "cpu": cpu_name(), "python": sys.version.split()[0], "torch": torch.__version__,
    }  # fmt: skip


def correct(size: Size, arguments: argparse.Namespace) -> dict[str, Any]:
    """The tests that need a GPU: the same bytes recorded, resumed; no step that waits; what it trained, read on a CPU."""
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:benchmark",
        "--no-header",
        "-x" if size.tiny else "-q",
        "-n",
        "6",
    ]
    done = subprocess.run(
        [*words, "tests/training/test_cuda.py"], capture_output=True, text=True, cwd=HERE.parent, check=False
    )
    print(done.stdout[-3500:], done.stderr[-500:], flush=True)
    return {"exit_code": done.returncode, "summary": done.stdout.strip().splitlines()[-1]}


def verdict(size: Size, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """A small comparison on the GPU and on this machine's processor: the same within noise."""
    torch.set_num_threads(1 if size.tiny else 8)
    rows = []
    for name in ("readme-004-mlp", "readme-004-cnn"):
        recipe = read_recipe(name, size.changes(*VERDICT))
        found = {
            device: [validated(recipe, seed, device) for seed in range(size.count(4))] for device in ("cpu", DEVICE)
        }
        here, there = (
            (np.array(values) for values in found.values()) if DEVICE != "cpu" else (np.array(found["cpu"]),) * 2
        )
        spread = float(np.sqrt((here.var(ddof=1) + there.var(ddof=1)) / len(here)))
        rows.append(
            {
                "recipe": name,
                "val_cpu": here.tolist(),
                f"val_{DEVICE}": there.tolist(),
                "difference": float(there.mean() - here.mean()),
                "standard_error": spread,
            }
        )
        print(
            f"{name}: cpu {100 * here.mean():.2f} %, {DEVICE} {100 * there.mean():.2f} %, ± {100 * spread:.2f} points",
            flush=True,
        )
    torch.set_num_threads(1)
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


def speed(size: Size, arguments: argparse.Namespace) -> dict[str, Any]:
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
        print("{recipe:20} batch {batch_size:4} {precision}".format(**row) + "".join(
            f"  {kind}: {row[kind]['step_ms']:.3f} ms, {row[kind]['images_per_s']:,.0f} images/s, {100 * row[kind]['share']:.1f} %"
            for kind in ("recorded", "by_kernel")), flush=True)  # fmt: skip
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


def peers(size: Size, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Default against default, whole processes side by side: the READMEs' script and Lightning in fp32, ours in bf16."""
    rivals = [rival for rival in RIVALS if rival.name in ("README-style script", "Lightning")]
    rows = []
    for model in ("cnn1", "cnn2"):
        rows += race(model, 64, 1_280 if size.tiny else 25_600, 1, rivals, (("bf16", "fp32"),))
    for row in rows:
        print(
            "{model} batch {batch} against {rival:20} {ratio:6.2f} × [{low:.2f}, {high:.2f}] {our_images_per_s:,.0f} against {rival_images_per_s:,.0f} images/s, loss {our_loss:.4f} against {rival_loss:.4f}".format(
                **row
            ),
            flush=True,
        )
    return rows


def time_to(size: Size, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Seconds of training to a mean test accuracy, by a fixed recipe; each run reads the test set once."""
    return [reached(size, words, target, size.count(seeds)) for words, target, seeds in GOALS]


def reached(size: Size, words: tuple[str, ...], target: float, seeds: int) -> dict[str, Any]:
    recipe = read_recipe(words[0], size.changes(*words[1:]))
    with tempfile.TemporaryDirectory() as folder:
        found = [trained(recipe, seed, Runs(Path(folder))) for seed in range(seeds)]
    accuracies, seconds = [m.test.accuracy for m in found], [m.train_s for m in found]
    row = {
        "recipe": " ".join(words), "target": target, "seeds": seeds, "accuracies": accuracies, "train_s": seconds,
        "accuracy": mean(accuracies), "sd": stdev(accuracies), "median_train_s": median(seconds), "eval_s": median(m.eval_s for m in found),
    }  # fmt: skip
    print(
        f"{row['recipe']}: {100 * row['accuracy']:.2f} ± {100 * row['sd']:.2f} % (target {100 * target:g}), n = {seeds}, {row['median_train_s']:.2f} s of training ({max(seconds):.2f} the first)",
        flush=True,
    )
    return row


def trained(recipe: Recipe, seed: int, runs: Runs, test: bool = True) -> Any:
    """The metrics of a run, made in this process."""
    data = load(recipe.data.name)
    job = replace(resolve(recipe, data, DEVICE, runs, threads=1, score_test=test), seed=seed)
    return execute(job, runs).metrics


def seeds(size: Size, arguments: argparse.Namespace) -> dict[str, Any]:
    """32 seeds of a small recipe as a study trains them, as a multiple of one alone: from the process's start, and without it."""
    recipe = read_recipe(SMALL[0], size.changes(*SMALL[1:]))
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


def best(size: Size, arguments: argparse.Namespace) -> dict[str, Any]:
    """Fashion-MNIST as well as three minutes allow."""
    recipe = read_recipe(arguments.best[0], size.changes(*arguments.best[1:]))
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        metrics = trained(recipe, 0, Runs(Path(folder)), test=not arguments.val)
        row = {
            "recipe": " ".join(arguments.best),
            "seconds": time.monotonic() - started,
            "train_s": metrics.train_s,
            "eval_s": metrics.eval_s,
            "val": metrics.val.accuracy if metrics.val else None,
        }
    for name in ("test", "test_averaged"):
        scores = getattr(metrics, name)
        row[name] = scores.accuracy if scores else None
    print(row, flush=True)
    return row


PARTS: dict[str, Callable[[Size, argparse.Namespace], Any]] = {
    "correct": correct, "verdict": verdict, "speed": speed, "peers": peers, "time_to": time_to, "seeds": seeds, "best": best,
}  # fmt: skip

if __name__ == "__main__":
    main()
