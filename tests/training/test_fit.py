"""The loop: its facts are true, its randomness is an argument, a resumed training is bit-identical, NaN stops it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fittingroom.data import Images
from fittingroom.data.pixels import BATCH, Rows
from fittingroom.metrics.metric import ACCURACY, LOG_LOSS
from fittingroom.spec.errors import NotFinite
from fittingroom.spec.read import read_recipe
from fittingroom.spec.recipe import Recipe, ScoreSpec
from fittingroom.spec.records import TIMINGS
from fittingroom.training import fit, predict
from fittingroom.training.fit import clean_sample, network, restore, scored_weights, to_arrays

Quick = Callable[..., Recipe]
HARD = (  # everything that has state or randomness
    "fast-fashion",
    "train.epochs=4",
    "train.batch_size=64",
    "train.ema=0.9",
    "train.clip_norm=1.0",
    "optimizer.lr=0.05",
    'augment=[{kind="hflip"}, {kind="erase"}, {kind="mixup"}]',
)
KINDS = {
    "sgd, ema, mixup": HARD,
    "bf16": (*HARD, "train.precision=bf16"),
    "muon": (*HARD, "optimizer.kind=muon", "optimizer.lr=0.01"),
    "adam, dropout": ("readme-002-cnn2", "train.epochs=4"),
}


def without_timings(snapshot) -> dict[str, object]:  # type: ignore[no-untyped-def]
    return snapshot.epoch.model_dump(exclude=set(TIMINGS))


@pytest.mark.parametrize("kind", KINDS)
def test_resumed_is_bit_identical_to_never_interrupted(kind: str, few: tuple[Images, Images], quick: Quick) -> None:
    recipe, few = quick(*KINDS[kind]), (few[0].take(np.arange(200)), few[1])
    whole = []
    for snapshot in fit(recipe, *few, seed=3):
        whole.append((without_timings(snapshot), snapshot.state()))
    for stop in (1, 3):
        halves = [*fit(recipe, *few, seed=3, start=whole[stop - 1][1])]
        assert [without_timings(s) for s in halves] == [facts for facts, _ in whole[stop:]]
        last, expected = halves[-1].state(), whole[-1][1]
        assert last.keys() == expected.keys()
        assert all(np.array_equal(last[key], expected[key]) for key in expected)


def test_the_seed_decides_everything_and_the_surroundings_nothing(few: tuple[Images, Images], quick: Quick) -> None:
    recipe = quick(*KINDS["adam, dropout"], "train.epochs=1")
    found = []
    for seed, noise in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(noise)
        np.random.seed(noise)
        found.append(next(fit(recipe, *few, seed=seed)).weights())
    same = [all(np.array_equal(found[0][k], other[k]) for k in other) for other in found[1:]]
    assert same == [True, False]


def test_the_facts_of_an_epoch_are_what_a_second_look_finds(few: tuple[Images, Images], quick: Quick) -> None:
    recipe = quick("readme-004-cnn")
    for snapshot in fit(recipe, *few, seed=0):
        e, model = snapshot.epoch, restore(recipe, snapshot.weights(), few[0])
        val, clean = predict(model, few[1]), predict(model, clean_sample(few[0]))
        assert e.val_accuracy == ACCURACY.score(val, few[1].labels_N) and e.val_loss == pytest.approx(
            LOG_LOSS.score(val, few[1].labels_N)
        )
        assert e.clean_accuracy == ACCURACY.score(clean, clean_sample(few[0]).labels_N) and e.clean_n == 600


def test_the_running_loss_is_the_mean_over_images(few: tuple[Images, Images], quick: Quick) -> None:
    """With a learning rate too small to matter, the running figures are those of the untrained network."""
    recipe = quick(
        "readme-004-mlp", "optimizer.lr=1e-12", "model.layers.3.dropout=0.0", "train.batch_size=64", "train.epochs=1"
    )
    e = next(fit(recipe, *few, seed=0)).epoch
    logits = predict(network(recipe, few[0], 0), few[0])
    assert e.train_loss == pytest.approx(LOG_LOSS.score(logits, few[0].labels_N), rel=1e-4)
    assert e.train_accuracy == pytest.approx(ACCURACY.score(logits, few[0].labels_N), abs=2e-3)


def test_normalisation_is_that_of_the_training_images(few: tuple[Images, Images], quick: Quick) -> None:
    arrays = to_arrays(network(quick(), few[0], 0))
    values = few[0].images_NCHW / 255.0
    assert arrays["mean"].item() == pytest.approx(values.mean(), rel=1e-5)
    assert 1 / arrays["scale"].item() == pytest.approx(values.std(), rel=1e-5)


def test_averaged_weights_are_the_ones_scored(few: tuple[Images, Images], quick: Quick) -> None:
    recipe = quick(*HARD)
    *_, snapshot = fit(recipe, *few, seed=0)
    state = snapshot.state()
    scored = scored_weights(state)
    assert all(np.array_equal(scored[k], snapshot.weights()[k]) for k in scored)
    assert any(not np.array_equal(scored[k], state[f"model/{k}"]) for k in scored)


def test_weight_averaging_against_a_slow_loop(few: tuple[Images, Images], quick: Quick) -> None:
    """One step an epoch, so that every step's weights are seen; the average worked out beside it in float64."""
    recipe = quick(
        "readme-004-mlp", "train.ema=0.8", "train.batch_size=600", "train.epochs=6", "model.layers.3.dropout=0.0"
    )
    slow = {k: v.astype(np.float64) for k, v in to_arrays(network(recipe, few[0], 0)).items()}
    for step, snapshot in enumerate(fit(recipe, *few, seed=0)):
        decay = min(0.8, (1 + step) / (10 + step))
        now = snapshot.state()
        slow = {k: decay * v + (1 - decay) * now[f"model/{k}"] for k, v in slow.items()}
        assert all(np.allclose(slow[k], snapshot.weights()[k], atol=1e-5) for k in slow)


