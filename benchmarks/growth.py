"""Row 4 of `make bench --full`: what the cost grows with, and how fast: the exponent of seconds against size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from throughput import study_s

from fittingroom.data import load
from fittingroom.models import build, describe
from fittingroom.spec.machine import cores
from fittingroom.spec.read import read_recipe
from fittingroom.spec.recipe import Recipe
from fittingroom.study.clock import forget_peak, peak_memory_bytes
from fittingroom.study.launch.local import apart
from fittingroom.study.sharing import threads_each
from fittingroom.training import fit, prepare_process

RECIPE = "readme-002-cnn1"
ROUNDS = 2  # through all sizes of a row, of which the faster counts: the machine's own speed drifts


def growth(most_images: int) -> list[dict[str, Any]]:
    """A row for each thing that the cost grows with: its sizes, seconds, and the exponent of the larger half."""
    images = [n for n in (6_000, 20_000, 60_000, 200_000, 600_000) if n <= most_images]
    return [
        _row("images", images, lambda n: _training(_recipe(), n)),
        _row("epochs", [1, 2, 4, 8], lambda n: _training(_recipe(f"train.epochs={n}"), 20_000)),
        _row("FLOPs of a step (by width)", [16, 32, 64, 128], _by_width, size=_width_flops),
        _row("seeds", [2, 4, 8, 16], _study),
        _row("runs at once (8 seeds)", [n for n in (1, 2, 4, 8) if n <= cores()], lambda n: _study(8, n)),
    ]


def _row(
    what: str, sizes: Sequence[int], seconds: Callable[[int], dict[str, float]], size: Callable[[int], float] = float
) -> dict[str, Any]:
    rounds = [[seconds(n) for n in sizes] for _ in range(ROUNDS)]
    found = [min(tries, key=lambda measured: measured["seconds"]) for tries in zip(*rounds, strict=True)]
    x, y = np.log([size(n) for n in sizes]), np.log([f["seconds"] for f in found])
    half = len(sizes) // 2 if len(sizes) > 3 else 0
    exponent = float(np.polyfit(x[half:], y[half:], 1)[0])
    print(f"{what}: seconds grow with the power {exponent:.2f}", flush=True)
    return {"what": what, "sizes": [size(n) for n in sizes], "measured": found, "exponent": exponent}


def _recipe(*changes: str) -> Recipe:
    return read_recipe(RECIPE, ["train.epochs=1", "train.precision=bf16", *changes])


def _training(recipe: Recipe, images: int) -> dict[str, float]:
    return apart(partial(_fit_s, recipe, images), threads_each())


def _fit_s(recipe: Recipe, images: int) -> dict[str, float]:
    prepare_process(threads_each())
    train = load("fashion-mnist").train
    train = train.take(np.arange(images) % len(train))
    warm = recipe.model_copy(update={"train": recipe.train.model_copy(update={"epochs": 1})})
    for _ in fit(warm, train.take(np.arange(640)), None, seed=0):
        pass
    forget_peak("cpu")
    seconds = sum(s.epoch.train_s for s in fit(recipe, train, None, seed=0))
    return {"seconds": seconds, "peak_memory_bytes": float(peak_memory_bytes("cpu") or 0)}


def _wide(width: int) -> Recipe:
    return _recipe(f"model.layers.0.conv={width}", f"model.layers.3.conv={2 * width}")


def _by_width(width: int) -> dict[str, float]:
    return _training(_wide(width), 6_000)


def _width_flops(width: int) -> float:
    return float(describe(build(_wide(width).model, (1, 28, 28), 10), (1, 28, 28)).flops)


def _study(seeds: int, workers: int | None = None) -> dict[str, float]:
    return {"seconds": study_s(_recipe("data.limit=6000"), seeds, workers)}
