"""A part is really gone, everything else is as it was, and a wrong part is told the right ones."""

from __future__ import annotations

from typing import get_args

import pytest

from fittingroom.metrics.statistic import STATISTICS
from fittingroom.spec.ablation import parts, without
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.read import parse_recipe, read_recipe, shipped_recipes
from fittingroom.spec.recipe import Claim, Statistic

NESTED = {
    "model": {
        "kind": "sequential",
        "layers": [
            {"repeat": 2, "layers": [{"conv": 8}, {"norm": "batch"}, {"act": "relu"}]},
            {"repeat": 1, "layers": [{"dropout": 0.1}]},
            {"flatten": True},
        ],
    },
    "train": {"epochs": 1, "label_smoothing": 0.1},
    "schedule": {"kind": "cosine"},
}


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_part_of_every_recipe_can_be_dropped_and_is_then_gone(name: str) -> None:
    recipe = read_recipe(name)
    for part in parts(recipe):
        less = without(recipe, part)
        assert less.name == f"{name} without {part}" and part not in parts(less)
        assert less.deciding() != recipe.deciding()
        same = (
            set(parts(recipe))
            - {part}
            - ({p for p in parts(recipe) if p.startswith("augment")} if "augment" in part else set())
        )
        assert same <= set(parts(less))


def test_parts_inside_repeats_go_too_and_an_emptied_repeat_with_them() -> None:
    recipe = parse_recipe(NESTED)
    assert parts(recipe) == ["norm", "dropout", "schedule", "label_smoothing"]
    assert [type(layer).__name__ for layer in without(recipe, "dropout").model.layers] == [
        "Repeat",
        "Flatten",
    ]
    assert len(without(recipe, "norm").model.layers[0].layers) == 2  # type: ignore[union-attr]
    assert without(recipe, "schedule").schedule.kind == "constant"


def test_a_single_layer_by_its_place() -> None:
    recipe = parse_recipe(NESTED)
    assert without(recipe, "model.layers.0.layers.1").deciding() == without(recipe, "norm").deciding()
    assert without(recipe, "model.layers.0.layers.1.norm").deciding() == without(recipe, "norm").deciding()
    for wrong, says in {
        "model.layers.9": "its layers are model.layers.0 … 2",
        "model.layers.0.layers.1.dropout": "no dropout but {norm = batch}",
        "model.layers.x": "its layers are",
        "dropuot": 'nearest: "dropout"',
    }.items():
        with pytest.raises(FittingroomError, match=says.replace("{", r"\{")):
            without(recipe, wrong)
    with pytest.raises(FittingroomError, match="no stack of layers"):
        without(read_recipe("readme-001-resnet18"), "model.layers.0")


def test_claims_that_cannot_be_judged_are_refused() -> None:
    for wrong in (
        {"relation": "equal"},
        {"than": "a", "without": "norm", "relation": "above"},
        {"than_dataset": "mnist", "relation": "above"},
        {"statistic": "flops", "relation": "below", "than": "a"},
        {"statistic": "flops", "stated": 0.5, "than": "a"},
        {"statistic": "gap", "than": "a", "than_dataset": "mnist", "relation": "above"},
        {"than": "a", "than_dataset": "mnist", "stated": 0.01},
    ):
        with pytest.raises(ValueError):
            Claim(id="x", text="x", **wrong)
    assert Claim(id="x", text="", stated=0.9268).bounds == (0.92675, 0.92685)
    assert Claim(id="x", text="", stated=0.88, rounding=0.0005).bounds == (0.8795, 0.8805)


def test_a_claim_can_name_every_statistic_and_no_other() -> None:
    assert set(get_args(Statistic)) == set(STATISTICS)


def test_every_shipped_claim_has_an_id_of_its_own_that_names_its_readme() -> None:
    claims = [(name, c) for name in shipped_recipes() for c in read_recipe(name).claims]
    ids = [c.id for _, c in claims]
    assert len(ids) == len(set(ids)) > 30
    assert all(name.split("-")[1] == c.id.split("-")[0] for name, c in claims)


def test_the_likeliest_mistakes_in_a_claim_are_told_before_training() -> None:
    recipe = {"model": {"kind": "sequential", "layers": [{"flatten": True}]}, "train": {"epochs": 1}}
    with pytest.raises(FittingroomError, match=r"stated = 88 is no fraction; for 88 % write stated = 0\.88"):
        parse_recipe(recipe | {"claims": [{"id": "x", "text": "", "stated": 88}]})
    twice = {"id": "x", "text": "", "stated": 0.9}
    with pytest.raises(FittingroomError, match='two claims have the id "x"'):
        parse_recipe(recipe | {"claims": [twice, twice]})
