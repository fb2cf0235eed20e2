"""Starting from trained weights, layers that stay or learn slowly, classes that count the same: against plain torch."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor, nn

from fittingroom.data import Images
from fittingroom.models import MODELS, build
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.read import parse_recipe
from fittingroom.spec.recipe import ModelSpec, Recipe
from fittingroom.spec.records import TIMINGS
from fittingroom.training import fit
from fittingroom.training.fit import class_weights, network, shuffled, to_arrays
from fittingroom.training.start import Start, depths, frozen, layers_of, start_from

loop = importlib.import_module("fittingroom.training.fit")  # the package has a function of that name
Quick = Callable[..., Recipe]
Arrays = dict[str, np.ndarray]
STACK = (  # three layers and the last; the names of each, by hand
    'layers=[{conv=4}, {norm="batch"}, {act="relu"}, {pool="max"}, {conv=6}, {norm="batch"}, {act="relu"}, '
    '{pool="max"}, {flatten=true}, {dense=12}, {norm="batch"}, {act="relu"}]'
)
NAMES = (("body.0.", "body.1."), ("body.4.", "body.5."), ("body.9.", "body.10."), ("body.12.",))
IDLE = ("body.0.bias", "body.4.bias", "body.9.bias")  # a norm takes them away again: their gradient is rounding
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@pytest.fixture
def images(few: tuple[Images, Images]) -> Images:
    """200 real images."""
    return few[0].take(np.arange(200))


@pytest.fixture
def stack(quick: Quick) -> Quick:
    """A recipe of two convolutions and a dense layer, each with BatchNorm, that starts from trained weights."""
    return lambda *overrides: quick(
        "readme-004-cnn", f"model.{STACK}", "model.init=somewhere", "optimizer.lr=0.01", *overrides
    )


def trained(recipe: Recipe, images: Images, seed: int = 7) -> Start:
    """One epoch, so that the norms have statistics."""
    return Start(
        next(fit(recipe.model_copy(update={"model": plain(recipe)}), images, None, seed=seed)).weights(), images.classes
    )


def plain(recipe: Recipe) -> ModelSpec:
    return recipe.model.model_copy(update={"init": "", "freeze": 0})


def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, **model: object) -> Recipe:
    """A recipe with a network of the user's own, the class `Net(k)` of `body`."""
    (tmp_path / "mine.py").write_text(
        f"import torch\nfrom torch import nn\n{body}\ndef build(channels, size, classes): return Net(classes)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return parse_recipe(
        {"model": {"kind": "python", "target": "mine:build", **model}, "train": {"epochs": 1, "precision": "fp32"}}
    )


def renamed(images: Images, k: int = 10) -> Images:
    """The same pictures with labels below `k`, under other names."""
    return Images(images.images_NCHW, images.labels_N % k, tuple(f"other {i}" for i in range(k)))


def of(arrays: Arrays, prefixes: Iterable[str]) -> Arrays:
    return {name: array for name, array in arrays.items() if name.startswith(tuple(prefixes))}


def same(a: Arrays, b: Arrays) -> bool:
    return a.keys() == b.keys() and all(a[name].tobytes() == b[name].tobytes() for name in a)


# ---------------------------------------------------------------- layers


@pytest.mark.parametrize("name", MODELS.functions)
def test_every_parameter_is_in_one_layer_and_the_last_is_the_head(name: str) -> None:
    model = build(ModelSpec(kind=name), (1, 28, 28), 7)
    layers = layers_of(model)
    found = [id(p) for layer in layers for module in layer for p in module.parameters(recurse=False)]
    assert sorted(found) == sorted(id(p) for p in model.parameters())
    assert len(layers) == sum(p.ndim >= 2 for p in model.parameters())
    (head,) = layers[-1]
    assert isinstance(head, nn.Linear) and head.out_features == 7
    numbers = depths(model)
    assert len(numbers) == len(found) and set(numbers.values()) == set(range(len(layers)))
    assert (
        all(numbers[p] == 0 for p in head.parameters()) and numbers[next(iter(model.parameters()))] == len(layers) - 1
    )


def test_a_norm_goes_with_the_layer_in_front_of_it(stack: Quick, images: Images) -> None:
    model = network(stack(), images, 0)
    names = {id(p): name for name, p in model.named_parameters()}
    found = [[names[id(p)] for m in layer for p in m.parameters(recurse=False)] for layer in layers_of(model)]
    assert found == [[n for n, _ in model.named_parameters() if n.startswith(prefixes)] for prefixes in NAMES]


