"""Networks with trained weights: brought as data, nothing in them run, and what they know they still know here."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file
from scipy.special import softmax
from sklearn.datasets import load_sample_image

from fittingroom.data.own.shape import Target
from fittingroom.export.graph import onnx_graph
from fittingroom.inference.classifier import Graph
from fittingroom.models import build
from fittingroom.models.efficientnet_lite import blocks
from fittingroom.models.pretrained import at_hand, pretrained_weights, weights_of_file
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.pretrained import PretrainedEntry, pretrained
from fittingroom.spec.read import parse_recipe
from fittingroom.spec.recipe import ModelSpec
from fittingroom.spec.sources import FileEntry
from fittingroom.store.fetch import home
from fittingroom.training import predict
from fittingroom.training.arrays import load_arrays
from fittingroom.training.start import layers_of, start_from

PALACE = 698  # of ImageNet's classes


@pytest.mark.slow
@pytest.mark.parametrize("name", pretrained())
def test_conformance_of_weights(name: str) -> None:
    """Loaded strictly; a palace is called one; the graph says the same; one thread and two say the same."""
    entry = pretrained()[name]
    if not at_hand(entry, home()) and all(source.kind == "https" for source in entry.sources):
        pytest.skip(f"no weights of {entry.title} at hand")
    shape = (3, entry.image_size, entry.image_size)
    model = build(ModelSpec(kind=entry.kind, args=entry.args), shape, entry.classes or 2)
    start_from(model, load_file(pretrained_weights(entry, home())), keep_head=entry.classes > 0)
    target = Target(3, entry.image_size, entry.image_size, entry.resize)
    images = np.stack([target.fit(Image.fromarray(load_sample_image(f"{name}.jpg"))) for name in ("china", "flower")])
    logits = predict(model, images)
    assert not entry.classes or (logits[0].argmax() == PALACE and softmax(logits[0]).max() > 0.3)
    graph = Graph(onnx_graph(model.eval(), images.shape[1:], 1.0, {}), images.shape[1:])
    assert np.abs(graph.run(images)[0] - logits).max() < 1e-3
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3 - min(2, threads))
        assert np.abs(predict(model, images) - logits).max() < 1e-3
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(("depth", "several"), [(1.0, 16), (1.1, 21), (1.2, 21), (1.4, 24), (1.8, 30)])
def test_blocks_are_as_many_as_the_paper_has(depth: float, several: int) -> None:
    assert sum(blocks(depth)) == several


@pytest.mark.parametrize("name", pretrained())
def test_an_entry_counts_its_layers(name: str) -> None:
    entry = pretrained()[name]
    model = build(ModelSpec(kind=entry.kind, args=entry.args), (3, 64, 64), 2)
    layers, called = layers_of(model), {id(module): of for of, module in model.named_modules()}
    assert len(layers) - 1 == entry.layers
    first_learned = {
        "efficientnet_lite": "blocks.5.0.conv_pw",
        "resnet18_photos": "stages.2.0.conv1",
        "vit": "blocks.8.qkv",
    }
    assert called[id(layers[entry.early_layers][0])] == f"body.{first_learned[entry.kind]}"


@pytest.mark.parametrize(
    ("name", "theirs", "side"),
    [("resnet18", "resnet18", 96), ("dinov2-small", "vit_small_patch14_dinov2", 126)]
    + [(f"efficientnet-lite{i}", f"efficientnet_lite{i}", 64) for i in range(3)],
)
def test_a_family_is_timms(name: str, theirs: str, side: int, tmp_path: Path) -> None:
    """The same features of the same pictures by timm's network with random weights, recognised in a file of them."""
    timm = pytest.importorskip("timm")
    entry, vit = pretrained()[name], name.startswith("dino")
    other = timm.create_model(theirs, num_classes=0)
    for tensor in other.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.02, 0.05) if tensor.ndim == 1 else tensor.normal_(0, 0.05)
    torch.save(other.state_dict(), tmp_path / "theirs.pth")
    path, spec = weights_of_file(tmp_path / "theirs.pth", tmp_path)
    assert spec and spec.kind == entry.kind
    ours = build(spec, (3, side, side), 2).eval()
    start_from(ours, load_file(path), keep_head=False)
    if vit:  # positions are known for 37 × 37 patches; timm's own resampling is the oracle
        small = timm.create_model(theirs, num_classes=0, img_size=side)
        small.load_state_dict(sys.modules[type(small).__module__].checkpoint_filter_fn(other.state_dict(), small))
        other = small
    x = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        normal = (x - ours.mean) * ours.scale
        wanted = other.eval().forward_features(normal)
        wanted = torch.cat([wanted[:, 0], wanted[:, 1:].mean(1)], 1) if vit else wanted.mean((2, 3))
        found = normal
        for layer in list(ours.body)[: -2 if vit else -3]:  # dropout and the new layer; where there is one, flatten
            found = layer(found)
    assert torch.allclose(found.flatten(1), wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))


