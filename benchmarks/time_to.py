"""Row 2 of `make bench --full`: the time to a test accuracy, ours by a fixed recipe, a peer's by the first epoch that touches it.

Ours counts only if the *mean* final test accuracy of its seeds is at the target (the rule of airbench, Jordan 2024,
arXiv:2404.00498), read once a run; a peer is generously stopped at the first epoch whose test accuracy is there.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from race import Contestant

from fittingroom.data import load
from fittingroom.store import Runs

SCRIPT = Contestant("README-style script", "until_script.py")
KERAS = tuple(
    Contestant(f"Keras' MNIST example on {backend}", "until_keras.py", (("KERAS_BACKEND", backend),))
    for backend in ("jax", "torch")
)


@dataclass(frozen=True)
class Goal:
    """A test accuracy, the recipe that is to reach it with so many seeds, and who else tries, for how many epochs at most."""

    dataset: str
    target: float
    recipe: tuple[str, ...]
    seeds: int
    peers: tuple[Contestant, ...]
    most_epochs: int


QUICK = ("fast-fashion", "train.epochs=2", "train.batch_size=256", 'augment=[{kind="hflip"}]')  # shifts pay later
GOALS = (
    Goal("fashion-mnist", 0.9268, QUICK, 5, (SCRIPT,), 20),
    Goal("mnist", 0.99, ("fast-mnist", "train.epochs=1"), 10, (SCRIPT, *KERAS), 15),
)


def time_to() -> list[dict[str, Any]]:
    """A row for each goal: our mean, spread and seconds, and each peer's way there."""
    return [_row(goal) for goal in GOALS]


def _row(goal: Goal) -> dict[str, Any]:
    ours = [ours_once(goal, seed) for seed in range(goal.seeds)]
    accuracies = [found["accuracy"] for found in ours]
    row: dict[str, Any] = {
        "dataset": goal.dataset, "target": goal.target, "recipe": " ".join(goal.recipe), "seeds": goal.seeds,
        "accuracy": mean(accuracies), "sd": stdev(accuracies), "reached": mean(accuracies) >= goal.target,
        "train_s": mean(found["train_s"] for found in ours), "total_s": mean(found["total_s"] for found in ours),
        "peers": [],
    }  # fmt: skip
    print(
        f"{row['recipe']}: {100 * row['accuracy']:.2f} ± {100 * row['sd']:.2f} % of {goal.dataset} in {row['train_s']:.1f} s, "
        f"{row['total_s']:.1f} s from the process's start; target {100 * goal.target:g} %",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.npz"
        data = load(goal.dataset)
        test = data.test.unlock(lambda: print(f"{goal.dataset}: the peers may look at the test set", flush=True))
        np.savez(
            path,
            train_images=data.train.images_NCHW[:, 0], train_labels=data.train.labels_N,
            test_images=test.images_NCHW[:, 0], test_labels=test.labels_N,
        )  # fmt: skip
        for peer in goal.peers:
            row["peers"].append(_peer(goal, peer, path, row))
    return row


def ours_once(goal: Goal, seed: int) -> dict[str, float]:
    """One run as a person starts it: its accuracy, seconds of training, and seconds from the process's start to its end."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "fittingroom", "train", *goal.recipe, "--seed", str(seed), "--runs", folder]
        started = time.perf_counter()
        subprocess.run([*words, "--data", goal.dataset], check=True, capture_output=True)
        total_s = time.perf_counter() - started
        (run,) = Runs(Path(folder)).list()
        return {"accuracy": run.metrics.test.accuracy, "train_s": run.metrics.train_s, "total_s": total_s}


def _peer(goal: Goal, peer: Contestant, data: Path, ours: dict[str, Any]) -> dict[str, Any]:
    started = time.perf_counter()
    found = peer.run(data, goal.target, goal.most_epochs)
    total_s = time.perf_counter() - started - found["score_s"]
    row = {
        "name": peer.name, **found, "total_s": total_s,
        "ratio": found["train_s"] / ours["train_s"], "total_ratio": total_s / ours["total_s"],
    }  # fmt: skip
    what = "touched it" if found["reached"] else f"best {100 * max(found['accuracies']):.2f} %"
    print(
        f"  {peer.name}: {what} after {len(found['accuracies'])} epochs and {found['train_s']:.0f} s, "
        f"{row['ratio']:.1f} times ours ({row['total_ratio']:.1f} from the start)",
        flush=True,
    )
    return row