@pytest.mark.parametrize("overrides", [("optimizer.lr=1e30",), ("optimizer.kind=sgd", "optimizer.lr=1e25")])
def test_nan_stops_before_it_touches_the_weights(
    overrides: tuple[str, ...], few: tuple[Images, Images], quick: Quick
) -> None:
    recipe = quick("readme-004-mlp", *overrides, "train.epochs=3")
    with pytest.raises(NotFinite, match=r"epoch \d, step \d.*try: optimizer.lr="):
        for _ in fit(recipe, *few, seed=0):
            pass


def test_a_lone_last_image_does_not_break_batch_norm(few: tuple[Images, Images], quick: Quick) -> None:
    train = few[0].take(np.arange(65))
    recipe = quick("readme-001-enhanced", "train.batch_size=64", "train.epochs=1")
    assert next(fit(recipe, train, None, seed=0)).epoch.val_loss is None


def test_test_time_averaging_against_a_loop_over_views(few: tuple[Images, Images], quick: Quick) -> None:
    model = network(quick("readme-004-cnn"), few[0], 0)
    images = few[1].images_NCHW[:20]
    views = [images, np.flip(images, 3).copy()]
    shifted = []
    for view in views:
        padded = np.pad(view, ((0, 0), (0, 0), (1, 1), (1, 1)))
        shifted += [
            view,
            padded[:, :, :28, 1:29],
            padded[:, :, 2:, 1:29],
            padded[:, :, 1:29, :28],
            padded[:, :, 1:29, 2:],
        ]
    for average, expected in (("flip", views), ("flip_shift", shifted), ("shift", shifted[:5]), ("none", views[:1])):
        slow = np.mean([predict(model, np.ascontiguousarray(v)) for v in expected], axis=0)
        assert np.allclose(predict(model, images, score=ScoreSpec(average=average)), slow, atol=1e-5)  # type: ignore[arg-type]


def test_the_loop_ticks_within_an_epoch(few: tuple[Images, Images], quick: Quick) -> None:
    seen: list[int] = []
    next(fit(quick(), *few, seed=0, tick=lambda images, loss_sum: seen.append(images)))
    assert seen == [*range(64, 600, 64), 600]


def test_mapped_images_are_read_in_small_parts(few: tuple[Images, Images], tmp_path: Path) -> None:
    """However large the file: nobody asks for all of its rows at once."""
    asked: list[int] = []

    class Watched(Rows):
        def __getitem__(self, key: Any) -> np.ndarray:
            found = super().__getitem__(key)
            asked.append(len(found))
            return found

        def take(self, rows: Any) -> Rows:
            return Watched(self.file, self.rows_N[rows])

    np.save(tmp_path / "images.npy", np.concatenate([part.images_NCHW for part in few]))
    file = np.load(tmp_path / "images.npy", mmap_mode="c")
    mapped = [
        Images(Watched(file, rows), part.labels_N, part.classes)
        for rows, part in zip((np.arange(600), np.arange(600, 800)), few, strict=True)
    ]
    recipe = read_recipe("readme-004-mlp", ["train.epochs=1", "train.precision=fp32", "train.batch_size=32"])
    (last,) = fit(recipe, *mapped, seed=0)
    seen = sorted(asked, reverse=True)
    assert seen[0] == 600  # their mean and deviation, in chunks of bytes
    assert all(n <= BATCH for n in seen[1:]) and sum(asked) == 600 + 600 + 600 + 200  # epoch, clean sample, validation
    (plain,) = fit(recipe, *few, seed=0)
    assert {k: v.tobytes() for k, v in last.weights().items()} == {k: v.tobytes() for k, v in plain.weights().items()}
