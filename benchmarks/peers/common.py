"""What every contestant of `make bench` shares: the task, a plain torch model, and the words of the result.

A contestant is a process: `python benchmarks/peers/NAME.py TASK.npz PRECISION`. It trains one pass over the images in the task's
order from the task's weights and prints one JSON line. The first part of the steps is warm-up (compilation, caches), the
rest is timed. The mean losses of both parts tell whether it did the same mathematics.
"""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Task:
    """One pass over images: what `benchmarks/race.py` wrote."""

    model: str  # cnn1 or cnn2
    precision: str  # fp32 or bf16
    batch: int
    lr: float
    warm_up: int  # steps
    images_NHW: np.ndarray  # uint8, in the order in which they are to be trained on
    labels_N: np.ndarray
    mean: float
    sd: float
    weights: dict[str, np.ndarray]  # by torch's names: "0.weight" …

    @property
    def split(self) -> int:
        """The first image of the timed part."""
        return self.warm_up * self.batch

    def standardised(self) -> np.ndarray:
        """All images as float32, standardised."""
        return ((self.images_NHW / np.float32(255) - self.mean) / self.sd).astype(np.float32)


def read_task(ordered: bool = True) -> Task:
    """The task of the command line; not `ordered`: with the images as in the data set, for who draws the order itself."""
    _, path, precision = sys.argv
    with np.load(path) as file:
        facts = json.loads(str(file["facts"]))
        weights = {name.removeprefix("w/"): file[name] for name in file if name.startswith("w/")}
        order = file["order"] if ordered else slice(None)
        return Task(
            images_NHW=file["images"][order],
            labels_N=file["labels"][order],
            weights=weights,
            precision=precision,
            **facts,
        )


def tell(task: Task, warm_loss: float, loss: float, seconds: float) -> None:
    """Print the result."""
    images = len(task.images_NHW) - task.split
    print(json.dumps({"warm_loss": warm_loss, "loss": loss, "seconds": seconds, "images_per_s": images / seconds}))


def torch_model(task: Task) -> Any:
    """The network with the task's weights."""
    import torch

    model = network(task.model)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in task.weights.items()})
    return model


def quiet_trainer(**given: Any) -> Any:
    """Lightning's trainer without logger, bars and checkpoints."""
    import lightning as L

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    without = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    return L.Trainer(**dict.fromkeys(without, False), **given)


def torch_device() -> str:
    """Where everybody trains: on the GPU where there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def network(name: str) -> Any:
    """cnn1, cnn2 or mlp as a README would write it in torch."""
    from torch import nn

    if name == "mlp":
        layers = [
            nn.Flatten(),
            nn.Linear(784, 128),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(128, 64),
            nn.ReLU(),
            nn.Linear(64, 10),
        ]
    elif name == "cnn1":
        layers = [
            nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(64 * 5 * 5, 128), nn.ReLU(), nn.Linear(128, 10),
        ]  # fmt: skip
    else:
        layers = []
        for before, after in ((1, 32), (32, 64), (64, 128)):
            layers += [
                nn.Conv2d(before, after, 3, padding=1),
                nn.BatchNorm2d(after),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Dropout(0.25),
            ]
        layers += [nn.Flatten(), nn.Linear(128 * 3 * 3, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10)]
    return nn.Sequential(*layers)


def read_arrays() -> tuple[dict[str, np.ndarray], float, int]:
    """Images and labels of both parts, the target and the most epochs, from the command line."""
    with np.load(sys.argv[1]) as file:
        return dict(file), float(sys.argv[2]), int(sys.argv[3])


def tell_until(target: float, accuracies: list[float], train_s: float, score_s: float) -> None:
    """Print how far it came, after how many epochs and seconds of training and of scoring."""
    reached = accuracies[-1] >= target
    print(json.dumps({"reached": reached, "accuracies": accuracies, "train_s": train_s, "score_s": score_s}))
