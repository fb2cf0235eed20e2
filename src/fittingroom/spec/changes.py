"""What was changed in a recipe: overrides read backwards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import tomli_w

from fittingroom.spec.digest import digest
from fittingroom.spec.read import read_recipe, shipped_recipes
from fittingroom.spec.recipe import Recipe

RESOLVED = ("data.name", "train.precision")  # set by the machine and by --data
PROSE = ("name", "description", "source", "claims", "measured", "space")


def changed(shipped: Recipe, used: Recipe) -> list[str]:
    """The `key=value` words that make `used` of `shipped`, but for what resolving sets.

    >>> from fittingroom.spec.read import read_recipe
    >>> shipped = read_recipe("readme-004-mlp")
    >>> changed(shipped, read_recipe("readme-004-mlp", ["train.epochs=3", "model.layers.3.dropout=0.1"]))
    ['model.layers.3.dropout=0.1', 'train.epochs=3']
    """
    before, after = (plain(recipe) for recipe in (shipped, used))
    return [f"{path}={inline(value)}" for path, value in _differences(before, after) if path.split(".")[0] not in PROSE]


def plain(recipe: Recipe) -> dict[str, Any]:
    """A recipe as plain data, with the beginning of a digest where its model's sources are."""
    found = recipe.model_dump(mode="json", exclude_none=True)
    if sources := found["model"].pop("sources"):
        found["model"]["sources"] = digest(sources)[:8]
    return found


def told_apart(recipes: Iterable[Recipe]) -> list[str]:
    """For each recipe what was changed in the shipped one of its name, or else in the first here of its name.

    >>> from fittingroom.spec.read import read_recipe
    >>> told_apart([read_recipe("readme-004-mlp"), read_recipe("readme-004-mlp", ["train.epochs=3"])])
    ['', 'train.epochs=3']
    """
    shipped = shipped_recipes()
    first: dict[str, Recipe] = {}
    words: dict[int, str] = {}  # runs of one recipe share the object
    given = [*recipes]
    for recipe in given:
        if id(recipe) not in words:
            if recipe.name not in first:
                first[recipe.name] = _shipped(recipe.name) if recipe.name in shipped else recipe
            words[id(recipe)] = " ".join(changed(first[recipe.name], recipe))
    return [words[id(recipe)] for recipe in given]


@cache
def _shipped(name: str) -> Recipe:
    return read_recipe(name)


def _differences(before: Any, after: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The smallest parts of `after` that are not as in `before`, with their paths."""
    if before == after or path in RESOLVED:
        return
    if isinstance(before, dict) and isinstance(after, dict) and before.keys() <= after.keys():
        parts = [(key, before.get(key), value) for key, value in after.items()]
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        parts = [(str(i), x, y) for i, (x, y) in enumerate(zip(before, after, strict=True))]
    else:
        yield path, after
        return
    for key, x, y in parts:
        yield from _differences(x, y, f"{path}.{key}".lstrip("."))


def inline(value: Any) -> str:
    """A value as TOML on one line.

    >>> inline({"conv": 64, "bias": False})
    '{conv = 64, bias = false}'
    """
    match value:
        case dict():
            return "{" + ", ".join(f"{key} = {inline(part)}" for key, part in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(inline, value)) + "]"
        case _:
            return tomli_w.dumps({"x": value}).strip().removeprefix("x = ")
