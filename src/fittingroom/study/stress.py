"""How runs stand corrupted test images: every run sees the same ones, and what it said is kept beside it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from fittingroom.augment.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from fittingroom.data import Dataset, Images, reload
from fittingroom.data.acquire import Tick
from fittingroom.store import RunFolder, Runs
from fittingroom.study.plan import threads_each
from fittingroom.training import choose_device, predict, prepare_process
from fittingroom.training.fit import restore
from fittingroom.training.predict import to_tensor

CHUNK = 1000  # images that are corrupted at once; part of what they suffer, since each chunk draws its own numbers
VERSION = 1  # raised when the corruptions change


def stress(
    folders: Sequence[RunFolder],
    runs: Runs,
    *,
    device: str = "auto",
    home_dir: Path | None = None,
    tick: Tick = lambda share: None,
) -> None:
    """Classify every test image under every corruption with each run, and write `stress.npz` into its folder.

    Runs that have it already are left alone. Raises `FittingroomError` for a run that is not finished.
    """
    for folder in folders:
        folder.refuse_unfinished()
    waiting = [f for f in folders if (old := f.stressed()) is None or int(old["version"]) != VERSION]
    by_data: dict[tuple[str, str], list[RunFolder]] = {}
    for folder in waiting:
        by_data.setdefault((folder.data.name, folder.data.digest), []).append(folder)
    prepare_process(threads_each())
    for number, ((name, digest), mine) in enumerate(by_data.items()):
        data = reload(name, digest, home_dir)
        _stress(mine, data, runs, choose_device(device), partial(_part, tick, number, len(by_data)))


def _stress(folders: Sequence[RunFolder], data: Dataset, runs: Runs, device: str, tick: Tick) -> None:
    """All runs on one data set, together."""
    images = data.test.unlock(partial(_announce, runs, [f.name for f in folders], data))
    kinds = np.array(list(CORRUPTIONS))
    for folder, said_CSN in zip(folders, _said(folders, data.train, images, device, tick), strict=True):
        found = {"version": np.array(VERSION), "kinds": kinds, "said": said_CSN, "labels": images.labels_N}
        folder.write_npz("stress", found)


def _part(tick: Tick, number: int, of: int, share: float) -> None:
    tick((number + share) / of)


def _announce(runs: Runs, names: Sequence[str], data: Dataset) -> None:
    for name in names:
        runs.log_test_read(f"{name} (stress)", data.name, data.digest)


def _said(folders: Sequence[RunFolder], like: Images, images: Images, device: str, tick: Tick) -> list[np.ndarray]:
    """What each run predicts: (C kinds, S severities, N images) uint8 or uint16. Each corrupted image is made once."""
    models = [restore(f.recipe, f.arrays("weights"), like, device) for f in folders]
    small = np.uint8 if len(like.classes) <= 256 else np.uint16
    out = [np.zeros((len(CORRUPTIONS), len(SEVERITIES), len(images)), small) for _ in folders]
    done, total = 0, len(CORRUPTIONS) * len(SEVERITIES) * len(images)
    for c, kind in enumerate(CORRUPTIONS):
        for s, severity in enumerate(SEVERITIES):
            for first in range(0, len(images), CHUNK):
                with torch.inference_mode():
                    harmed = corrupt(
                        to_tensor(images.images_NCHW[first : first + CHUNK]), kind, severity, first
                    ).numpy()
                for model, said in zip(models, out, strict=True):
                    said[c, s, first : first + CHUNK] = predict(model, harmed, device).argmax(1)
                done += len(harmed)
                tick(done / total)
    return out


def examples(images: Images, severities: Sequence[int] = SEVERITIES) -> np.ndarray:
    """One image of each class, harmed by every corruption at every severity: (C, S, K, channels, H, W) uint8."""
    _, first = np.unique(images.labels_N, return_index=True)
    plain = to_tensor(images.take(first).images_NCHW[:])
    return np.stack([np.stack([corrupt(plain, kind, s).numpy() for s in severities]) for kind in CORRUPTIONS])
