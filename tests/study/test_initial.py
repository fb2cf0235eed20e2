"""What a training can begin with: a name, a bundle, a file of others, a file of ours; known by its content from then on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from fittingroom.models import build
from fittingroom.models.pretrained import pretrained_weights
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.pretrained import pretrained
from fittingroom.spec.recipe import ModelSpec
from fittingroom.store import BundleFolder, Runs
from fittingroom.store.fetch import home
from fittingroom.study.initial import initial
from fittingroom.training.arrays import to_arrays
from fittingroom.training.start import start_from

LITE0 = pretrained()["efficientnet-lite0"]


@pytest.fixture(scope="module")
def ours() -> Path:
    """The weights that were fetched, by our names; the file that they are of lies beside them."""
    return pretrained_weights(LITE0, home())


@pytest.mark.slow
def test_files_of_others_are_recognised_by_their_tensors(ours: Path, tmp_path: Path) -> None:
    """The `.pth` by its path is the same network as by name; timm's names are known, too, and each is found again by content."""
    known = load_file(ours)
    timm = {name.removeprefix("body."): value for name, value in known.items() if name.startswith("body.")}
    save_file(timm, tmp_path / "tf_lite0.safetensors")
    runs = Runs(tmp_path / "runs")
    for file in (ours.parent / LITE0.file.name, tmp_path / "tf_lite0.safetensors"):
        found = initial(str(file), runs, tmp_path)
        assert found and found.model.kind == "efficientnet_lite" and found.model.args["width"] == 1.0
        start = found.read()
        assert all(np.array_equal(start.weights[name], known[name]) for name in known if name.startswith("body."))
        mean = 0.5 if file.suffix == ".safetensors" else LITE0.mean[0]  # timm trained its own otherwise
        assert np.allclose(start.weights["mean"], mean)
        again = initial(found.label, runs, tmp_path)
        assert again and again.sha256 == found.sha256 and again.path == found.path
    start_from(build(ModelSpec(kind="efficientnet_lite"), (3, 64, 64), 5), start.weights, keep_head=False)


def test_a_file_of_ours_needs_its_network_named(tmp_path: Path) -> None:
    weights = to_arrays(build(ModelSpec(kind="fastnet"), (1, 28, 28), 3))
    save_file(weights, tmp_path / "mine.safetensors")
    found = initial(str(tmp_path / "mine.safetensors"), Runs(tmp_path), tmp_path)
    assert found and np.array_equal(found.read().weights["mean"], weights["mean"])
    named = ModelSpec(kind="fastnet", init="mine")
    assert found.network(named) == named
    with pytest.raises(
        FittingroomError, match="which network the weights of mine are of is not written in them; give model.kind"
    ):
        found.network(ModelSpec(kind="", init="mine"))


@pytest.mark.slow
def test_a_bundle_keeps_its_classes(tmp_path: Path) -> None:
    from trained import exported

    exported(tmp_path / "runs", "readme-004-cnn", "train.epochs=1", "data.limit=1000")
    [run] = Runs(tmp_path / "runs").list()
    elsewhere = run.bundle.path.rename(tmp_path / "given")
    found = initial(str(elsewhere), Runs(tmp_path), tmp_path)
    assert found and found.model.layers == run.recipe.model.layers
    assert found.classes == BundleFolder(elsewhere).facts.classes == run.data.classes
    again = initial(found.label, Runs(tmp_path / "nothing"), tmp_path)
    assert again and again.classes == found.classes and again.sha256 == found.sha256


@pytest.mark.parametrize("name", ["strange.safetensors", "code.pth"])
def test_what_holds_no_known_network_is_refused(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    if name.endswith(".pth"):
        import pickle

        file.write_bytes(pickle.dumps(print))
    else:
        save_file({"a": np.zeros(3, np.float32)}, file)
    with pytest.raises(
        FittingroomError, match="no network with trained weights that is known here|does not hold weights alone"
    ):
        initial(str(file), Runs(tmp_path), tmp_path)
