"""Networks: the registry's conformance, stacks of layers, wrong stacks refused with place and remedy."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from torch import nn

from fittingroom.data import Images
from fittingroom.explain.features import last_features
from fittingroom.export.graph import onnx_graph
from fittingroom.inference.classifier import Graph
from fittingroom.models import MODELS, build, describe
from fittingroom.models.vit import Block
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.read import parse_recipe, read_recipe, shipped_recipes
from fittingroom.spec.recipe import ModelSpec, Recipe
from fittingroom.training import fit, predict
from fittingroom.training.fit import load_arrays, to_arrays

SHAPES = [(1, 28, 28), (3, 32, 20)]


def of(layers: list[dict[str, object]]) -> ModelSpec:
    return parse_recipe({"model": {"kind": "sequential", "layers": layers}, "train": {"epochs": 1}}).model


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", MODELS.functions)
def test_conformance(name: str, shape: tuple[int, int, int]) -> None:
    """Whatever is registered: shape, finite gradients for every parameter, seeded, saved and loaded to equality."""
    spec = ModelSpec(kind=name)
    model, same, other = (build(spec, shape, 7, seed=seed) for seed in (0, 0, 1))
    images = torch.rand(4, *shape, generator=torch.Generator().manual_seed(0))
    logits = model(images)
    assert logits.shape == (4, 7)
    logits.logsumexp(1).sum().backward()
    gradients = [p.grad for p in model.parameters()]
    assert all(g is not None and torch.isfinite(g).all() for g in gradients)
    assert sum(bool(g is not None and g.abs().sum() > 0) for g in gradients) > 0.9 * len(gradients)
    arrays, again = to_arrays(same), to_arrays(other)
    assert all(
        np.array_equal(a, b)
        for a, b in zip(to_arrays(build(spec, shape, 7, seed=0)).values(), arrays.values(), strict=True)
    )
    assert any(not np.array_equal(a, b) for a, b in zip(arrays.values(), again.values(), strict=True))
    load_arrays(other, arrays)
    assert torch.equal(other.eval()(images), same.eval()(images))


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS.functions)
def test_conformance_of_the_export(name: str) -> None:
    """Whatever is registered becomes a graph that takes raw images, any number of them, and says the same."""
    shape = SHAPES[1]
    model = build(ModelSpec(kind=name), shape, 7)
    with torch.no_grad():  # norms that have seen images, so that folding them away has something to fold
        model.train()(torch.rand(8, *shape, generator=torch.Generator().manual_seed(0)))
    graph = Graph(onnx_graph(model, shape, temperature=1.5), shape)
    images = np.random.default_rng(0).integers(0, 256, (5, *shape), np.uint8)
    wanted = predict(model, images)
    for some in (slice(0, 5), slice(3, 4)):
        logits, probabilities = graph.run(images[some])
        assert np.abs(logits - wanted[some]).max() < 1e-4 * max(1, np.abs(wanted).max())
        assert np.allclose(probabilities, softmax(wanted[some] / 1.5, axis=1), atol=1e-5)
        assert np.allclose(
            graph.features(images[some]), last_features(model.eval(), images[some]), atol=1e-3, rtol=1e-3
        )


@pytest.mark.parametrize("name", MODELS.functions)
def test_facts_of_a_model_are_counted_by_torch_and_right(name: str) -> None:
    model = build(ModelSpec(kind=name), (1, 28, 28), 10)
    facts = describe(model, (1, 28, 28))
    assert facts.parameters == sum(p.numel() for p in model.parameters())
    assert sum(layer.parameters for layer in facts.layers) == facts.parameters
    assert facts.layers[-1].shape == (10,)
    by_hand = 0
    shapes = {layer.name: layer.shape for layer in facts.layers}
    for name_, module in model.named_modules():
        key = name_.removeprefix("body.")
        if isinstance(module, nn.Conv2d):
            by_hand += 2 * module.weight.numel() * math.prod(shapes[key][1:])
        elif isinstance(module, nn.Linear):
            by_hand += 2 * module.weight.numel() * math.prod(shapes[key][:-1])
        elif isinstance(module, Block):  # attention: each token with each, twice
            tokens, width = shapes[f"{key}.proj"]
            by_hand += 2 * 2 * tokens**2 * width
    assert facts.flops == by_hand


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_builds(name: str) -> None:
    assert build(read_recipe(name).model, (1, 28, 28), 10)


def test_known_parameter_counts() -> None:
    """Counts worked out by hand from the READMEs' architectures."""
    expected = {
        "readme-004-mlp": 784 * 128 + 128 + 128 * 64 + 64 + 64 * 10 + 10,
        "readme-004-cnn": 9 * 32 + 32 + 9 * 32 * 32 + 32 + 5 * 5 * 32 * 128 + 128 + 1290,
        "readme-002-cnn1": 9 * 32 + 32 + 9 * 32 * 64 + 64 + 5 * 5 * 64 * 128 + 128 + 1290,
        "readme-001-resnet18": 11_172_810,
    }
    for name, count in expected.items():
        assert describe(build(read_recipe(name).model, (1, 28, 28), 10), (1, 28, 28)).parameters == count


def test_the_model_learns_real_images(few: tuple[Images, Images], quick: Callable[..., Recipe]) -> None:
    recipe = quick("readme-002-cnn2", "train.epochs=3", "optimizer.lr=1e-3")
    last = list(fit(recipe, *few, seed=0))[-1].epoch
    assert last.clean_accuracy > 0.5  # chance is 0.1


