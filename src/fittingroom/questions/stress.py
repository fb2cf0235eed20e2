"""What do models stand? Every run sees the same corrupted test images, and what it said is kept beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import numpy as np
import torch

from fittingroom.augment.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from fittingroom.data import Dataset, Images, reload
from fittingroom.metrics.robustness import robustness
from fittingroom.metrics.story import gather
from fittingroom.questions.compare import page_of
from fittingroom.report.stress_page import Stressed
from fittingroom.spec.recipe import Recipe
from fittingroom.store import RunFolder, Runs
from fittingroom.store.fetch import Tick
from fittingroom.store.seal import Damaged
from fittingroom.study.launch import Launcher, choose_launcher
from fittingroom.study.sharing import sharing
from fittingroom.study.workplace import Workplace
from fittingroom.training import choose_device, predict
from fittingroom.training.fit import restore
from fittingroom.training.predict import to_tensor
from fittingroom.training.rebuild import recipe_of

CHUNK = 1000  # images that are corrupted at once; part of what they suffer, since each chunk draws its own numbers
VERSION = 1  # raised when the corruptions change


EXAMPLES = 500  # training images among which one of each class is looked for


def stress(which: Sequence[str], place: Workplace) -> Stressed:
    """Classify corrupted test images (eleven kinds, five severities) with finished runs, and compare how they stand it.

    `which`: studies, run folders, beginnings of their names. Raises `FittingroomError`.
    """
    chosen, runs = place.runs.select(which)
    for folder in chosen:
        folder.refuse_unfinished()
        if not _is_stressed(folder, place):  # or a damaged one could not be compared
            folder.forget("stress.npz")
    compared = gather(chosen, runs)  # refuses what could not be compared, before the test set is read
    together, threads = sharing(choose_device(place.device), place.launcher, place.at_once)
    with (
        choose_launcher(place.launcher, together) as launcher,
        place.progress.work(f"corrupted images, {len(chosen)} runs") as tick,
    ):
        harm(chosen, replace(place, runs=runs), launcher, threads, tick)
    stories = [replace(story, robust=robustness(story.runs)) for story in compared]
    trains = [reload(story.data.name, story.data.digest, place.home).train for story in stories]
    shown = [examples(train.take(np.arange(min(EXAMPLES, len(train)))))[:, :, :3] for train in trains]
    return Stressed(stories, list(CORRUPTIONS), shown, page_of(place.runs, "stress"))


@dataclass(frozen=True)
class _Shared:
    """What every part of the work needs: test images, and the runs' recipes and weights."""

    images: Images
    runs: Sequence[tuple[Recipe, dict[str, np.ndarray]]]
    device: str


def harm(
    folders: Sequence[RunFolder],
    place: Workplace,
    launcher: Launcher,
    threads: int = 1,
    tick: Tick = lambda share: None,
) -> None:
    """Classify every test image under every corruption with each run, and write `stress.npz` into its folder.

    Runs that have it already are left alone. Raises `FittingroomError` for a run that is not finished.
    """
    for folder in folders:
        folder.refuse_unfinished()
        folder.refuse_held_out("stress")
    waiting = [f for f in folders if not _is_stressed(f, place)]
    by_data: dict[tuple[str, str], list[RunFolder]] = {}
    for folder in waiting:
        by_data.setdefault((folder.data.name, folder.data.digest), []).append(folder)
    parts = list(product(CORRUPTIONS, SEVERITIES))
    for number, ((name, digest), mine) in enumerate(by_data.items()):
        data = reload(name, digest, place.home)
        images = data.test.unlock(partial(_announce, place.runs, [f.name for f in mine], data))
        shared = _Shared(images, [(recipe_of(f), f.weights) for f in mine], choose_device(place.device))
        said_PRN = launcher.each(_said, shared, parts, threads, partial(_part, tick, number, len(by_data)))
        said_RCSN: np.ndarray = np.stack(said_PRN, 1).reshape(len(mine), len(CORRUPTIONS), len(SEVERITIES), len(images))
        kinds = np.array(list(CORRUPTIONS))
        for folder, said_CSN in zip(mine, said_RCSN, strict=True):
            found = {"version": np.array(VERSION), "kinds": kinds, "said": said_CSN, "labels": images.labels_N}
            folder.write_npz("stress", found)


def _is_stressed(folder: RunFolder, place: Workplace) -> bool:
    """Whether it was asked before, and what it said is whole."""
    try:
        found = folder.stressed()
    except Damaged as error:
        place.progress.note(f"{error}, which happens now")
        return False
    return found is not None and int(found["version"]) == VERSION


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