# ---------------------------------------------------------------- what is taken over


def test_the_same_classes_keep_the_head(stack: Quick, images: Images) -> None:
    start, model = trained(stack(), images), network(stack(), images, 0)
    start_from(model, start.weights, keep_head=True)
    assert same(to_arrays(model), dict(start.weights))


def test_other_classes_get_a_new_head_and_all_else(stack: Quick, images: Images) -> None:
    start, other = trained(stack(), images), renamed(images, 3)
    model = network(stack(), other, 0)
    start_from(model, start.weights, keep_head=False)
    body = [p for layer in NAMES[:-1] for p in layer] + ["mean", "scale"]
    assert same(of(to_arrays(model), body), of(dict(start.weights), body))
    assert same(of(to_arrays(model), NAMES[-1]), of(to_arrays(network(stack(), other, 0)), NAMES[-1]))


@pytest.mark.parametrize("who", ["the same", "other names", "another order", "fewer"])
def test_a_training_begins_with_them(who: str, stack: Quick, images: Images) -> None:
    """A learning rate too small to move anything shows what a training began with."""
    recipe, start = stack("optimizer.kind=sgd", "optimizer.lr=1e-30", "train.epochs=1"), trained(stack(), images)
    pictures = {
        "the same": images,
        "other names": renamed(images),
        "another order": Images(images.images_NCHW, images.labels_N, images.classes[::-1]),
        "fewer": renamed(images, 3),
    }[who]
    after = next(fit(recipe, pictures, None, seed=0, start=start)).weights()
    body = [p for layer in NAMES[:-1] for p in layer]
    parameters = {n: a for n, a in after.items() if not n.endswith(STATISTICS)}
    assert same(of(parameters, body), {n: a for n, a in of(dict(start.weights), body).items() if n in parameters})
    expected = dict(start.weights) if who == "the same" else to_arrays(network(recipe, pictures, 0))
    assert same(of(after, NAMES[-1]), of(expected, NAMES[-1]))
    assert same(of(after, ["mean", "scale"]), of(dict(start.weights), ["mean", "scale"]))


