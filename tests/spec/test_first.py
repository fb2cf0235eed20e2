"""A first recipe: whatever the pictures and their classes are called, it is TOML, a recipe, and trains."""

from __future__ import annotations

import json
import math
import os
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from fittingroom.augment import AUGMENTATIONS
from fittingroom.data import Dataset, Images, load
from fittingroom.models import build
from fittingroom.spec.first import first_recipe
from fittingroom.spec.read import parse_recipe, read_recipe
from fittingroom.spec.recipe import Recipe, ShapeSpec
from fittingroom.store import Runs
from fittingroom.training import fit

Command = Callable[..., subprocess.CompletedProcess[str]]
HOSTILE = st.one_of(
    st.text(min_size=1),  # all of Unicode, control characters too
    st.text(alphabet="\"'\\\n\r\t #=[]{}\x00\x1b\x7f\x85\u2028“”", min_size=1),
    st.sampled_from(
        [
            '"""',
            "'''",
            "\\",
            "\\u0000",
            "C:\\new\\table",
            '# kind = "hflip"',
            "\n[train]\nepochs = 1\n",
            "日本語",
            "👩‍🚀",
        ]
    ),
)
SHAPES = st.tuples(st.sampled_from([1, 3]), st.integers(1, 400), st.integers(1, 400))
RESIZE = st.sampled_from(["", "pad", "crop", "stretch"])


def written(
    shape: tuple[int, int, int],
    counts: dict[str, int],
    data: str = "pets",
    resize: str = "",
    own: bool = True,
    may_flip: bool = True,
) -> Recipe:
    """The recipe that the text is, by way of the file's own road."""
    text = first_recipe("mine", data, shape, ShapeSpec(resize=resize or None), counts, own, may_flip)
    assert text.endswith("\n") and text.encode().decode() == text
    return parse_recipe(tomllib.loads(text), default_name="mine")


# ---------------------------------------------------------------- the text


@settings(max_examples=300)
@given(
    SHAPES,
    st.dictionaries(HOSTILE, st.integers(1, 200_000), min_size=2, max_size=6),
    HOSTILE,
    RESIZE,
    st.booleans(),
    st.booleans(),
)
@example((1, 28, 28), {"a\nepochs = 1": 1000, "b": 1}, "x", "", True, True)
@example((1, 28, 28), {"\x00": 1000, "b": 1}, "x", "", True, True)
@example((1, 28, 28), {"a": 1000, "\x1b[31m\x7f": 1}, "x", "", True, True)
def test_it_is_a_recipe_whatever_things_are_called(
    shape: tuple[int, int, int], counts: dict[str, int], data: str, resize: str, own: bool, may_flip: bool
) -> None:
    recipe = written(shape, counts, data, resize, own, may_flip)
    channels, height, width = shape
    assert recipe.name == "mine" and recipe.data.name == data
    if resize:
        assert recipe.data.image_size == (height if height == width else (height, width))
        assert (recipe.data.channels, recipe.data.resize) == (channels, resize)
    else:
        assert (recipe.data.image_size, recipe.data.channels, recipe.data.resize) == (None, None, None)
    n, t = sum(counts.values()), recipe.train
    assert f"{len(counts)} classes of {n:,} training pictures" in recipe.description
    assert t.balance == "none" and 6 <= t.epochs <= 60
    assert t.batch_size in (32, 64, 128, 512) or shape[1] * shape[2] > 64 * 64  # large pictures: fewer at once
    assert t.batch_size == 8 or t.batch_size * shape[1] * shape[2] <= 512 * 64 * 64
    steps = t.epochs * math.ceil(n / t.batch_size)
    assert t.epochs in (6, 60) or abs(steps - 900) <= math.ceil(n / t.batch_size) / 2
    kinds = [step.kind for step in recipe.augment]
    assert kinds[-2:] == ["shift", "affine"] and len(kinds) == 2 + kinds.count("hflip")
    assert ("hflip" in kinds) == (may_flip and (channels == 3 or not own))
    for step in recipe.augment:
        AUGMENTATIONS.complete(step.kind, step.params, "augment")


@given(st.integers(1, 5000), st.integers(1, 5000), HOSTILE)
def test_unequal_classes_are_told_and_equal_ones_are_not(many: int, few: int, name: str) -> None:
    text = first_recipe("mine", "pets", (1, 28, 28), ShapeSpec(), {name: many, "x" + name: few}, True, True)
    uneven = max(many, few) > 3 * min(many, few)
    (line, *more) = [line for line in text.split("\n") if line.startswith("balance = ")] or [""]
    assert not more and bool(line) == uneven
    if uneven:
        assert f"{many:,}" in line and f"{few:,}" in line and '"loss" or "sampling"' in line


def test_unequal_classes_are_named_as_they_are_called() -> None:
    text = first_recipe("mine", "pets", (1, 28, 28), ShapeSpec(), {"日本語 👩‍🚀": 1000, 'a "b" \\': 20}, True, True)
    assert '“日本語 👩‍🚀” has 1,000 pictures, “a "b" \\” 20:' in text


