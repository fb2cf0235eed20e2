"""The form: the command that a person would type, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.read import read_recipe, shipped_recipes
from fittingroom.spec.recipe import ShapeSpec
from fittingroom.store.fetch import home
from fittingroom.ui.forms import Wrong, fields, offered, read_form


def none(name: str, shape: ShapeSpec) -> Path:
    raise FittingroomError(f"nothing was decided about {name}")


def test_a_form_as_it_comes_is_the_plain_command() -> None:
    """Sent back untouched, no form changes its recipe."""
    for recipe in offered(home())[0]:
        form = {"recipe": [recipe.name], "seeds": ["1"], **{f.path: [f.value] for f in fields(recipe)}}
        assert read_form(form, home(), none).words == ("train", recipe.name)
    assert {r.name for r in offered(home())[0]} == set(shipped_recipes())


def test_what_was_changed_becomes_overrides() -> None:
    form = {"recipe": ["readme-004-cnn"], "train.epochs": ["3"], "optimizer.kind": ["adamw"], "data": ["mnist"]}
    assert read_form(form, home(), none).words == (
        "train", "readme-004-cnn", "train.epochs=3", "optimizer.kind=adamw", "--data", "mnist",
    )  # fmt: skip
    form |= {"with": ["readme-004-mlp", "readme-004-cnn"], "seeds": ["3"]}
    words = read_form(form, home(), none).words
    assert words[:3] == ("compare", "readme-004-cnn", "readme-004-mlp") and words[-2:] == ("--seeds", "3")
    words = read_form(form | {"until": ["settled"]}, home(), none).words
    assert words[-2:] == ("--until", "settled") and "--seeds" not in words
    words = read_form({"recipe": ["fast-mnist"], "with": ["readme-004-mlp"]}, home(), none).words
    assert words == ("compare", "fast-mnist", "readme-004-mlp", "--data", "mnist", "--seeds", "1")
    left_out = read_form(
        {"recipe": ["fast-mnist"], "exclude": ["yes"]}, home(), lambda name, shape: Path(f"{name}.csv")
    ).words
    assert "data.exclude=mnist.csv" in left_out


@pytest.mark.parametrize(
    ("form", "at", "text"),
    [
        ({"recipe": ["../etc"]}, "recipe", "no recipe"),
        ({}, "recipe", "choose a recipe"),
        ({"recipe": ["fast-mnist"], "data": ["/etc"]}, "data", "no data"),
        ({"recipe": ["fast-mnist"], "seeds": ["0"]}, "seeds", "from 1 to"),
        ({"recipe": ["fast-mnist"], "seeds": ["9" * 5000]}, "seeds", "from 1 to"),
        ({"recipe": ["fast-mnist"], "data.limit": ["[" * 3000]}, "data.limit", "at most 200"),
        ({"recipe": ["fast-mnist"], "exclude": ["yes"], "data": ["fashion-mnist"]}, "exclude", "about fashion-mnist"),
        ({"recipe": ["fast-mnist"], "optimizer.lr": ["-1"]}, "optimizer.lr", "must be > 0"),
        ({"recipe": ["fast-mnist"], "train.epochs": ["many"]}, "train.epochs", "valid integer"),
        ({"recipe": ["fast-mnist"], "optimizer.kind": ["--fresh"]}, "optimizer.kind", "must be"),
        ({"recipe": ["fast-mnist"], "data.limit": ["optimizer.lr: "]}, "data.limit", "valid integer"),
        ({"recipe": ["fast-mnist"], "data.val_fraction": ["0.0"], "train.patience": ["2"]}, "", "nothing to select on"),
    ],
)
def test_every_fault_is_told_at_its_field(form: dict[str, list[str]], at: str, text: str) -> None:
    with pytest.raises(Wrong) as wrong:
        read_form(form, home(), none)
    assert list(wrong.value.faults) == [at] and text in wrong.value.faults[at]
    assert not wrong.value.faults[at].startswith(f"{at}:")  # it stands there


def test_faults_of_several_fields_stand_at_their_own_and_every_field_says_what_it_means() -> None:
    form = {"recipe": ["readme-004-cnn"], "optimizer.lr": ["-1"], "train.ema": ["2"], "train.epochs": ["7"]}
    with pytest.raises(Wrong) as wrong:
        read_form(form, home(), none)
    shown = fields(read_recipe("readme-004-cnn"), {key: values[0] for key, values in form.items()}, wrong.value.faults)
    assert {f.path: f.fault for f in shown if f.fault} == {
        "optimizer.lr": "-1 must be > 0",
        "train.ema": "2 must be < 1",
    }
    assert [f.path for f in shown if not f.description or "`" in f.description] == []


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from([f.path for f in fields(read_recipe("fast-mnist"))]), st.lists(st.text(max_size=12), max_size=2), max_size=4))  # fmt: skip
def test_whatever_is_sent_is_a_command_or_refused(given_: dict[str, list[str]]) -> None:
    """No text of a form can become an option: all of it stands behind a field's path and an equals sign."""
    try:
        words = read_form({"recipe": ["fast-mnist"], **given_}, home(), none).words
    except Wrong as wrong:
        assert wrong.faults
        return
    assert words[:2] == ("train", "fast-mnist") and all(
        "=" in word and word.split("=")[0] in given_ for word in words[2:]
    )
