"""Few pictures: what too few images would choose is not chosen, in the command, in Python and in the estimator alike."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from refusing import refused

from fittingroom.data import Images
from fittingroom.sklearn import ImageClassifier
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import TrainSpec
from fittingroom.store import Runs
from fittingroom.study.launch import Failed, launcher
from fittingroom.training.select import refuse_choice

Command = Callable[..., subprocess.CompletedProcess[str]]
QUICK = ("train.epochs=3", "train.batch_size=4", "train.precision=fp32")


def images(*counts: int) -> Images:
    labels_N = np.repeat(np.arange(len(counts)), counts)
    return Images(
        np.zeros((len(labels_N), 1, 4, 4), np.uint8), labels_N, tuple(f"class {i}" for i in range(len(counts)))
    )


MANY = images(50, 50)


@pytest.mark.parametrize(
    ("val", "carved", "words", "train"),
    [
        (None, True, "there is no validation image;", MANY),
        (images(1, 0), True, "there is 1 validation image;", MANY),
        (images(4, 5), True, "there are 9 validation images;", MANY),
        (images(12, 0), True, "there are 12 validation images, none of: class 1;", MANY),
        (images(12, 0), False, "", MANY),  # what came along is as its authors want it
        (images(5, 5), True, "", MANY),
        (images(12, 0), True, "", images(100, 3)),  # too rare to be due one
    ],
)
def test_who_may_choose(val: Images | None, carved: bool, words: str, train: Images) -> None:
    for spec in (TrainSpec(epochs=5, select="best_val"), TrainSpec(epochs=5, patience=2)):
        if words:
            with pytest.raises(FittingroomError, match=words):
                refuse_choice(spec, train, val, carved)
        else:
            refuse_choice(spec, train, val, carved)
    refuse_choice(TrainSpec(epochs=5), train, val, carved)  # the last epoch is no choice


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Arrays of four pictures a class."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "tiny.npz", images=rng.integers(0, 255, (16, 16, 16), np.uint8), labels=np.arange(16) % 4)
    return tmp_path / "tiny.npz"


def test_a_folder_of_four_pictures_a_class(tiny: Path, here: Command, tmp_path: Path) -> None:
    words = ("readme-004-cnn", *QUICK, "--data", str(tiny), "--home", "home")
    said = refused(here("train", *words, "train.select=best_val", "--quiet"))
    assert (
        'train.select = "best_val" chooses by validation, and there is no validation image; use train.select=last'
        in said
    )
    assert not list(tmp_path.glob("runs/*/weights.safetensors"))
    assert here("train", *words, "--quiet").returncode == 0
    searching = refused(here("tune", *words, "optimizer.lr=log(1e-4, 1e-2)", "--trials", "2", "--quiet"))
    assert "a search chooses by validation, and there is no validation image" in searching


def test_the_estimator_divides_no_group() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 255, (120, 16, 16), np.uint8), np.arange(120) % 2
    choosing = ImageClassifier("readme-004-mlp", changes=(*QUICK, "train.epochs=1", "train.select=best_val"))
    choosing.fit(X, y, groups=np.arange(120) // 4)
    with pytest.raises(ValueError, match="there is no validation image"):
        choosing.fit(X, y, groups=np.where(y, "healthy", "ill"))  # each class is one patient
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        choosing.fit(X, y, groups=[1, 2])


def test_the_estimator_says_the_same() -> None:
    few = images(4, 4)
    with pytest.raises(ValueError, match="chooses by validation"):
        ImageClassifier("readme-004-mlp", changes=(*QUICK, "train.select=best_val")).fit(few.images_NCHW, few.labels_N)


@pytest.mark.parametrize("verb", ["compare", "ablate", "cv"])
def test_a_metric_of_too_few_classes_trains_nothing(verb: str, here: Command, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (60, 16, 16), np.uint8)
    np.savez(tmp_path / "two.npz", images=images, labels=np.arange(60) % 2)
    said = refused(here(verb, "fast-fashion", *QUICK, "--data", "two.npz", "--metric", "top_3_accuracy", "--quiet"))
    assert "top_3_accuracy of 2 classes is the same for every model; it takes 4 classes" in said
    assert not list(tmp_path.glob("runs/*/weights.safetensors"))


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("can't allocate memory: you tried to allocate 86528000000 bytes.")]
)
def test_a_step_that_takes_more_memory_than_there_is_is_a_sentence(
    error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(launcher, "execute", refuses)
    found = launcher.attempt(None, Runs(tmp_path), 1, lambda _: None)  # type: ignore[arg-type]
    assert isinstance(found, Failed) and found.mistake and "takes more memory than there is" in found.text
    assert ("86.5 GB" in found.text) == isinstance(error, RuntimeError)
