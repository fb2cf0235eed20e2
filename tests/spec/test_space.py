"""Search spaces: what is read, what is refused and why, and that every value finds its way into a recipe."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fittingroom.models import build
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.overrides import apply_overrides
from fittingroom.spec.read import parse_recipe, read_recipe, shipped_recipes
from fittingroom.spec.space import Choice, Dimension, Range, as_words, is_dimension, parse_dimension, parse_space

pytestmark = pytest.mark.slow

WITH_SPACE = [name for name in shipped_recipes() if read_recipe(name).space]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("log(1e-4, 1e-1)", Range(1e-4, 1e-1, whole=False, log=True)),
        ("log(1, 100)", Range(1, 100, whole=False, log=True)),
        ("uniform(0, 0.5)", Range(0, 0.5, whole=False, log=False)),
        ("uniform(-1.5, -0.5)", Range(-1.5, -0.5, whole=False, log=False)),
        ("int(1, 8)", Range(1, 8, whole=True, log=False)),
        ("int(32, 512, log)", Range(32, 512, whole=True, log=True)),
        ("int(32, 512, 'log')", Range(32, 512, whole=True, log=True)),
        ("  log (\n 1e-4 ,1e-1 )  ", Range(1e-4, 1e-1, whole=False, log=True)),
        ("choice(32, 64, 128)", Choice((32, 64, 128))),
        ("choice(0.25, 0.5)", Choice((0.25, 0.5))),
        ("choice(adam, sgd)", Choice(("adam", "sgd"))),
        ("choice('a, b', \"c)\")", Choice(("a, b", "c)"))),
        ("choice(true, false)", Choice((True, False))),
        ("choice(1, true, '1', -1)", Choice((1, True, "1", -1))),
        ("choice(same, 0)", Choice(("same", 0))),
        ("choice([28, 28], [14, 14])", Choice(([28, 28], [14, 14]))),
        ("choice({ dense = 64 }, { repeat = 2, layers = [{ dense = 64 }, { act = 'relu' }] })",
         Choice(({"dense": 64}, {"repeat": 2, "layers": [{"dense": 64}, {"act": "relu"}]}))),
    ],
)  # fmt: skip
def test_what_a_text_means(text: str, meant: Dimension) -> None:
    found = parse_dimension("a.b", text)
    assert is_dimension(text) and found == meant and repr(found) == repr(meant)  # 1, 1.0 and true are equal to Python


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chocie(1, 2)", 'a.b: "chocie(1, 2)" is no space; nearest: "choice"; for example: log(1e-4, 1e-1)'),
        ("adam", 'a.b: "adam" is no space; for example:'),
        ("", 'a.b: "" is no space; for example:'),
        ("log(1, 2", 'a.b: "log(1, 2" is no space'),
        ("log(1, 2) and more", "is no space"),
        ("choice()", "leaves no choice; give two values or more"),
        ("choice(3)", "leaves no choice; give two values or more"),
        ("choice(3, 5, 3)", "names a value twice"),
        ("choice(adam, adam)", "names a value twice"),
        ("choice({ dense = 1, bias = true }, { bias = true, dense = 1 })", "names a value twice"),
        ("choice({ dense = 64, )", "cannot read the values"),
        ("choice(3x3, 5x5)", "cannot read the values"),
        ("choice(1979-05-27, 1980-05-27)", ""),  # TOML has dates, recipes have not
        ("log(1)", "takes a least and a largest number"),
        ("log(1, 2, 3)", "takes a least and a largest number"),
        ("uniform(true, false)", "takes a least and a largest number"),
        ("uniform(a, b)", "takes a least and a largest number"),
        ("int(1, 8, lin)", "takes a least and a largest number"),
        ("int(1, 8.5)", "takes whole numbers"),
        ("int(1e1, 1e2)", "takes whole numbers"),
        ("uniform(0.5, 0.5)", "must rise from a least to a larger number"),
        ("int(8, 1)", "must rise from a least to a larger number"),
        ("log(0, 1)", "must rise from a least to a larger number, both above 0"),
        ("int(-1, 8, log)", "must rise from a least to a larger number, both above 0"),
        ("uniform(0, inf)", "must rise from a least to a larger number"),
        ("uniform(nan, 1)", "must rise from a least to a larger number"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(FittingroomError) as caught:
        parse_dimension("a.b", text)
    assert str(caught.value).startswith("a.b: ") and message in str(caught.value)


def test_all_faults_of_a_space_come_at_once() -> None:
    tree = {"a": "log(0, 1)", "b": "log(1, 2)", "c": 3, "d": ["log(1, 2)"], "e": "x"}
    with pytest.raises(FittingroomError) as caught:
        parse_space(tree, "mine.toml")
    head, *faults = str(caught.value).split("\n")
    assert head == "mine.toml: 4 faults" and [line[2] for line in faults] == ["a", "c", "d", "e"]
    assert faults[1] == '  c: give the space as text, for example "log(1e-4, 1e-1)"'
    with pytest.raises(FittingroomError, match=r"^mine.toml: 1 fault\n"):
        parse_space({"a": "log(0, 1)"}, "mine.toml")
    assert parse_space({}, "mine.toml") == {}


def test_words_that_are_values_are_no_dimensions() -> None:
    assert not any(map(is_dimension, ("adam", "0.1", "[1, 2]", "{ dense = 64 }", '"log(1, 2)"', "", "-3")))


plain = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text()
values = st.recursive(plain, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


@settings(max_examples=300)
@given(values)
@example("\x7f")  # TOML wants it escaped, JSON does not
@example({"a.b": 1})
@example({"": {}})
@example([1e-05, 1e16, float("inf"), -0.0, True, "=", "'", '"', "\\", "\n", "é👟"])
def test_every_value_comes_through_an_override_as_it_was(value: Any) -> None:
    words = as_words("a.0 & c.d", value)
    found = apply_overrides({"a": [1, 2], "c": {"e": 3}}, words)
    assert repr(found) == repr({"a": [value, 2], "c": {"e": 3, "d": value}})


@given(st.lists(values, min_size=2))
def test_every_value_of_a_choice_comes_back_from_its_label(several: list[Any]) -> None:
    back = [json.loads(label) for label in Choice(tuple(several)).labels()]
    assert [json.dumps(v, sort_keys=True) for v in back] == [json.dumps(v, sort_keys=True) for v in several]


def ends(dimension: Dimension) -> tuple[Any, Any]:
    """The first and the last value."""
    if isinstance(dimension, Choice):
        return dimension.values[0], dimension.values[-1]
    return dimension.low, dimension.high


def test_the_readmes_that_name_future_tuning_have_spaces() -> None:
    assert {
        "readme-002-cnn1",
        "readme-002-cnn2",
        "readme-003-cnn",
        "readme-004-cnn",
        "readme-004-mlp",
    } <= set(WITH_SPACE)


@pytest.mark.parametrize("name", WITH_SPACE)
def test_a_shipped_space_leads_somewhere_and_every_corner_of_it_can_be_built(name: str) -> None:
    recipe = read_recipe(name)
    space = parse_space(recipe.space, name)
    tree = recipe.model_dump(mode="json", exclude_none=True, exclude={"claims", "measured", "space"})
    for path in space:
        for place in path.split("&"):
            node: Any = tree
            for key in place.strip().split("."):
                node = node[int(key)] if isinstance(node, list) else node[key]  # raises where there is nothing
    built: set[str] = set()
    corners = list(product(*map(ends, space.values())))
    for corner in corners:
        words = [word for path, value in zip(space, corner, strict=True) for word in as_words(path, value)]
        there = parse_recipe(apply_overrides(tree, words), name)
        network = there.model.model_dump_json()
        if network not in built:  # rate, batch and epochs change none
            build(there.model, (1, 28, 28), 10)
            built.add(network)
    assert len(corners) == 2 ** len(space) and 1 < len(built) <= len(corners)
