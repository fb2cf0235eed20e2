"""Explanations of real, briefly trained networks: they follow the weights, agree with slow ways, and are written whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from planned import study_of
from scipy.spatial import cKDTree
from torch import nn

from fittingroom.data import Dataset, Images
from fittingroom.explain import explain
from fittingroom.explain.attributions import DELETED, attributions, deletion, integrated_gradients
from fittingroom.explain.features import feature_maps, filters, last_features
from fittingroom.explain.neighbours import embedding, nearest, prototypes
from fittingroom.report.explain_page import overlay, write_explain_page
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import Recipe
from fittingroom.store import RunFolder, Runs
from fittingroom.training.fit import network, restore
from fittingroom.training.predict import to_float, to_tensor


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Runs, list[RunFolder]]:
    """A CNN and an MLP, trained on 2,000 real images once for this file."""
    from fittingroom.spec.read import read_recipe

    runs = Runs(tmp_path_factory.mktemp("explain") / "runs")
    small = ["train.epochs=3", "data.limit=2000", "train.precision=fp32"]
    recipes = [read_recipe("readme-004-cnn", small), read_recipe("readme-004-mlp", small)]
    return runs, study_of(recipes, runs, [0]).train()


def model_of(run: RunFolder, like: Dataset) -> nn.Module:
    return restore(run.recipe, run.weights, like.train)


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    """Mean correlation of two sets of maps (N,H,W)."""
    return float(
        np.mean([np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(a, b, strict=True) if x.std() and y.std()])
    )


@pytest.mark.slow
def test_randomised_weights_change_every_map(finished: tuple[Runs, list[RunFolder]], fashion: Dataset) -> None:
    """The sanity check of Adebayo et al. 2018 (arXiv:1810.03292): a map that survives it shows the image, not the model."""
    _, folders = finished
    images = fashion.train.images_NCHW[:24]
    trained = model_of(folders[0], fashion)
    said = trained(to_float(to_tensor(images))).argmax(1).numpy()
    same = attributions(trained, images, said)
    again = attributions(model_of(folders[0], fashion), images, said)
    other = attributions(network(folders[0].recipe, fashion.train, seed=9).eval(), images, said)
    assert set(same) == {"Grad-CAM", "integrated gradients", "occlusion"}
    for name, maps in same.items():
        assert maps.shape == (24, 28, 28)
        assert likeness(maps, again[name]) > 0.999
        assert abs(likeness(maps, other[name])) < 0.5, name


@pytest.mark.slow
def test_integrated_gradients_are_complete(finished: tuple[Runs, list[RunFolder]], fashion: Dataset) -> None:
    """They add up to the difference between the logit of the image and that of black."""
    model = model_of(finished[1][1], fashion)
    images = fashion.train.images_NCHW[:8]
    x = to_float(to_tensor(images))
    with torch.no_grad():
        logits, black = model(x), model(torch.zeros_like(x))
    said = logits.argmax(1)
    total = integrated_gradients(model, images, said.numpy()).flatten(1).sum(1)
    wanted = (logits - black).gather(1, said[:, None])[:, 0]
    assert torch.allclose(total, wanted, atol=0.05 * float(wanted.abs().max()))


@pytest.mark.slow
def test_deleting_what_matters_hurts_more_than_deleting_at_random(
    finished: tuple[Runs, list[RunFolder]], fashion: Dataset
) -> None:
    for folder in finished[1]:
        curve = deletion(model_of(folder, fashion), fashion.train.images_NCHW[:100])
        assert curve["share"].tolist() == list(DELETED) and curve["attributed"][0] == pytest.approx(curve["random"][0])
        assert (curve["attributed"][2:] < curve["random"][2:]).all() and curve["attributed"][-1] < 0.6 * curve[
            "attributed"
        ][0]


def test_filters_are_the_first_layer_s_weights(quick: Callable[..., Recipe], few: tuple[Images, Images]) -> None:
    cnn, mlp = (network(quick(name), few[0], seed=0) for name in ("readme-004-cnn", "readme-004-mlp"))
    name, weights = filters(cnn, (1, 28, 28))
    assert name == "0" and weights.shape == (32, 1, 3, 3)
    name, weights = filters(mlp, (1, 28, 28))
    assert weights.shape == (64, 1, 28, 28) and np.linalg.norm(weights[0]) >= np.linalg.norm(weights[-1])
    assert filters(nn.Sequential(nn.Flatten(), nn.ReLU()), (1, 28, 28))[0] == ""
    maps = feature_maps(cnn.eval(), few[0].images_NCHW[0])
    assert [m.shape for m in maps.values()] == [(16, 26, 26), (16, 11, 11)] and feature_maps(
        mlp, few[0].images_NCHW[0]
    ) == {}


def test_last_features_and_the_last_layer_give_the_logits(
    quick: Callable[..., Recipe], few: tuple[Images, Images]
) -> None:
    model = network(quick("readme-004-cnn"), few[0], seed=0).eval()
    features = last_features(model, few[0].images_NCHW)
    last = [m for m in model.modules() if isinstance(m, nn.Linear)][-1]
    with torch.no_grad():
        expected = model(to_float(to_tensor(few[0].images_NCHW)))
        assert torch.allclose(last(torch.from_numpy(features)), expected, atol=1e-4)


def test_neighbours_are_a_tree_s_and_prototypes_are_of_their_class() -> None:
    rng = np.random.default_rng(0)
    points, among, labels = rng.normal(size=(20, 6)), rng.normal(size=(300, 6)), rng.integers(0, 4, 300)
    assert np.array_equal(nearest(points, among, 5), cKDTree(among).query(points, k=5)[1])
    typical = prototypes(among, labels, 5, most=3)
    assert all((labels[typical[c]] == c).all() for c in range(4)) and (typical[4] == -1).all()
    centre = among[labels == 2].mean(0)
    assert typical[2][0] == np.flatnonzero(labels == 2)[np.linalg.norm(among[labels == 2] - centre, axis=1).argmin()]


@pytest.mark.slow
def test_the_embedding_keeps_groups_together_and_repeats_itself() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(3), 60)
    features = rng.normal(size=(180, 40)) + 12 * rng.normal(size=(3, 40))[groups]
    points = embedding(features)
    assert np.array_equal(points, embedding(features))
    near = cKDTree(points).query(points, k=4)[1][:, 1:]
    assert (groups[near] == groups[:, None]).mean() > 0.99


@pytest.mark.slow
@pytest.mark.main_job
def test_a_run_is_explained_on_a_page(finished: tuple[Runs, list[RunFolder]], tmp_path: Path) -> None:
    runs, (cnn, mlp) = finished
    Image.fromarray(np.arange(600, dtype=np.uint8).reshape(20, 30)).save(tmp_path / "mine.png")
    reads = runs.test_reads()
    explain(cnn, runs, [5], [tmp_path / "mine.png"])
    explain(mlp, runs)
    assert runs.test_reads() == reads  # what was scored is looked at again, not the test set
    found, curve = cnn.explained(), cnn.deletion()
    assert curve
    assert found["rows"][:2].tolist() == [-1, 5] and len(found["rows"]) == 14 and found["points"].shape == (10_000, 2)
    logits, labels = cnn.predictions("test")  # type: ignore[misc]
    wrong = found["rows"][2:]
    assert (logits[wrong].argmax(1) != labels[wrong]).all() and np.array_equal(
        found["images"][2:], runs.thumbnails(cnn.data.digest)[wrong]
    )  # type: ignore[index]
    html = write_explain_page(cnn, tmp_path / "cnn.html").read_text()
    assert "your image" in html and "test image #5" in html and "Grad-CAM" in html and len(html) < 5_000_000
    assert json.loads((cnn.path / "deletion.json").read_text())["images"] == curve["images"]
    assert "Grad-CAM" not in write_explain_page(mlp, tmp_path / "mlp.html").read_text()
    with pytest.raises(FittingroomError, match="no test image 10000; they are 0 … 9999"):
        explain(cnn, runs, [10_000])
    (tmp_path / "not.png").write_text("no")
    with pytest.raises(FittingroomError, match=r"not\.png is no PNG, JPEG"):
        explain(cnn, runs, [], [tmp_path / "not.png"])


def test_an_overlay_tells_for_from_against() -> None:
    shown = overlay(np.full((1, 1, 3), 200, np.uint8), np.array([[1.0, 0.0, -1.0]]))
    assert shown[0, 0, 0] > shown[2, 0, 0] and shown[2, 0, 2] > shown[0, 0, 2] and len(set(shown[:, 0, 1])) == 1
