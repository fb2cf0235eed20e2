"""Frozen first layers are computed once, and the training is the same."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fittingroom.data import Images
from fittingroom.models import build
from fittingroom.spec.read import parse_recipe
from fittingroom.spec.recipe import OptimizerSpec, Recipe
from fittingroom.store.kept import KeptArrays
from fittingroom.training import fit, predict
from fittingroom.training import trunk as room
from fittingroom.training.arrays import to_arrays
from fittingroom.training.start import Start, head_first
from fittingroom.training.trunk import Predictor

CONVS = [
    {"conv": 6}, {"norm": "batch"}, {"act": "relu"}, {"pool": "max"}, {"dropout": 0.2},
    {"repeat": 2, "layers": [{"conv": 8}, {"norm": "batch"}, {"act": "relu"}]}, {"pool": "max"},
    {"flatten": True}, {"dropout": 0.3},
]  # fmt: skip


def recipe_of(freeze: object, augment: list[dict[str, object]] | None = None, **train: object) -> Recipe:
    return parse_recipe(
        {
            "model": {"kind": "sequential", "layers": CONVS, "init": "given", "freeze": freeze},
            "augment": augment or [],
            "optimizer": {"kind": "adamw", "lr": 1e-2},
            "train": {"epochs": 2, "batch_size": 16, "precision": "fp32", **train},
        }
    )


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[KeptArrays]:
    """Of this test alone."""
    mine = KeptArrays()
    monkeypatch.setattr(room, "KEPT", mine)
    yield mine


def start_of(train: Images) -> Start:
    return Start(
        to_arrays(build(recipe_of(0).model.model_copy(update={"init": ""}), train.shape, len(train.classes), seed=3)),
        (),
    )


def trained(recipe: Recipe, train: Images, val: Images) -> tuple[list[float], dict[str, np.ndarray], np.ndarray]:
    losses, weights, said = [], {}, np.empty(0)
    for snapshot in fit(recipe, train, val, seed=1, start=start_of(train)):
        losses += [snapshot.epoch.train_loss, snapshot.epoch.clean_loss, snapshot.epoch.val_loss or 0.0]
        weights, said = snapshot.weights(), predict(snapshot.model, val)
    return losses, weights, said


MIRRORED = [{"kind": "hflip"}, {"kind": "vflip", "p": 0.3}]


@pytest.mark.parametrize(
    ("freeze", "augment", "train"),
    [("body", [], {}), ("body", MIRRORED, {"ema": 0.9}), (1, MIRRORED, {}), (2, MIRRORED[:1], {"balance": "sampling"})],
)  # fmt: skip
def test_it_is_the_same_training(
    few: tuple[Images, Images], kept: KeptArrays, monkeypatch: pytest.MonkeyPatch, freeze: object, augment: list[dict[str, object]], train: dict[str, object]
) -> None:  # fmt: skip
    recipe = recipe_of(freeze, augment, **train)
    images, val = (part.take(np.arange(90)) for part in few)
    once = trained(recipe, images, val)
    assert kept._parts  # it was done
    monkeypatch.setattr(sys.modules["fittingroom.training.fit"], "trunk_of", lambda *args: None)
    each_time = trained(recipe, images, val)
    assert np.allclose(once[0], each_time[0], rtol=1e-4)
    assert all(np.allclose(once[1][name], each_time[1][name], atol=1e-4) for name in once[1])
    assert np.allclose(once[2], each_time[2], atol=1e-3)


def test_only_what_draws_nothing_and_fits_is_kept(
    few: tuple[Images, Images], kept: KeptArrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, val = (part.take(np.arange(40)) for part in few)
    for recipe in (recipe_of("body", [{"kind": "shift", "pixels": 1}]), recipe_of(0)):
        trained(recipe, images, val)
        assert not kept._parts
    trained(recipe_of("body"), images, val)  # dropout behind the first layer: what comes before it is kept
    [shape] = {part.values.shape[1:] for parts in kept._parts.values() for part in parts.values()}
    assert shape == (6, 14, 14)
    kept._parts.clear()
    monkeypatch.setattr(room, "MOST_BYTES", 1000)
    trained(recipe_of("body"), images, val)
    assert not kept._parts


def test_pictures_are_computed_once_for_all_trainings_and_processes(
    few: tuple[Images, Images], kept: KeptArrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = []
    before = room.Trunk.compute
    monkeypatch.setattr(
        room.Trunk,
        "compute",
        lambda self, pixels, rows, view: computed.append(len(rows)) or before(self, pixels, rows, view),
    )
    kept.folder = folder = tmp_path / "features"
    images, val = (part.take(np.arange(40)) for part in few)
    recipe = recipe_of("body", [{"kind": "hflip"}])
    trained(recipe, images, val)
    once = sum(computed)
    different = len({image.tobytes() for part in (images, val) for image in part.images_NCHW})
    mirrored = len({image.tobytes() for image in images.images_NCHW})
    assert once == different + mirrored
    trained(recipe, images.take(np.arange(10, 40)), val)  # another fold
    assert sum(computed) == once
    other = KeptArrays(folder)
    monkeypatch.setattr(room, "KEPT", other)  # another process
    trained(recipe, images, val)
    assert sum(computed) == once
    for file in folder.glob("*/????????????????.npy"):
        content = bytearray(file.read_bytes())
        content[-5] ^= 1  # of the last picture
        file.write_bytes(content)
    third = KeptArrays(folder)
    monkeypatch.setattr(room, "KEPT", third)
    trained(recipe, images, val)
    damaged = len(list(folder.glob("*/*.keys.npy"))) - 2
    assert once < sum(computed) <= once + damaged and damaged  # what is damaged is not believed


def test_a_trained_network_says_the_same_by_what_is_kept(few: tuple[Images, Images], kept: KeptArrays) -> None:
    images, val = (part.take(np.arange(40)) for part in few)
    recipe = recipe_of("body")
    *_, last = fit(recipe, images, val, seed=1, start=start_of(images))
    assert np.allclose(Predictor(recipe, last.model)(val), predict(last.model, val), atol=1e-5)


def test_fine_tuning_begins_with_the_head(few: tuple[Images, Images], kept: KeptArrays) -> None:
    """The last layer of the frozen training is what the training of all layers goes on from; norms keep their statistics."""
    images, val = (part.take(np.arange(60)) for part in few)
    model = recipe_of(0).model.model_copy(update={"head_epochs": 3, "freeze_norm": True})
    recipe = recipe_of(0).model_copy(update={"model": model, "optimizer": OptimizerSpec(kind="sgd", lr=1e-9)})
    start = start_of(images)
    *_, head = fit(head_first(recipe), images, None, seed=1, start=start)
    *_, last = fit(recipe, images, val, seed=1, start=start)
    begun, ended = head.weights(), last.weights()
    assert all(np.allclose(ended[name], begun[name], atol=1e-6) for name in begun)  # the rate is nearly 0
    of_first, *_, of_last = (name for name in ended if name.endswith("weight"))
    assert not np.allclose(ended[of_last], start.weights[of_last])  # the head learned
    statistics = [name for name in ended if "running" in name]
    assert statistics and all(np.array_equal(ended[name], start.weights[name]) for name in statistics)
    learned = recipe.model_copy(update={"optimizer": OptimizerSpec(kind="adamw", lr=1e-2)})
    *_, moved = fit(learned, images, val, seed=1, start=start)
    assert all(np.array_equal(moved.weights()[name], start.weights[name]) for name in statistics)
    assert not np.allclose(moved.weights()[of_first], start.weights[of_first])


def test_a_resumed_fine_tuning_does_not_begin_again(few: tuple[Images, Images], kept: KeptArrays) -> None:
    images, _ = (part.take(np.arange(60)) for part in few)
    model = recipe_of(0).model.model_copy(update={"head_epochs": 2})
    recipe = recipe_of(0).model_copy(update={"model": model})
    whole = [snapshot.weights() for snapshot in fit(recipe, images, None, seed=1, start=start_of(images))]
    first = next(iter(fit(recipe, images, None, seed=1, start=start_of(images)))).state()
    [second] = [snapshot.weights() for snapshot in fit(recipe, images, None, seed=1, start=first)]
    assert all(np.array_equal(second[name], whole[1][name]) for name in second)
