"""Nearest neighbours as the last layer: against scikit-learn's, trained, resumed, stored, exported."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

from fittingroom.data import Images
from fittingroom.export.graph import onnx_graph
from fittingroom.inference.classifier import Graph
from fittingroom.models import build
from fittingroom.models.neighbours import Neighbours, by_neighbours
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.read import parse_recipe
from fittingroom.spec.recipe import Recipe
from fittingroom.training import fit, predict
from fittingroom.training import trunk as trunk_room
from fittingroom.training.arrays import to_arrays
from fittingroom.training.fit import restore
from fittingroom.training.start import Start

K = 10
LAYERS = [
    {"conv": 8},
    {"act": "relu"},
    {"pool": "max"},
    {"conv": 12},
    {"act": "relu"},
    {"pool": "max"},
    {"flatten": True},
]


def recipe_of(neighbours: int = 5, epochs: int = 3) -> Recipe:
    return parse_recipe(
        {
            "model": {"kind": "sequential", "layers": LAYERS, "init": "x", "freeze": "body", "neighbours": neighbours},
            "augment": [{"kind": "hflip"}],
            "optimizer": {"kind": "adamw", "lr": 0.2, "weight_decay": 0.0},
            "train": {"epochs": epochs, "batch_size": 32, "precision": "fp32"},
        }
    )


def start_of(images: Images) -> Start:
    """Weights of a network whose last layer is dense, as pretrained ones are."""
    plain = recipe_of().model.model_copy(update={"init": "", "freeze": 0, "neighbours": 0})
    return Start(to_arrays(build(plain, images.shape, K, seed=3)), images.classes)


def votes(logits_NK: np.ndarray, k: int) -> np.ndarray:
    """The shares (N,K) of the k votes."""
    return (softmax(logits_NK.astype(np.float64), 1) * (k + 1) - 1 / K) / k


@pytest.mark.parametrize("k", [1, 5, 60])
def test_votes_are_scikit_learns(few: tuple[Images, Images], k: int) -> None:
    (known, asked), sharpness = few, 9.0
    x_MD, x_ND = (some.images_NCHW[:80].reshape(80, -1).astype(np.float32) for some in (known, asked))
    layer = Neighbours(x_MD.shape[1], K, k).eval()
    layer.remember(torch.from_numpy(x_MD), torch.from_numpy(known.labels_N[:80]))
    torch.nn.init.constant_(layer.sharpness, sharpness)
    theirs = KNeighborsClassifier(k, metric="cosine", weights=lambda d: np.exp(-sharpness * d))
    theirs.fit(x_MD, known.labels_N[:80])
    expected_NK = np.zeros((80, K))
    expected_NK[:, theirs.classes_] = theirs.predict_proba(x_ND)
    assert votes(layer(torch.from_numpy(x_ND)).detach().numpy(), k) == pytest.approx(expected_NK, abs=2e-4)
    layer.train()  # a picture has no say in its own class
    for i in (0, 7):
        theirs.fit(np.delete(x_MD, i, 0), np.delete(known.labels_N[:80], i))
        row_K = np.zeros(K)
        row_K[theirs.classes_] = theirs.predict_proba(x_MD[i : i + 1])[0]
        assert votes(layer(torch.from_numpy(x_MD[i : i + 1])).detach().numpy(), k)[0] == pytest.approx(row_K, abs=2e-4)


def test_it_is_trained_resumed_and_stored_like_any_layer(
    few: tuple[Images, Images], monkeypatch: pytest.MonkeyPatch
) -> None:
    train, val = few[0].take(np.arange(150)), few[1].take(np.arange(100))
    snapshots = []
    for snapshot in fit(recipe_of(), train, val, seed=1, start=start_of(train)):
        snapshots.append(
            (snapshot.epoch.train_loss, snapshot.state(), snapshot.weights(), predict(snapshot.model, val))
        )
    losses, states, weights, said = zip(*snapshots, strict=True)
    assert np.isfinite(losses).all() and (said[-1].argmax(1) == val.labels_N).mean() > 0.4
    assert weights[0]["body.7.sharpness"] != weights[-1]["body.7.sharpness"]
    assert weights[-1]["body.7.memory"].shape[0] == 150 and np.array_equal(weights[-1]["body.7.labels"], train.labels_N)
    resumed = [s.weights() for s in fit(recipe_of(), train, val, seed=1, start=states[0])][-1]
    assert all(np.array_equal(value, resumed[name]) for name, value in weights[-1].items())
    assert np.array_equal(predict(restore(recipe_of(), weights[-1], val), val), said[-1])
    monkeypatch.setattr(trunk_room, "MOST_BYTES", 0)  # nothing is kept, and it is the same training
    *_, again = fit(recipe_of(), train, val, seed=1, start=start_of(train))
    assert all(np.allclose(value, again.weights()[name], atol=1e-4) for name, value in weights[-1].items())


@pytest.mark.slow
def test_the_graph_says_the_same(few: tuple[Images, Images]) -> None:
    train, val = few[0].take(np.arange(150)), few[1].take(np.arange(60))
    *_, last = fit(recipe_of(epochs=1), train, None, seed=1, start=start_of(train))
    graph = Graph(onnx_graph(last.model, train.shape), train.shape)
    assert graph.predict(val.images_NCHW)[0] == pytest.approx(predict(last.model, val), abs=1e-4)


def test_what_has_no_features_to_look_up_is_refused() -> None:
    with pytest.raises(FittingroomError, match="no last dense layer"):
        by_neighbours(nn.Sequential(nn.Conv2d(1, 7, 3), nn.Flatten()), 7, 3)
    with pytest.raises(FittingroomError, match='need freeze = "body"'):
        parse_recipe({"model": {"kind": "resnet20", "neighbours": 3}, "train": {"epochs": 1}})
