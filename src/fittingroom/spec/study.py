"""A study as data: which recipes, on which data, with how many seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.read import parse, read_recipe, read_toml
from fittingroom.spec.recipe import Count, Recipe, Strict


class Entry(Strict):
    """A recipe in a study: `{recipe = "fast-fashion", set = ["train.epochs=4"], name = "fast-4"}`."""

    recipe: str
    set: tuple[str, ...] = ()
    name: str = ""


class Study(Strict):
    """`STUDY.toml`: every recipe × data set × seed (0 … seeds-1). Without `data`, each recipe's own data set."""

    recipes: Annotated[tuple[str | Entry, ...], Field(min_length=1)]
    data: tuple[str, ...] = ()
    seeds: Count = 3

    def read(self, overrides: list[str], folder: Path) -> list[Recipe]:
        """The recipes with their own and the common `overrides`; paths are relative to `folder`.

        Raises `FittingroomError` if two of them have the same name.
        """
        recipes = []
        for item in self.recipes:
            entry = Entry(recipe=item) if isinstance(item, str) else item
            beside = folder / entry.recipe
            recipe = read_recipe(beside if beside.is_file() else entry.recipe, [*entry.set, *overrides])
            recipes.append(recipe.model_copy(update={"name": entry.name or recipe.name}))
        names = [r.name for r in recipes]
        for name in names:
            if names.count(name) > 1:
                raise FittingroomError(
                    f'two recipes are called "{name}"; give one a name of its own, in its file or in a study'
                )
        return recipes


def read_study(path: Path) -> Study:
    """A study from its TOML file.

    >>> Study(recipes=("readme-004-mlp",)).seeds
    3
    """
    return parse(Study, read_toml(path), str(path), "the README, Compare")


def is_study(word: str) -> bool:
    """Whether `word` is the path of a study file rather than of a recipe."""
    path = Path(word)
    return path.suffix == ".toml" and path.is_file() and "recipes" in read_toml(path)
