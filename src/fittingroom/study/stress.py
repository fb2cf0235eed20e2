"""How runs stand corrupted test images: every run sees the same ones, and what it said is kept beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import torch

from fittingroom.augment.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from fittingroom.data import Dataset, Images, reload
from fittingroom.data.acquire import Tick
from fittingroom.spec.recipe import Recipe
from fittingroom.store import RunFolder, Runs
from fittingroom.study.launch import Launcher
from fittingroom.training import choose_device, predict
from fittingroom.training.fit import restore
from fittingroom.training.predict import to_tensor
from fittingroom.training.rebuild import recipe_of

CHUNK = 1000  # images that are corrupted at once; part of what they suffer, since each chunk draws its own numbers
VERSION = 1  # raised when the corruptions change


@dataclass(frozen=True)
class _Shared:
    """What every part of the work needs: test images, and the runs' recipes and weights."""

    images: Images
    runs: Sequence[tuple[Recipe, dict[str, np.ndarray]]]
    device: str


def stress(
    folders: Sequence[RunFolder],
    runs: Runs,
    by: Launcher,
    *,
    device: str = "auto",
    threads: int = 1,
    home_dir: Path | None = None,
    tick: Tick = lambda share: None,
) -> None:
    """Classify every test image under every corruption with each run, and write `stress.npz` into its folder.

    Runs that have it already are left alone. Raises `FittingroomError` for a run that is not finished.
    """
    for folder in folders:
        folder.refuse_unfinished()
        folder.refuse_held_out("stress")
    waiting = [f for f in folders if (old := f.stressed()) is None or int(old["version"]) != VERSION]
    by_data: dict[tuple[str, str], list[RunFolder]] = {}
    for folder in waiting:
        by_data.setdefault((folder.data.name, folder.data.digest), []).append(folder)
    parts = list(product(CORRUPTIONS, SEVERITIES))
    for number, ((name, digest), mine) in enumerate(by_data.items()):
        data = reload(name, digest, home_dir)
        images = data.test.unlock(partial(_announce, runs, [f.name for f in mine], data))
        shared = _Shared(images, [(recipe_of(f), f.arrays("weights")) for f in mine], choose_device(device))
        said_PRN = by.each(_said, shared, parts, threads, partial(_part, tick, number, len(by_data)))
        said_RCSN: np.ndarray = np.stack(said_PRN, 1).reshape(len(mine), len(CORRUPTIONS), len(SEVERITIES), len(images))
        kinds = np.array(list(CORRUPTIONS))
        for folder, said_CSN in zip(mine, said_RCSN, strict=True):
            found = {"version": np.array(VERSION), "kinds": kinds, "said": said_CSN, "labels": images.labels_N}
            folder.write_npz("stress", found)


def _part(tick: Tick, number: int, of: int, share: float) -> None:
    tick((number + share) / of)


def _announce(runs: Runs, names: Sequence[str], data: Dataset) -> None:
    for name in names:
        runs.log_test_read(f"{name} (stress)", data.name, data.digest)


def _said(shared: _Shared, part: tuple[str, int]) -> np.ndarray:
    """What each run says of the images under one corruption: (R,N) uint8 or uint16. Each image is harmed once for all runs."""
    images, device = shared.images, shared.device
    models = [restore(recipe, weights, images, device) for recipe, weights in shared.runs]
    said_RN = np.zeros((len(models), len(images)), np.uint8 if len(images.classes) <= 256 else np.uint16)
    for first in range(0, len(images), CHUNK):
        with torch.inference_mode():
            harmed = corrupt(to_tensor(images.images_NCHW[first : first + CHUNK]), *part, first).numpy()
        for model, said_N in zip(models, said_RN, strict=True):
            said_N[first : first + CHUNK] = predict(model, harmed, device).argmax(1)
    return said_RN


def examples(images: Images, severities: Sequence[int] = SEVERITIES) -> np.ndarray:
    """One image of each class, harmed by every corruption at every severity: (C, S, K, channels, H, W) uint8."""
    _, first = np.unique(images.labels_N, return_index=True)
    plain = to_tensor(images.take(first).images_NCHW[:])
    return np.stack([np.stack([corrupt(plain, kind, s).numpy() for s in severities]) for kind in CORRUPTIONS])
