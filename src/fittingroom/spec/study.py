"""A study as data: which recipes, on which data, with how many seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from fittingroom.spec.parse import parse, read_toml
from fittingroom.spec.read import read_recipe
from fittingroom.spec.recipe import Count, Recipe, Strict


class Entry(Strict):
    """A recipe in a study: `{recipe = "fast-fashion", set = ["train.epochs=4"], name = "fast-4"}`."""

    recipe: str
    set: tuple[str, ...] = ()
    name: str = ""


class StudyFile(Strict):
    """`STUDY.toml`: every recipe × data set × seed (0 … seeds-1). Without `data`, each recipe's own data set."""

    recipes: Annotated[tuple[Entry, ...], Field(min_length=1)]
    data: tuple[str, ...] = ()
    seeds: Count = 3

    def read(self, overrides: list[str], folder: Path) -> list[Recipe]:
        """The recipes with their own and the common `overrides`; paths are relative to `folder`."""
        recipes = []
        for entry in self.recipes:
            beside = folder / entry.recipe
            recipe = read_recipe(beside if beside.is_file() else entry.recipe, [*entry.set, *overrides])
            recipes.append(recipe.model_copy(update={"name": entry.name or recipe.name}))
        return recipes


def parse_study(tree: dict[str, Any], where: str = "study") -> StudyFile:
    """A study from plain data, in which a bare name stands for an entry.

    >>> parse_study({"recipes": ["readme-004-mlp"]}).seeds
    3
    """
    recipes = tree.get("recipes")
    if isinstance(recipes, list):
        tree = tree | {"recipes": [{"recipe": r} if isinstance(r, str) else r for r in recipes]}
    return parse(StudyFile, tree, where, "docs/tutorial.md, part 4")


def read_study(path: Path) -> StudyFile:
    """A study from its TOML file."""
    return parse_study(read_toml(path), str(path))


def is_study(word: str) -> bool:
    """Whether `word` is the path of a study file rather than of a recipe."""
    path = Path(word)
    return path.suffix == ".toml" and path.is_file() and "recipes" in read_toml(path)