def test_the_normalisation_comes_along_not_that_of_the_new_pictures(stack: Quick, images: Images) -> None:
    darker = Images(images.images_NCHW // 3, images.labels_N, images.classes)
    start = trained(stack(), images)
    after = next(fit(stack("train.epochs=1"), darker, None, seed=0, start=start)).weights()
    assert same(of(after, ["mean", "scale"]), of(dict(start.weights), ["mean", "scale"]))
    assert not np.allclose(after["mean"], to_arrays(network(stack(), darker, 0))["mean"], rtol=0.1)


# ---------------------------------------------------------------- what does not fit


def in_colour(images: Images) -> Images:
    return Images(np.repeat(images.images_NCHW, 3, axis=1), images.labels_N, images.classes)


def smaller(images: Images) -> Images:
    return Images(images.images_NCHW[:, :, ::2, ::2].copy(), images.labels_N, images.classes)


def refused(recipe: Recipe, weights: Arrays, images: Images, words: str) -> str:
    with pytest.raises(FittingroomError, match=words) as told:
        start_from(network(recipe, images, 0), weights, keep_head=True)
    return str(told.value)


def test_pictures_in_colour_are_told(stack: Quick, images: Images) -> None:
    colour, grey = (to_arrays(network(stack(), pictures, 0)) for pictures in (in_colour(images), images))
    assert refused(stack(), colour, images, "number of channels").endswith("data.channels=3")
    assert refused(stack(), grey, in_colour(images), "number of channels").endswith("data.channels=1")


def test_pictures_of_another_size_are_told(stack: Quick, images: Images) -> None:
    weights = to_arrays(network(stack(), smaller(images), 0))
    text = refused(stack(), weights, images, "data.image_size")
    assert "9.weight is 12×54 there and 12×294 here" in text


@pytest.mark.parametrize(
    ("there", "words"),
    [
        ('layers=[{conv=5}, {norm="batch"}, {flatten=true}, {dense=12}]', "network: body.5.weight is not there"),
        (STACK.replace("conv=4", "conv=5"), "0.weight is 5×1×3×3 there and 4×1×3×3 here; they are of another network"),
        (STACK.replace("dense=12", "dense=13"), "9.weight is 13×294 there and 12×294 here; they are of another"),
        (STACK[:-1] + ", {dense=5}]", "of another network"),
    ],
)  # fmt: skip
def test_another_network_is_told(there: str, words: str, stack: Quick, quick: Quick, images: Images) -> None:
    weights = to_arrays(network(quick("readme-004-cnn", f"model.{there}"), images, 0))
    text = refused(stack(), weights, images, "model.init: .*" + words.replace(".*", "(.|\n)*"))
    assert "data.channels" not in text and "\n" not in text


def test_a_convolution_in_groups_is_another_network_not_other_pictures(
    stack: Quick, quick: Quick, images: Images
) -> None:
    weights = to_arrays(
        network(quick("readme-004-cnn", f"model.{STACK}".replace("conv=6", "conv=6, groups=2")), images, 0)
    )
    text = refused(stack(), weights, images, "4.weight is 6×2×3×3 there and 6×4×3×3 here")
    assert "data.channels" not in text, "which takes 1 or 3"


def test_nothing_is_changed_by_weights_that_do_not_fit(stack: Quick, images: Images) -> None:
    weights = trained(stack(), images).weights
    model = network(stack(), images, 0)
    before = to_arrays(model)
    broken = {**weights, "body.12.weight": np.zeros((9, 12), np.float32)}
    with pytest.raises(FittingroomError, match=re.escape("12.weight is 9×12 there and 10×12 here")):
        start_from(model, broken, keep_head=True)
    with pytest.raises(FittingroomError, match="body.12.bias is not there"):
        start_from(model, {n: a for n, a in weights.items() if n != "body.12.bias"}, keep_head=True)
    with pytest.raises(FittingroomError, match="another is not in this one"):
        start_from(model, {**weights, "another": np.zeros(1)}, keep_head=False)
    assert same(to_arrays(model), before)


@pytest.mark.parametrize("n", [4, 5, 1000])
def test_freezing_everything_is_refused(n: int, stack: Quick, images: Images) -> None:
    recipe = stack(f"model.freeze={n}")
    with pytest.raises(FittingroomError, match=f"model.freeze: {n} of 4 layers .* at most 3"):
        frozen(network(recipe, images, 0), recipe.model)
    with pytest.raises(FittingroomError, match="at most 3"):
        next(fit(recipe, images, None, seed=0, start=trained(stack(), images)))


@pytest.mark.parametrize("freeze", ["-1", "head", "1.5", "true"])
def test_what_freeze_takes(freeze: str, stack: Quick) -> None:
    with pytest.raises(FittingroomError, match=r"model\.freeze"):
        stack(f"model.freeze={freeze}")


def test_freezing_needs_trained_layers(quick: Quick) -> None:
    with pytest.raises(FittingroomError, match="needs init"):
        quick("readme-004-cnn", "model.freeze=1")


# ---------------------------------------------------------------- what stays


OPTIMIZERS = {
    "sgd": ("kind=sgd", "momentum=0.9", "weight_decay=0.1"),
    "adamw": ("kind=adamw", "weight_decay=0.1"),
    "muon": ("kind=muon", "momentum=0.9", "weight_decay=0.1", "rest=sgd"),
}


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("freeze", [1, 2, "body"])
def test_frozen_layers_are_the_same_bytes_after_training(
    freeze: int | str, kind: str, stack: Quick, images: Images
) -> None:
    changes = [f"optimizer.{word}" for word in OPTIMIZERS[kind]]
    recipe = stack(*changes, f"model.freeze={freeze}", "train.ema=0.5", "train.clip_norm=1.0")
    start = trained(stack(), images)
    *_, last = fit(recipe, images, None, seed=0, start=start)
    n = 3 if freeze == "body" else int(freeze)
    still = [prefix for layer in NAMES[:n] for prefix in layer]
    for arrays in (last.weights(), last.state()):
        found = {name.removeprefix("model/"): array for name, array in arrays.items()}
        assert same(of(found, still), of(dict(start.weights), still))
        moving = of(found, [prefix for layer in NAMES[n:] for prefix in layer]).items()
        kept = [name for name, array in moving if array.tobytes() == start.weights[name].tobytes()]
        assert moving and set(kept) <= set(IDLE)


@pytest.mark.parametrize(("name", "head"), [("fastnet", "body.7."), ("wide_resnet", "body.8.")])
def test_a_frozen_body_of_a_residual_net_stays(name: str, head: str, quick: Quick, images: Images) -> None:
    small = {"fastnet": "{width=4, stages=2}", "wide_resnet": "{depth=10, widen=1}"}[name]
    recipe = quick(
        "fast-fashion", f"model.kind={name}", f"model.args={small}", "train.epochs=1", "model.init=somewhere"
    )
    start, other = trained(recipe, images), renamed(images, 4)
    frozen_recipe = recipe.model_copy(update={"model": recipe.model.model_copy(update={"freeze": "body"})})
    after = next(fit(frozen_recipe, other, None, seed=0, start=start)).weights()
    moved = {
        n for n in after if after[n].shape != start.weights[n].shape or not np.array_equal(after[n], start.weights[n])
    }
    assert moved == {n for n in after if n.startswith(head)}


def test_a_norm_without_parameters_stays_with_the_layer_in_front_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: Images
) -> None:
    body = """class Net(nn.Sequential):
    def __init__(self, k):
        norm = nn.BatchNorm1d(8, affine=False)
        super().__init__(nn.Flatten(), nn.Linear(784, 8), norm, nn.ReLU(), nn.Linear(8, k))"""
    recipe = python(tmp_path, monkeypatch, body, init="somewhere", freeze="body")
    start = trained(recipe, images)
    after = next(fit(recipe, renamed(images), None, seed=0, start=start)).weights()
    still = ("body.1.", "body.2.")
    assert same(of(after, still), of(dict(start.weights), still))


