"""On a GPU: a recorded step gives the bytes of one made kernel by kernel, no step waits for the host, results are the CPU's."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fittingroom.augment import AUGMENTATIONS
from fittingroom.data import Images
from fittingroom.spec.read import shipped_recipes
from fittingroom.spec.recipe import Recipe
from fittingroom.spec.records import TIMINGS
from fittingroom.training import Snapshot, fit, predict
from fittingroom.training.device import prepare_process
from fittingroom.training.fit import restore
from fittingroom.training.graph import WARM_UP

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that speaks CUDA")
loop = importlib.import_module("fittingroom.training.fit")

Quick = Callable[..., Recipe]
STEPS = ("train.epochs=3", "train.batch_size=64")  # 600 images: nine whole batches and one of 24
ALL = '[{kind="hflip"}, {kind="shift"}, {kind="affine", degrees=10.0}, {kind="colour"}, {kind="noise"}, {kind="erase"}, {kind="cutmix"}]'
KINDS = {
    "muon, bf16": ("fast-fashion", *STEPS, "train.precision=bf16"),
    "muon, ema, mixup": ("fast-fashion", *STEPS, "train.ema=0.9", "train.clip_norm=1", 'augment=[{kind="mixup"}]'),
    "everything augmented": ("fast-fashion", *STEPS, f"augment={ALL}"),
    "adam, dropout": ("readme-002-cnn2", *STEPS),
    "adamw, balanced": ("readme-004-mlp", *STEPS, "optimizer.kind=adamw", "train.balance=loss"),
    "sgd, sampled": ("readme-004-cnn", *STEPS, "optimizer.kind=sgd", "train.balance=sampling"),
    "adadelta": ("readme-004-mlp", *STEPS, "optimizer.kind=adadelta"),
    "rmsprop": ("readme-004-mlp", *STEPS, "optimizer.kind=rmsprop"),
}


@pytest.fixture(autouse=True)
def prepared() -> None:
    prepare_process(1)


Facts = tuple[dict[str, object], dict[str, np.ndarray]]


def facts(s: Snapshot) -> Facts:
    return s.epoch.model_dump(exclude=set(TIMINGS)), {k: v.copy() for k, v in s.state().items()}


def train(recipe: Recipe, few: tuple[Images, Images], **more: object) -> list[Facts]:
    """The facts and the state at the end of every epoch."""
    return [facts(s) for s in fit(recipe, *few, seed=3, device="cuda", **more)]  # type: ignore[arg-type]


def assert_same(some: list[Facts], others: list[Facts]) -> None:
    for (a, states), (b, other_states) in zip(some, others, strict=True):
        assert a == b
        assert [k for k in states if not np.array_equal(states[k], other_states[k])] == []


@pytest.mark.parametrize("kind", KINDS)
def test_recorded_or_not_resumed_or_not_the_bytes_are_the_same(
    kind: str, few: tuple[Images, Images], quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = quick(*KINDS[kind])
    recorded = train(recipe, few)
    assert_same(recorded, train(recipe, few))
    assert_same(recorded[1:], train(recipe, few, start=recorded[0][1]))
    monkeypatch.setattr(loop, "recordable", lambda *arguments: False)
    monkeypatch.setattr(loop, "Graphed", None)
    by_kernel = train(recipe, few)  # its rate is a number of Python: other roundings, the same training
    assert np.isclose(by_kernel[-1][0]["train_loss"], recorded[-1][0]["train_loss"], rtol=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_a_replayed_step_is_the_step_made_kernel_by_kernel(
    kind: str, few: tuple[Images, Images], quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = quick(*KINDS[kind])
    recorded = train(recipe, few)
    monkeypatch.setattr("fittingroom.training.graph.WARM_UP", 1_000_000)
    assert_same(recorded, train(recipe, few))


@pytest.mark.parametrize("kind", KINDS)
def test_no_step_waits_for_the_host(kind: str, few: tuple[Images, Images], quick: Quick) -> None:
    recipe = quick(*KINDS[kind], "train.epochs=1")
    seen = []

    def tick(images: int, loss_sum: torch.Tensor) -> None:
        seen.append(images)
        torch.cuda.set_sync_debug_mode("error" if WARM_UP <= len(seen) < 9 else "default")

    try:
        list(fit(recipe, *few, seed=0, device="cuda", tick=tick))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(seen) == 10


@pytest.mark.parametrize("name", AUGMENTATIONS.functions)
def test_augmentations_conform_on_the_gpu(name: str, few: tuple[Images, Images]) -> None:
    images = torch.from_numpy(few[0].images_NCHW[:64].copy()).cuda().float() / 255
    targets = F.one_hot(torch.from_numpy(few[0].labels_N[:64]), 10).float().cuda()
    step = AUGMENTATIONS.bind(name, {"degrees": 10.0} if name == "affine" else {}, "augment.0")
    out, again = (step(images, targets, torch.Generator("cuda").manual_seed(1)) for _ in range(2))
    assert out[0].shape == images.shape and torch.isfinite(out[0]).all() and out[0].min() >= 0 and out[0].max() <= 1
    assert torch.equal(out[0], again[0]) and torch.equal(out[1], again[1])
    assert torch.allclose(out[1].sum(1), torch.ones(64, device="cuda"))


@pytest.mark.parametrize("name", shipped_recipes())
def test_what_a_gpu_trained_says_the_same_on_a_cpu(name: str, few: tuple[Images, Images], quick: Quick) -> None:
    recipe = quick(name, "train.epochs=1", "train.batch_size=100")
    *_, last = fit(recipe, *few, seed=0, device="cuda")
    here = predict(last.model, few[1], "cuda")
    there = predict(restore(recipe, last.weights(), few[0]), few[1])
    np.testing.assert_allclose(here, there, rtol=1e-3, atol=1e-3)
    assert (here.argmax(1) == there.argmax(1)).mean() >= 0.99


def test_a_loss_that_is_not_finite_is_told_at_the_end_of_the_epoch(few: tuple[Images, Images], quick: Quick) -> None:
    from fittingroom.spec.errors import NotFinite

    recipe = quick("readme-004-cnn", *STEPS, "optimizer.kind=sgd", "optimizer.lr=1e9")
    with pytest.raises(NotFinite, match="epoch 1"):
        list(fit(recipe, *few, seed=0, device="cuda"))