def test_every_comment_is_one_of_a_line_and_the_text_is_plain() -> None:
    """Nothing in it moves a terminal's cursor when it is shown."""
    text = first_recipe(
        "mine", "a\x1b[2J\n", (3, 200, 100), ShapeSpec(resize="pad"), {"\x1b[31mred\r": 900, "b\n": 9}, True, True
    )
    assert all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (3, 2, 2), (1, 3, 60), (3, 33, 47), (1, 48, 48), (3, 96, 96), (3, 160, 160)]
)
def test_its_network_fits_every_shape(shape: tuple[int, int, int]) -> None:
    recipe = written(shape, {"a": 30, "b": 30}, resize="pad")
    assert build(recipe.model, shape, 2) is not None


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2, 3), (1, 3, 40), (3, 20, 20)])
def test_it_trains_on_every_shape(shape: tuple[int, int, int]) -> None:
    recipe = written(shape, {"a": 20, "b": 20}, resize="pad")
    quick = recipe.model_copy(update={"train": recipe.train.model_copy(update={"epochs": 1, "precision": "fp32"})})
    pixels = np.random.default_rng(0).integers(0, 256, (40, *shape), np.uint8)
    (snapshot,) = fit(quick, Images(pixels, np.arange(40) % 2, ("a", "b")), None, seed=0)
    assert math.isfinite(snapshot.epoch.train_loss)


# ---------------------------------------------------------------- the command


@pytest.fixture
def pets(fashion: Dataset, tmp_path: Path) -> Path:
    """Real pictures, made small: 20 of one class, 20 of another, 5 of a third."""
    for name, c, n in (("tops", 0, 20), ("trousers", 1, 20), ("sneakers", 7, 5)):
        for i in np.flatnonzero(fashion.train.labels_N == c)[:n]:
            path = tmp_path / "my pets" / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(fashion.train.images_NCHW[i, 0, ::2, ::2].copy()).save(path)
    return tmp_path / "my pets"


def new(here: Command, *words: str) -> subprocess.CompletedProcess[str]:
    done = here("new", *words, "--home", "home")
    assert "Traceback" not in done.stderr and done.returncode in (0, 2), done.stderr
    return done


def test_new_writes_what_is_in_the_data(here: Command, pets: Path, tmp_path: Path) -> None:
    done = new(here, "mine", "--data", "my pets", "--json")
    told = json.loads(done.stdout)
    assert done.stderr == "" and told["recipe"] == "mine.toml" and (tmp_path / "mine.toml").read_text() == told["toml"]
    recipe, data = read_recipe(tmp_path / "mine.toml"), load(str(pets), tmp_path / "home")
    assert recipe.name == "mine" and recipe.data.name == str(pets), "found from every folder"
    assert (recipe.data.image_size, recipe.data.channels) == (14, 1) and data.train.shape == (1, 14, 14)
    assert f"3 classes of {len(data.train)} training pictures" in recipe.description
    assert "“sneakers” 4" in told["toml"]


def test_new_overwrites_nothing(here: Command, pets: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("mine")
    (tmp_path / "sub").mkdir()
    for words in (["mine"], ["other", "--out", "mine.toml"], ["other", "--out", "sub"]):
        done = new(here, *words, "--data", "my pets")
        assert done.returncode == 2 and done.stderr.startswith("error: ") and "is there already" in done.stderr
    assert (tmp_path / "mine.toml").read_text() == "mine" and not (tmp_path / "home").exists(), (
        "before anything is read"
    )


@pytest.mark.slow
def test_what_new_writes_trains(here: Command, pets: Path, tmp_path: Path) -> None:
    new(here, "mine", "--data", "my pets")
    done = here("train", "mine.toml", "train.epochs=1", "--no-test", "--home", "home", "--json")
    assert done.returncode == 0, done.stderr
    told, runs = json.loads(done.stdout), Runs(tmp_path / "runs")
    assert told["done"] and told["test_accuracy"] is None and runs.test_reads() == {}
    (run,) = runs.list()
    assert (
        run.recipe.name == "mine"
        and run.data.shape == (1, 14, 14)
        and run.data.classes == ("sneakers", "tops", "trousers")
    )


def test_new_says_how_to_go_on_in_words_that_a_shell_understands(here: Command, pets: Path) -> None:
    done = new(here, "my first", "--data", "my pets")
    said = dict(line.split(":", 1) for line in done.stdout.splitlines() if line.startswith("to "))
    assert shlex.split(said["to train it"]) == ["fittingroom", "train", "my first.toml"]
    assert shlex.split(said["to compare it"])[-2:] == ["--data", str(pets)]


def test_the_name_is_the_recipes_wherever_it_is_written(here: Command, pets: Path, tmp_path: Path) -> None:
    assert new(here, "mine", "--data", "my pets", "--out", "recipes/pets.toml").returncode == 0
    assert read_recipe(tmp_path / "recipes" / "pets.toml").name == "mine"


def test_new_takes_the_shape_that_is_asked_for(here: Command, pets: Path, tmp_path: Path) -> None:
    new(here, "mine", "--data", "my pets", "data.image_size=[10, 12]", "data.channels=3", "data.resize=crop")
    data = read_recipe(tmp_path / "mine.toml").data
    assert (data.image_size, data.channels, data.resize) == ((10, 12), 3, "crop")


def test_new_refuses_what_it_does_not_take(here: Command, pets: Path, tmp_path: Path) -> None:
    for word in ("train.epochs=3", "data.image_sise=32"):
        done = new(here, "mine", "--data", "my pets", word)
        assert done.returncode == 2 and word.split("=")[0].split(".")[1] in done.stderr, f"{word} was not heard"
    assert not (tmp_path / "mine.toml").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="a name that other systems do not allow")
def test_a_path_that_toml_cannot_hold_is_a_message(here: Command, pets: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    pets.rename(name)
    done = new(here, "mine", "--data", name)
    assert done.returncode == 2 and done.stderr.startswith("error: ")
