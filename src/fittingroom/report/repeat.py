"""How to repeat a comparison: the commands, the study file they need, and what each run was made with."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import tomli_w

from fittingroom.report.gather import Story
from fittingroom.spec.read import read_recipe, shipped_recipes
from fittingroom.spec.recipe import Recipe
from fittingroom.store import LoadedRun


def run_cells(run: LoadedRun) -> list[str]:
    """A run as a table's line: digests, hardware, versions."""
    e = run.environment
    hardware = e.cpu if e.device == "cpu" else e.device_name
    return [
        run.folder.name, str(run.folder.identity["digest"])[:12], run.data.digest[:12], f"{hardware}, {e.cores} cores",
        str(e.threads), e.torch, run.recipe.train.precision, e.started.replace("T", " ").replace("+00:00", " UTC"),
    ]  # fmt: skip


def commands(story: Story) -> tuple[str, str]:
    """The commands that repeat the comparison, and the study file they need if the recipes are not the shipped ones."""
    entries: list[dict[str, Any]] = []
    plain = True
    for name, runs in story.runs.items():
        recipe, folder = runs[0].recipe, runs[0].folder
        changes = changed(read_recipe(name), recipe) if name in shipped_recipes() else None
        if changes is None:
            entries.append({"recipe": str(folder.path / "recipe.toml"), "name": name})
        else:
            entries.append({"recipe": name, **({"set": changes} if changes else {})})
        plain = plain and changes == []
    seeds = {name: [run.seed for run in runs] for name, runs in story.runs.items()}
    n = len(next(iter(seeds.values())))
    device = {run.environment.device for runs in story.runs.values() for run in runs}
    suffix = "" if device == {"cpu"} else f" --device {sorted(device)[0]}"
    if any(s != list(range(n)) for s in seeds.values()):  # not what `compare --seeds N` trains: one run after the other
        lines = [
            shlex.join(
                ["fittingroom", "train", e["recipe"], *e.get("set", []), "--data", story.data.name, "--seed", f"{s}"]
            )
            for name, e in zip(seeds, entries, strict=True)
            for s in seeds[name]
        ]
        return "\n".join(line + suffix for line in lines), ""
    if plain:
        return f"fittingroom compare {' '.join(story.runs)} --data {story.data.name} --seeds {n}{suffix}", ""
    study = tomli_w.dumps({"seeds": n, "data": [story.data.name], "recipes": entries})
    return f"fittingroom compare study.toml{suffix}", study


RESOLVED = ("data.name", "train.precision")  # set by the machine and by --data
PROSE = ("name", "description", "source", "claims", "measured")


def changed(shipped: Recipe, used: Recipe) -> list[str]:
    """The `key=value` words that make `used` of `shipped`, but for what resolving sets.

    >>> shipped = read_recipe("readme-004-mlp")
    >>> changed(shipped, read_recipe("readme-004-mlp", ["train.epochs=3", "model.layers.3.dropout=0.1"]))
    ['model.layers.3.dropout=0.1', 'train.epochs=3']
    """
    before, after = (recipe.model_dump(mode="json", exclude_none=True) for recipe in (shipped, used))
    return [
        f"{path}={_inline(value)}" for path, value in _differences(before, after) if path.split(".")[0] not in PROSE
    ]


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


def _inline(value: Any) -> str:
    """A value as TOML on one line."""
    match value:
        case dict():
            return "{" + ", ".join(f"{key} = {_inline(part)}" for key, part in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_inline, value)) + "]"
        case _:
            return tomli_w.dumps({"x": value}).strip().removeprefix("x = ")


def recipe_toml(recipe: Recipe) -> str:
    """A recipe as its TOML file."""
    return tomli_w.dumps(recipe.model_dump(mode="json", exclude_none=True))
