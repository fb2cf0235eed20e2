"""Turns recipe names, files and overrides into recipes."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from fittingroom.spec.errors import FittingroomError, unknown
from fittingroom.spec.overrides import apply_overrides
from fittingroom.spec.parse import parse, read_toml
from fittingroom.spec.pretrained import filled
from fittingroom.spec.recipe import Recipe, ShapeSpec


def shipped_recipes() -> dict[str, Path]:
    """Names and files of the recipes that come with fittingroom, sorted by name.

    >>> "fast-fashion" in shipped_recipes()
    True
    """
    folder = Path(str(resources.files("fittingroom") / "recipes"))
    return {p.stem: p for p in sorted(folder.glob("*.toml"))}


def read_recipe(name_or_file: str | Path, overrides: list[str] | None = None) -> Recipe:
    """A recipe by shipped name or by path of a TOML file, with `key=value` overrides applied.

    Raises `FittingroomError` that names the file and every fault in it.

    >>> read_recipe("readme-004-mlp", ["train.epochs=1"]).train.epochs
    1
    """
    text = str(name_or_file)
    shipped = shipped_recipes()
    path = shipped.get(text) or Path(text).expanduser()
    if text not in shipped and not path.suffix and not path.exists():
        raise unknown("recipe", text, shipped, "fittingroom recipes (or give the path of a .toml file)")
    return parse_recipe(apply_overrides(read_toml(path), overrides or []), where=text, default_name=path.stem)


def parse_recipe(tree: dict[str, Any], where: str = "recipe", default_name: str = "unnamed") -> Recipe:
    """A recipe from plain data, for example from `tomllib`. See `Recipe`.

    Where it begins with a pretrained network (`model.init`), what it leaves open is as those weights were trained.
    """
    return parse(Recipe, filled({"name": default_name, **tree}), where, "fittingroom recipes NAME")


def read_shape(words: Sequence[str]) -> ShapeSpec:
    """How pictures are read, from overrides of `data` that say nothing else. Raises `FittingroomError`.

    >>> read_shape(["data.image_size=64"]).image_size
    64
    """
    whole = apply_overrides({"data": {}}, list(words))
    tree = whole.pop("data")
    if whole:
        raise FittingroomError(
            f"{' '.join(words)}: here only how pictures are read is set: "
            + ", ".join(f"data.{key}" for key in ShapeSpec.model_fields)
        )
    return parse(ShapeSpec, tree, "data", "docs/data.md", "data")
