"""Recipes: strict, all faults at once, names that help; every shipped one parses, and its text is what it says."""

from __future__ import annotations

import re

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from fittingroom import spec
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.overrides import apply_overrides, parse_value
from fittingroom.spec.read import parse_recipe, read_recipe, shipped_recipes

PARTS = [kind for kind in vars(spec.recipe).values() if isinstance(kind, type) and issubclass(kind, BaseModel)]
TINY = {"model": {"kind": "sequential", "layers": [{"flatten": True}]}, "train": {"epochs": 1}}


def faults(tree: dict[str, object]) -> str:
    with pytest.raises(FittingroomError) as caught:
        parse_recipe({**TINY, **tree})
    return str(caught.value)


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_is_read_and_survives_a_round_trip(name: str) -> None:
    recipe = read_recipe(name)
    assert recipe.name == name and recipe.description and recipe.source
    again = parse_recipe(recipe.model_dump(mode="json", exclude_none=True))
    assert again == recipe
    assert (
        parse_recipe(__import__("tomllib").loads(tomli_w.dumps(recipe.model_dump(mode="json", exclude_none=True))))
        == recipe
    )


def test_all_faults_come_at_once_each_with_its_path_and_the_nearest_key() -> None:
    text = faults(
        {"optimizer": {"lr": -1, "kind": "adan", "nestrov": True}, "train": {"epochs": 0}, "schedule": {"peak": 2}}
    )
    assert "optimizer.lr: -1 must be > 0" in text
    assert "optimizer.kind: 'adan' must be" in text
    assert 'optimizer.nestrov: no such key; nearest: "nesterov"' in text
    assert "train.epochs: 0 must be ≥ 1" in text
    assert "schedule.peak: 2 must be < 1" in text
    assert "5 faults" in text


def test_faults_inside_layers_name_the_layer_and_no_union_internals() -> None:
    layers = [{"conv": 8, "kernal": 3}, {"repeat": 2, "layers": [{"dropout": 1.5}]}, {"cnv": 4}, {"dense": "ten"}]
    text = faults({"model": {"kind": "sequential", "layers": layers}})
    assert 'model.layers.0.kernal: no such key; nearest: "kernel"' in text
    assert "model.layers.1.layers.0.dropout: 1.5 must be < 1" in text
    assert "model.layers.2: a layer has one of the keys" in text and 'nearest: "conv"' in text
    assert "model.layers.3.dense: 'ten' must be a valid integer" in text


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        ({"data": {"val_fraction": 0.0}, "train": {"epochs": 1, "select": "best_val"}}, "nothing to select on"),
        ({"model": {"kind": "python"}}, 'target = "module:function"'),
        ({"model": {"kind": "resnet18", "layers": [{"flatten": True}]}}, "layers belong to"),
        ({"optimizer": {"kind": "adam", "momentum": 0.9}}, "momentum belongs to sgd"),
        ({"train": {"epochs": True}}, "train.epochs"),
        ({"optimizer": {"lr": float("nan")}}, "optimizer.lr"),
        ({"train": {}}, "train.epochs: missing"),
    ],
)
def test_contradictions_are_refused(tree: dict[str, object], text: str) -> None:
    assert text in faults(tree)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["model.layers.0=5"], "model.layers.0: a layer has one of the keys"),
        (["model.layers=[[1]]"], "model.layers.0: a layer has one of the keys"),
        (["model.layers=[true]"], "model.layers.0"),
        (["model.layers.\u00b2.conv=2"], "model.layers has 9 entries"),
        (["model.args.x=inf"], "model.args.x"),
        (['augment=[{knd="hflip"}]'], "augment.0.kind: missing"),
        (["claims=[{id=3}]"], "claims.0.text: missing"),
    ],
)  # fmt: skip
def test_odd_values_are_messages_too(words: list[str], text: str) -> None:
    with pytest.raises(FittingroomError, match=re.escape(text)):
        read_recipe("readme-004-cnn", words)


def test_a_study_names_its_faults() -> None:
    from fittingroom.spec.study import parse_study

    with pytest.raises(FittingroomError, match='recipes.0.nmae: no such key; nearest: "name"') as caught:
        parse_study({"recipes": [{"recipe": "a", "nmae": "b"}]})
    assert "1 fault" in str(caught.value)


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(FittingroomError, match='nearest: "readme-004-mlp"'):
        read_recipe("readme-004-mpl")


@pytest.mark.parametrize(
    ("content", "text"), [("epochs = ", "is not TOML"), ("", "model: missing"), (None, "no such file")]
)
def test_files_that_are_no_recipe(tmp_path, content: str | None, text: str) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "mine.toml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(FittingroomError, match=text):
        read_recipe(file)


def test_overrides_reach_into_layers_and_refuse_what_is_not_there() -> None:
    recipe = read_recipe("readme-004-cnn", ["model.layers.0.conv=64", "optimizer.lr=3e-3", "optimizer.kind=adamw"])
    assert recipe.model.layers[0].conv == 64 and recipe.optimizer.lr == 3e-3  # type: ignore[union-attr]
    for word, text in (
        ("model.layers.99.conv=1", "0 to 8"),
        ("train.epochs", "is not key=value"),
        ("train.epochs.x=1", "no parts"),
    ):
        with pytest.raises(FittingroomError, match=text):
            read_recipe("readme-004-cnn", [word])


toml_values = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=6,
)


@given(toml_values)
def test_any_value_survives_the_command_line(value: object) -> None:
    written = tomli_w.dumps({"x": value}).strip().removeprefix("x = ")
    if "\n" in written and not isinstance(value, list):
        return
    assert apply_overrides({}, [f"a.b={written}"]) == {"a": {"b": value}}


def test_plain_words_need_no_quotes() -> None:
    assert parse_value("best_val") == "best_val"


@pytest.mark.parametrize("part", PARTS)
def test_every_key_says_what_it_means(part: type[BaseModel]) -> None:
    assert not [key for key, info in part.model_fields.items() if not info.description]


def test_names_and_prose_do_not_decide_a_result() -> None:
    recipe = read_recipe("readme-004-mlp")
    assert recipe.model_copy(update={"name": "other", "description": "x"}).deciding() == recipe.deciding()
    assert read_recipe("readme-004-mlp", ["optimizer.lr=0.01"]).deciding() != recipe.deciding()
