"""Row 1 of `make bench`: images a second of our loop against its peers, on the same mathematics.

Every contestant is a process of its own with every core (see `peers/common.py`). They take turns, A B A B, so that a
machine that changes its speed changes it for all; each ratio is taken within one round.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

HERE = Path(__file__).parent
VENV = HERE.parent / ".venv-peers/bin/python"
PEERS = VENV if VENV.exists() else Path(sys.executable)  # a GPU machine has its own
WARM_UP = 0.25  # of the steps


@dataclass(frozen=True)
class Contestant:
    """Who trains: a program, its interpreter and what its environment adds."""

    name: str
    program: str
    environment: tuple[tuple[str, str], ...] = ()
    ours: bool = False

    def run(self, *arguments: object) -> dict[str, Any]:
        words = [sys.executable if self.ours else str(PEERS), str(HERE / "peers" / self.program), *map(str, arguments)]
        done = subprocess.run(
            words, check=False, env=os.environ | dict(self.environment), capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"{self.name} failed:\n{done.stderr[-2000:]}")
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return found


OURS = Contestant("fittingroom", "ours.py", ours=True)
RIVALS = (
    Contestant("README-style script", "script.py"),
    Contestant("Keras on JAX", "keras_fit.py", (("KERAS_BACKEND", "jax"),)),
    Contestant("Keras on torch", "keras_fit.py", (("KERAS_BACKEND", "torch"),)),
    Contestant("Lightning", "lightning_fit.py"),
    Contestant("skorch", "skorch_fit.py"),
)


def write_task(path: Path, model: str, batch: int, images: int) -> None:
    """One pass over `images` images of Fashion-MNIST, in the order and from the weights of our seed 0."""
    import torch

    from fittingroom.data import load
    from fittingroom.spec.read import read_recipe
    from fittingroom.training.fit import network, shuffled

    steps = images // batch
    train = load("fashion-mnist").train.take(np.arange(steps * batch))
    recipe = read_recipe(f"readme-002-{model}")
    state = network(recipe, train, seed=0).state_dict()
    order = shuffled(len(train), 0, 1, torch.Generator()).numpy()
    facts = {
        "model": model, "batch": batch, "lr": recipe.optimizer.lr,
        "warm_up": max(1, round(WARM_UP * steps)),
        "mean": float(state["mean"].flatten()[0]), "sd": 1 / float(state["scale"].flatten()[0]),
    }  # fmt: skip
    weights = {f"w/{k.removeprefix('body.')}": v.numpy() for k, v in state.items() if k.startswith("body.")}
    images_NHW, labels_N = train.images_NCHW[:, 0], train.labels_N
    np.savez(path, facts=json.dumps(facts), images=images_NHW, labels=labels_N, order=order, **weights)


Pairs = Sequence[tuple[str, str]]
PAIRS: Pairs = (("fp32", "fp32"), ("bf16", "bf16"), ("bf16", "fp32"))  # ours against theirs


def race(
    model: str, batch: int, images: int, rounds: int, rivals: Sequence[Contestant] = RIVALS, pairs: Pairs = PAIRS
) -> list[dict[str, Any]]:
    """Rows for each rival: fp32 against fp32, bf16 against bf16, and our default (bf16) against its default (fp32).

    A row holds our images a second over the rival's (median and range over `rounds`) and the losses of both.
    """
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        task = Path(folder) / "task.npz"
        write_task(task, model, batch, images)
        for _ in range(rounds):
            for precision in ("fp32", "bf16"):
                taking_part = [OURS] * any(a == precision for a, _ in pairs) + [*rivals] * any(
                    b == precision for _, b in pairs
                )
                for contestant in taking_part:
                    found.setdefault((contestant.name, precision), []).append(contestant.run(task, precision))
    rows = []
    for ours, theirs in pairs:
        our_runs = found[OURS.name, ours]
        for rival in rivals:
            rival_runs = found[rival.name, theirs]
            ratios = [a["images_per_s"] / b["images_per_s"] for a, b in zip(our_runs, rival_runs, strict=True)]
            rows.append({
                "model": model, "batch": batch, "ours": ours, "theirs": theirs, "rival": rival.name,
                "ratio": median(ratios), "low": min(ratios), "high": max(ratios), "rounds": rounds, "images": images,
                "our_images_per_s": median(f["images_per_s"] for f in our_runs),
                "rival_images_per_s": median(f["images_per_s"] for f in rival_runs),
                "our_loss": our_runs[0]["loss"], "rival_loss": rival_runs[0]["loss"],
            })  # fmt: skip
    return rows