def test_what_is_behind_a_frozen_parameter_of_the_network_itself_is_in_training_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: Images
) -> None:
    """Such as a vision transformer's class token: its owner is the whole network."""
    body = """SEEN = []
class Noted(nn.Dropout):
    def forward(self, x):
        SEEN.append(self.training)
        return super().forward(x)
class Net(nn.Module):
    def __init__(self, k):
        super().__init__()
        self.token, self.drop = nn.Parameter(torch.zeros(1)), Noted(0.5)
        self.dense, self.head = nn.Linear(784, 8), nn.Linear(8, k)
    def forward(self, x): return self.head(self.drop(self.dense(x.flatten(1) + self.token)))"""
    recipe = python(tmp_path, monkeypatch, body, init="somewhere", freeze=1)
    start = trained(recipe, images)
    seen = type(network(recipe, images, 0).body.drop).forward.__globals__["SEEN"]  # type: ignore[union-attr]
    del seen[:]
    after = next(fit(recipe, images, None, seed=0, start=start)).weights()
    assert any(seen), "no image was trained with dropout"
    assert same(of(after, ["body.token"]), of(dict(start.weights), ["body.token"]))


# ---------------------------------------------------------------- layer_decay, against torch


def oracle(
    recipe: Recipe, images: Images, start: Start | None, epochs: int, make: Callable[..., Callable[[], None]]
) -> Arrays:
    """Full-batch training in plain torch. `make`, given each layer's parameters by name, gives what steps."""
    model = network(recipe, images, 0)
    if start:
        model.load_state_dict({name: torch.from_numpy(array) for name, array in start.weights.items()})
    layers = [{n: p for n, p in model.named_parameters() if n.startswith(prefixes)} for prefixes in NAMES]
    step = make(layers)
    x = torch.from_numpy(images.images_NCHW) / 255
    for _ in range(epochs):
        model.train()
        model.zero_grad()
        F.cross_entropy(model(x), torch.from_numpy(images.labels_N)).backward()
        step()
    return {name: p.detach().numpy() for name, p in model.named_parameters()}


def groups(layers: list[dict[str, nn.Parameter]], lr: float, decay: float, wd: float) -> list[dict[str, object]]:
    """A group for every parameter, with the rate of its layer; weight decay on matrices and kernels."""
    rates = [lr * decay**3, lr * decay**2, lr * decay, lr]
    return [
        {"params": [p], "lr": rate, "weight_decay": wd if p.ndim > 1 else 0.0}
        for layer, rate in zip(layers, rates, strict=True)
        for p in layer.values()
    ]