LAYERS = st.one_of(
    st.builds(
        lambda c, k, s, p, d: {"conv": c, "kernel": k, "stride": s, "padding": p if s == 1 or p != "same" else 0, "dilation": d},
        st.integers(1, 6), st.integers(1, 5), st.integers(1, 3), st.sampled_from(["same", 0, 1, 2]), st.integers(1, 2),
    ),
    st.builds(lambda k, n, s: {"pool": k, "size": n, **({"stride": s} if s else {})}, st.sampled_from(["max", "avg"]), st.integers(1, 4), st.integers(0, 3)),
    st.sampled_from([{"pool": "global_max"}, {"pool": "global_avg"}, {"norm": "batch"}, {"norm": "layer"}, {"norm": "group", "groups": 2}]),
    st.sampled_from([{"act": a} for a in ("relu", "gelu", "silu", "tanh")] + [{"dropout": 0.3}, {"flatten": True}, {"dense": 5}]),
)  # fmt: skip


@settings(max_examples=150)
@given(st.lists(LAYERS, min_size=1, max_size=7), st.sampled_from([(1, 12, 12), (3, 9, 14)]))
def test_any_stack_is_built_or_refused_with_its_place(
    layers: list[dict[str, object]], shape: tuple[int, int, int]
) -> None:
    """Our shape arithmetic against torch's own forward pass: whatever we accept runs, whatever we refuse names a layer."""
    try:
        model = build(of(layers), shape, 3)
    except FittingroomError as error:
        assert str(error).startswith("model.layers.") and "arrives here" in str(error)
        return
    assert model.eval()(torch.rand(2, *shape)).shape == (2, 3)


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        (
            [{"conv": 8, "kernel": 3, "padding": 0}] * 14,
            "model.layers.13: a 3×3 kernel .* does not fit; 8×2×2 .* arrives here",
        ),
        ([{"pool": "max"}] * 5, "model.layers.4: a 2×2 pooling does not fit; 1×1×1"),
        (
            [{"flatten": True}, {"conv": 8}],
            "model.layers.1: a convolution needs an image; 784 values arrives here; move flatten",
        ),
        ([{"dense": 8}], "model.layers.0: a dense layer needs a vector; 1×28×28"),
        (
            [{"conv": 6}, {"norm": "group", "groups": 4}],
            r"model.layers.1: groups = 4 must divide 6; .* groups may be \[1, 2, 3, 6\]",
        ),
        ([{"conv": 4, "stride": 2}], "needs stride = 1"),
        ([{"repeat": 3, "layers": [{"pool": "max", "size": 4}]}], r"model.layers.0.layers.0 \(round 3 of 3\)"),
    ],
)
def test_a_wrong_stack_says_where_and_what_would_fit(layers: list[dict[str, object]], text: str) -> None:
    with pytest.raises(FittingroomError, match=text):
        build(of(layers), (1, 28, 28), 10)


def test_repeat_gives_each_round_weights_of_its_own() -> None:
    model = build(of([{"repeat": 2, "layers": [{"conv": 4}, {"act": "relu"}]}]), (1, 8, 8), 2)
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert [c.in_channels for c in convs] == [1, 4]


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"kind": "resnet8"}, 'unknown model "resnet8"; nearest: "resnet'),
        ({"kind": "resnet18", "args": {"widht": 8}}, 'widht: no such key; nearest: "width"'),
        ({"kind": "resnet18", "args": {"width": 0}}, "width: 0 must be ≥ 1"),
        ({"kind": "wide_resnet", "args": {"depth": 17}}, "nearest: 16"),
        ({"kind": "python", "target": "no_such_module:build"}, "cannot import no_such_module"),
        ({"kind": "python", "target": "math:nothing"}, 'math has no function "nothing"'),
        (
            {"kind": "python", "target": "math:sqrt"},
            "math:sqrt cannot be called: missing a required .*: 'x'; it is given what it takes of channels",
        ),
    ],
)
def test_mistakes_in_a_model(spec: dict[str, object], text: str) -> None:
    with pytest.raises(FittingroomError, match=text):
        build(ModelSpec(**spec), (1, 28, 28), 10)  # type: ignore[arg-type]


def test_a_model_of_ones_own(tmp_path, few: tuple[Images, Images], quick: Callable[..., Recipe]) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "mine_own.py").write_text(
        "from torch import nn\n"
        "def build(channels, size, classes, hidden=16):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size[0] * size[1], hidden), nn.Linear(hidden, classes))\n"
        "def wrong(channels, size, classes):\n"
        "    return nn.Flatten()\n"
    )
    recipe = quick().model_copy(update={"model": ModelSpec(kind="python", target="mine_own:build", args={"hidden": 8})})
    assert len(list(fit(recipe, *few, seed=0))) == 2
    with pytest.raises(FittingroomError, match=r"gives \(784,\) for an image; it must give \(10,\) logits"):
        build(ModelSpec(kind="python", target="mine_own:wrong"), (1, 28, 28), 10)


def test_predictions_do_not_depend_on_the_batch(few: tuple[Images, Images]) -> None:
    model = build(ModelSpec(kind="fastnet"), (1, 28, 28), 10)
    whole = predict(model, few[1])
    single = np.concatenate([predict(model, few[1].take(np.array([i]))) for i in range(5)])
    assert np.allclose(whole[:5], single, atol=1e-4) and whole.dtype == np.float32