def test_a_recipe_leaves_open_what_the_weights_decide() -> None:
    train = {"epochs": 1}
    recipe = parse_recipe({"model": {"init": "efficientnet-lite2", "freeze": "body"}, "train": train})
    assert (recipe.model.kind, recipe.model.args["width"]) == ("efficientnet_lite", 1.1)
    assert (recipe.data.image_size, recipe.data.channels, recipe.data.resize) == (260, 3, "crop")
    other = parse_recipe(
        {
            "data": {"image_size": 96, "channels": 1},
            "model": {"init": "efficientnet-lite2", "args": {"dropout": 0.0}},
            "train": train,
        }
    )
    assert (other.data.image_size, other.data.channels, other.model.args["dropout"]) == (96, 1, 0.0)
    assert other.model.args["depth"] == 1.2


def entry_of(content: bytes, name: str, folder: Path) -> PretrainedEntry:
    """An entry whose file somebody placed by hand."""
    import hashlib

    given = pretrained()["efficientnet-lite0"]
    sha256 = hashlib.sha256(content).hexdigest()
    (folder / "weights" / given.name).mkdir(parents=True)
    (folder / "weights" / given.name / name).write_bytes(content)
    return given.model_copy(
        update={"file": FileEntry(name=name, size_bytes=len(content), sha256=sha256), "sources": ()}
    )


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("boom",))


def test_no_code_in_a_file_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"x": Bomb()}, tmp_path / "evil.pth", pickle_module=pickle)
    entry = entry_of((tmp_path / "evil.pth").read_bytes(), "evil.pth", tmp_path)
    with pytest.raises(FittingroomError, match="does not hold weights alone"):
        pretrained_weights(entry, tmp_path)
    assert "boom" not in capsys.readouterr().out and not list(tmp_path.rglob("weights.safetensors"))


def test_what_was_made_once_is_checked_and_made_again_where_it_is_damaged(tmp_path: Path) -> None:
    torch.save({"_fc.weight": torch.ones(2, 3), "_bn0.num_batches_tracked": torch.tensor(7)}, tmp_path / "a.pth")
    entry = entry_of((tmp_path / "a.pth").read_bytes(), "a.pth", tmp_path)
    path = pretrained_weights(entry, tmp_path)
    first = path.read_bytes()
    found = load_file(path)
    assert set(found) == {"body.classifier.weight", "body.bn1.num_batches_tracked", "mean", "scale"}
    assert found["body.bn1.num_batches_tracked"].shape == () and found["mean"].shape == (1, 3, 1, 1)
    seal = path.with_name("weights.json")
    assert json.loads(seal.read_text())["of"] == entry.file.sha256
    path.write_bytes(first[:-1] + b"x")
    assert pretrained_weights(entry, tmp_path).read_bytes() == first
    path.unlink()
    (path.parent / "a.pth").write_bytes(b"damaged")
    with pytest.raises(FittingroomError, match="no source delivered EfficientNet-Lite0"):
        pretrained_weights(entry, tmp_path)


@pytest.mark.slow
def test_grey_images_become_three_channels_inside() -> None:
    """A grey picture gets the same answers as one channel and as three that are alike."""
    entry = pretrained()["efficientnet-lite0"]
    weights = load_file(pretrained_weights(entry, home()))
    colour, grey = (build(ModelSpec(kind=entry.kind, args=entry.args), (c, 64, 64), 1000) for c in (3, 1))
    load_arrays(colour, weights)
    load_arrays(grey, {n: w.mean(1, keepdims=True) if n in ("mean", "scale") else w for n, w in weights.items()})
    images = np.random.default_rng(0).integers(0, 255, (2, 1, 64, 64), np.uint8)
    assert np.allclose(predict(grey, images), predict(colour, np.repeat(images, 3, axis=1)), atol=1e-4)