def by_sgd(layers: list[dict[str, nn.Parameter]]) -> Callable[[], None]:
    optimizer = torch.optim.SGD(groups(layers, 0.1, 0.5, 0.01), momentum=0.9, nesterov=True)
    return lambda: optimizer.step() and None


def by_adamw(layers: list[dict[str, nn.Parameter]]) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(groups(layers, 0.003, 0.3, 0.2), betas=(0.8, 0.99))
    return lambda: optimizer.step() and None


def by_muon(layers: list[dict[str, nn.Parameter]]) -> Callable[[], None]:
    """Muon for the kernels and matrices but the last one, SGD for the rest."""
    kernels = [(p, 0.1 * 0.5 ** (3 - i)) for i, layer in enumerate(layers[:-1]) for p in layer.values() if p.ndim > 1]
    flat = [nn.Parameter(p.detach().reshape(len(p), -1).clone()) for p, _ in kernels]
    muon = torch.optim.Muon(
        [{"params": [m], "lr": lr} for m, (_, lr) in zip(flat, kernels, strict=True)],
        momentum=0.9, nesterov=True, weight_decay=0.1, adjust_lr_fn="match_rms_adamw",
    )  # fmt: skip
    own = {id(p) for p, _ in kernels}
    rest = torch.optim.SGD(
        [g for g in groups(layers, 0.05, 0.5, 0.0) if id(g["params"][0]) not in own],  # type: ignore[index]
        momentum=0.9, nesterov=True,
    )  # fmt: skip

    def step() -> None:
        for matrix, (p, _) in zip(flat, kernels, strict=True):
            assert p.grad is not None
            matrix.grad = p.grad.reshape(len(p), -1)
        muon.step()
        rest.step()
        with torch.no_grad():
            for matrix, (p, _) in zip(flat, kernels, strict=True):
                p.copy_(matrix.reshape(p.shape))

    return step


DECAYED: dict[str, tuple[tuple[str, ...], Callable[..., Callable[[], None]], int, float]] = {  # how long, how near
    "sgd": (
        ("kind=sgd", "lr=0.1", "layer_decay=0.5", "weight_decay=0.01", "momentum=0.9", "nesterov=true"),
        by_sgd, 3, 0.02,  # small sums in another order: 0.0024 on one machine
    ),
    "adamw": (
        ("kind=adamw", "lr=0.003", "layer_decay=0.3", "weight_decay=0.2", "beta1=0.8", "beta2=0.99"),
        by_adamw, 3, 0.05,
    ),
    "muon": (
        ("kind=muon", "lr=0.1", "layer_decay=0.5", "weight_decay=0.1", "momentum=0.9", "nesterov=true", "rest=sgd",
         "rest_lr=0.05"),
        by_muon, 2, 0.2,  # it iterates in bfloat16
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", DECAYED)
def test_layer_decay_is_torch_with_a_rate_for_each_layer(kind: str, stack: Quick, images: Images) -> None:
    words, make, epochs, near = DECAYED[kind]
    changes = [f"optimizer.{word}" for word in words]
    recipe = stack("train.batch_size=200", f"train.epochs={epochs}", *changes)
    start = trained(stack(), images)
    *_, last = fit(recipe, images, None, seed=0, start=start)
    ours, theirs = last.weights(), oracle(recipe, images, start, epochs, make)
    for name, expected in theirs.items():
        if name in IDLE:
            continue
        moved = np.linalg.norm(expected - start.weights[name])
        assert np.linalg.norm(ours[name] - expected) < near * moved, name  # another rate would be a half away, or more


def test_a_layer_decay_of_one_is_none(stack: Quick, images: Images) -> None:
    found = [
        next(fit(stack("model.init=", *words), images, None, seed=0)).weights()
        for words in ((), ("optimizer.layer_decay=1.0",))
    ]
    assert same(*found)


def test_a_new_head_on_a_frozen_body_is_moved_by_the_rest_of_muon(stack: Quick, images: Images) -> None:
    """The last layer's matrix is never Muon's, not even where it is the only one that learns."""
    words = ("kind=muon", "lr=0.1", "momentum=0.9", "nesterov=true", "rest=sgd", "rest_lr=0.05")
    recipe = stack("train.batch_size=200", "train.epochs=2", "model.freeze=body", *(f"optimizer.{w}" for w in words))
    start = trained(stack(), images)
    *_, last = fit(recipe, images, None, seed=0, start=start)
    model = network(recipe, images, 0)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in start.weights.items()})
    (head,) = layers_of(model)[-1]
    optimizer = torch.optim.SGD(head.parameters(), 0.05, momentum=0.9, nesterov=True)
    model.eval()
    for _ in range(2):
        optimizer.zero_grad()
        F.cross_entropy(model(torch.from_numpy(images.images_NCHW) / 255), torch.from_numpy(images.labels_N)).backward()
        optimizer.step()
    for name in ("weight", "bias"):
        expected = getattr(head, name).detach().numpy()
        moved = np.linalg.norm(expected - start.weights[f"body.12.{name}"])
        assert np.linalg.norm(last.weights()[f"body.12.{name}"] - expected) < 1e-3 * moved


