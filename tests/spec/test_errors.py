"""Errors: what is wrong, where, as facts beside the sentence."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from fittingroom.models import build
from fittingroom.models.registry import MODELS
from fittingroom.spec.errors import FittingroomError, NotFree
from fittingroom.spec.overrides import apply_overrides
from fittingroom.spec.read import parse_recipe, read_recipe
from fittingroom.spec.recipe import ModelSpec
from fittingroom.spec.space import parse_space


def test_a_recipes_faults_are_told_by_place_as_in_its_message() -> None:
    tree = {
        "model": {"kind": "sequential", "layers": [{"repeat": 2, "layers": [{"conv": 0}]}]},
        "optimizer": {"lr": -1, "nestrov": True, "kind": "adam"},
        "data": {"image_size": "big"},  # fits neither member of a union: two faults in one place or two
        "train": {"epochs": 1, "ema": 2.0},
    }
    with pytest.raises(FittingroomError) as caught:
        parse_recipe(tree)
    faults = caught.value.faults
    assert faults["model.layers.0.layers.0.conv"] == "0 must be ≥ 1"
    assert faults["optimizer.lr"] == "-1 must be > 0"
    assert faults["optimizer.nestrov"] == 'no such key; nearest: "nesterov"'
    assert faults["train.ema"] == "2.0 must be < 1"
    lines = str(caught.value).splitlines()[1:]
    assert all(any(line.startswith(f"  {place}: ") for line in lines) for place in faults)


def test_a_fault_of_the_whole_recipe_has_no_place() -> None:
    with pytest.raises(FittingroomError, match="recipe: data.val_fraction = 0") as caught:
        read_recipe("readme-004-mlp", ["data.val_fraction=0.0", "train.patience=3"])
    assert list(caught.value.faults) == [""]


@pytest.mark.parametrize("word", ["train.epochs.x=1", "model.layers.99.conv=1"])
def test_an_override_that_fits_nowhere_names_its_place(word: str) -> None:
    with pytest.raises(FittingroomError) as caught:
        read_recipe("readme-004-cnn", [word])
    [(place, fault)] = caught.value.faults.items()
    assert place == word.removesuffix("=1") and str(caught.value) == f"{word}: {fault}"
    with pytest.raises(FittingroomError) as caught:
        apply_overrides({}, ["train.epochs"])
    assert caught.value.faults == {}


def test_faults_that_are_found_later_have_their_place_in_the_recipe_too() -> None:
    with pytest.raises(FittingroomError) as caught:
        MODELS.complete("resnet20", {"widht": 3}, "model.args")
    assert list(caught.value.faults) == ["model.args.widht"]
    layers = read_recipe("readme-004-cnn", ["model.layers=[{repeat=2, layers=[{dense=4}]}]"]).model.layers
    with pytest.raises(FittingroomError, match=r"layers.0 \(round 1 of 2\): a dense layer needs a vector") as caught:
        build(ModelSpec(kind="sequential", layers=layers), (1, 28, 28), 10)
    assert list(caught.value.faults) == ["model.layers.0.layers.0"]
    with pytest.raises(FittingroomError, match="2 faults\n  optimizer.lr: ") as caught:
        parse_space({"optimizer.lr": "log(2, 1)", "train.epochs": "choice(1)"}, "mine.toml")
    assert list(caught.value.faults) == ["optimizer.lr", "train.epochs"]


def test_faults_come_along_from_another_process() -> None:
    error = pickle.loads(pickle.dumps(FittingroomError.at("optimizer.lr", "no")))
    assert str(error) == "optimizer.lr: no" and error.faults == {"optimizer.lr": "no"}


def test_a_notebook_shows_a_mistake_as_its_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As IPython does it; no frame of ours stands above the sentence."""
    assert NotFree("held")._render_traceback_() == ["NotFree: held"]
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    shell = pytest.importorskip("IPython.core.interactiveshell").InteractiveShell()
    shell.run_cell("from fittingroom.spec.read import read_recipe\nread_recipe('readme-004-mpl')")
    said = "".join(capsys.readouterr())
    assert 'unknown recipe "readme-004-mpl"; nearest: "readme-004-mlp"' in said
    assert "Traceback" not in said and "read.py" not in said