# ---------------------------------------------------------------- classes that count the same


def uneven(images: Images, counts: dict[int, int]) -> Images:
    rows = [np.flatnonzero(images.labels_N == label)[:n] for label, n in counts.items()]
    assert [len(r) for r in rows] == list(counts.values())
    return images.take(np.random.default_rng(0).permutation(np.concatenate(rows)))


@settings(max_examples=60)
@given(st.lists(st.integers(0, 400), min_size=1, max_size=12).filter(any), st.floats(0.01, 1.0))
def test_class_weights_are_those_of_scikit_learn(counts: list[int], power: float) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    there = np.unique(labels)
    theirs = compute_class_weight("balanced", classes=there, y=labels)
    assert np.allclose(class_weights(torch.from_numpy(labels), len(counts), 1.0)[there], theirs, rtol=1e-4)
    ours = class_weights(torch.from_numpy(labels), len(counts), power).double()
    assert torch.isfinite(ours).all() and ours[labels].mean() == pytest.approx(1.0, rel=1e-4)
    for a in there:  # what one image counts against one of another class
        for b in there:
            assert ours[a] / ours[b] == pytest.approx((counts[b] / counts[a]) ** power, rel=1e-4)


@pytest.mark.parametrize("power", [1.0, 0.5])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_balanced_loss_against_a_loop_over_images(
    power: float, smoothing: float, quick: Quick, few: tuple[Images, Images]
) -> None:
    """The loss that one epoch of one step tells, and the step that it takes, which is its gradient."""
    pictures = uneven(few[0], {0: 40, 3: 12, 7: 4})
    recipe = quick(
        "readme-004-mlp", "model.layers=[{flatten=true}, {dense=8}, {act='tanh'}]", "train.balance=loss",
        f"train.balance_power={power}", f"train.label_smoothing={smoothing}", "train.batch_size=56", "train.epochs=1",
        "optimizer.kind=sgd", "optimizer.lr=0.5",
    )  # fmt: skip
    (snapshot,) = fit(recipe, pictures, None, seed=0)
    model = network(recipe, pictures, 0)
    raw = {0: 40.0**-power, 3: 12.0**-power, 7: 4.0**-power}
    mean = (40 * raw[0] + 12 * raw[3] + 4 * raw[7]) / 56
    total = 0.0
    for image, label in zip(pictures.images_NCHW, pictures.labels_N.tolist(), strict=True):
        said = torch.log_softmax(model(torch.from_numpy(image[None]) / 255)[0], 0)
        loss = -(1 - smoothing) * said[label] - smoothing * said.mean()
        (loss * raw[label] / mean / 56).backward()
        total += loss.item() * raw[label] / mean / 56
    assert snapshot.epoch.train_loss == pytest.approx(total, rel=1e-5)
    for name, p in model.named_parameters():
        assert p.grad is not None
        assert np.allclose(snapshot.weights()[name], (p - 0.5 * p.grad).detach().numpy(), atol=1e-6)


def test_balanced_data_need_no_balance(quick: Quick, few: tuple[Images, Images]) -> None:
    pictures = uneven(few[0], dict.fromkeys(range(10), 20))
    found = [
        next(fit(quick("readme-004-mlp", f"train.balance={balance}"), pictures, None, seed=0))
        for balance in ("none", "loss")
    ]
    assert found[0].epoch.train_loss == pytest.approx(found[1].epoch.train_loss, rel=1e-5)


@pytest.mark.parametrize("power", [1.0, 0.5])
def test_sampling_draws_each_class_as_often_as_it_should(power: float) -> None:
    counts = np.array([400, 150, 40, 10])
    labels = torch.from_numpy(np.repeat(np.arange(4), counts))
    weight_N = class_weights(labels, 4, power)[labels]
    drawn = np.concatenate([shuffled(600, 3, epoch, torch.Generator(), weight_N).numpy() for epoch in range(1, 51)])
    share = counts ** (1 - power) / (counts ** (1 - power)).sum()
    found = np.bincount(labels.numpy()[drawn], minlength=4)
    assert (abs(found - len(drawn) * share) < 4.5 * np.sqrt(len(drawn) * share * (1 - share))).all()
    if power == 1:
        assert np.allclose(share, 0.25)
    for label in range(4):  # within a class all images come equally often
        each = np.bincount(drawn, minlength=600)[labels.numpy() == label]
        assert ((each - each.mean()) ** 2).sum() / each.mean() < len(each) + 6 * np.sqrt(2 * len(each))


@pytest.fixture
def orders(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The order of every epoch that is trained from now on."""
    seen: list[Tensor] = []
    real = loop.shuffled

    def noted(*args: object) -> Tensor:
        seen.append(real(*args))
        return seen[-1]

    monkeypatch.setattr(loop, "shuffled", noted)
    return seen


def test_a_training_draws_them_so_and_the_seed_decides(
    orders: list[Tensor], quick: Quick, few: tuple[Images, Images]
) -> None:
    pictures = uneven(few[0], {0: 50, 1: 20, 2: 5})
    recipe = quick("readme-004-mlp", "train.balance=sampling", "train.balance_power=1.0", "train.epochs=40")
    for seed in (0, 0, 1):
        for _ in fit(recipe, pictures, None, seed=seed):
            pass
    assert all(len(order) == 75 for order in orders)
    first, again, other = ([o.tolist() for o in orders[40 * i : 40 * (i + 1)]] for i in range(3))
    assert first == again and first != other and len({tuple(order) for order in first}) == 40
    found = np.bincount(pictures.labels_N[np.concatenate(first)], minlength=3)
    assert (abs(found - 1000) < 4.5 * np.sqrt(3000 * 2 / 9)).all()


@pytest.mark.parametrize("balance", ["none", "loss"])
def test_without_sampling_each_image_comes_once(
    balance: str, orders: list[Tensor], quick: Quick, few: tuple[Images, Images]
) -> None:
    next(fit(quick("readme-004-mlp", f"train.balance={balance}"), few[0], None, seed=0))
    assert sorted(orders[0].tolist()) == list(range(600))


# ---------------------------------------------------------------- resuming


RESUMED = {
    "started": ("optimizer.kind=adamw", "train.ema=0.9"),
    "frozen": ("model.freeze=2", "optimizer.kind=sgd", "train.ema=0.9", 'augment=[{kind="mixup"}]'),
    "body frozen": ("model.freeze=body", "optimizer.kind=adam"),
    "decayed": ("optimizer.layer_decay=0.6", "optimizer.kind=muon", "optimizer.momentum=0.9", "optimizer.rest=sgd"),
    "decayed, adam": ("optimizer.layer_decay=0.6", "model.freeze=1", "optimizer.kind=adam", "schedule.kind=one_cycle"),
    "balanced loss": ("train.balance=loss", "train.label_smoothing=0.1", 'augment=[{kind="mixup"}]'),
    "balanced sampling": ("train.balance=sampling", 'augment=[{kind="shift", pixels=2}]'),
}  # fmt: skip


@pytest.mark.parametrize("kind", RESUMED)
def test_resumed_is_bit_identical_to_never_interrupted(kind: str, stack: Quick, images: Images) -> None:
    recipe, start = stack("train.epochs=3", *RESUMED[kind]), trained(stack(), images)
    pictures = uneven(images, {0: 12, 1: 8, 2: 10, 3: 5, 9: 16})
    whole = [
        (s.epoch.model_dump(exclude=set(TIMINGS)), s.state()) for s in fit(recipe, pictures, None, seed=3, start=start)
    ]
    halves = [
        *fit(recipe, pictures, None, seed=3, start=whole[0][1])
    ]  # the weights that it began with are needed no more
    assert [s.epoch.model_dump(exclude=set(TIMINGS)) for s in halves] == [facts for facts, _ in whole[1:]]
    assert same(halves[-1].state(), whole[-1][1])
