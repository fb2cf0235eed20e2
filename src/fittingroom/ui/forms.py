"""A form made from the recipe's own types, and from what a person changed in it the command to type."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from fittingroom.data.catalog import catalog
from fittingroom.data.own import known
from fittingroom.spec.errors import FittingroomError, nearest
from fittingroom.spec.read import read_recipe, shipped_recipes
from fittingroom.spec.recipe import Recipe, ShapeSpec, Strict

SECTIONS = ("train", "optimizer", "schedule", "data")
FIRST = ("train.epochs", "train.batch_size", "optimizer.kind", "optimizer.lr")  # shown before one asks for more
NOT_OFFERED = ("data.name", "data.folds", "data.fold", "data.fold_is", "data.exclude")  # paths stay out of addresses
MOST_SEEDS = 20
MOST_SIGNS = 200  # of one entry


@dataclass(frozen=True)
class Field:
    """One entry: its path in the recipe, what it may be, what it is and what it means."""

    path: str
    kind: Literal["number", "choice", "yes", "text"]
    value: str
    description: str
    whole: bool = False
    choices: tuple[str, ...] = ()
    fault: str = ""

    @property
    def first(self) -> bool:
        return self.path in FIRST


def offered(home_dir: Path) -> tuple[list[Recipe], list[str]]:
    """The recipes and the data sets that the form knows. No recipe that would import a person's own code."""
    recipes = [read_recipe(name) for name in shipped_recipes()]
    sets = [*catalog(home_dir), *own_sets(home_dir)]
    return [r for r in recipes if r.model.kind != "python"], list(dict.fromkeys(sets))


def fields(
    recipe: Recipe, given: Mapping[str, str] | None = None, faults: Mapping[str, str] | None = None
) -> list[Field]:
    """Every entry for `recipe`; with what a person gave, and what was wrong with it, where that is known.

    >>> [f.path for f in fields(read_recipe("readme-004-mlp")) if f.first]
    ['train.epochs', 'train.batch_size', 'optimizer.kind', 'optimizer.lr']
    """
    found = []
    for section in SECTIONS:
        part: Strict = getattr(recipe, section)
        for name, info in type(part).model_fields.items():
            path = f"{section}.{name}"
            if path in NOT_OFFERED:
                continue
            entry = _field(path, info, getattr(part, name))
            value = (given or {}).get(path, entry.value)
            found.append(Field(**{**entry.__dict__, "value": value, "fault": (faults or {}).get(path, "")}))
    return sorted(found, key=lambda f: FIRST.index(f.path) if f.first else len(FIRST))


def own_sets(home_dir: Path) -> list[str]:
    """The names of a person's own pictures that were read before."""
    return list(dict.fromkeys(about.name for about, _ in known(home_dir)))


@dataclass(frozen=True)
class Wish:
    """What a person asked for, checked: the words of the command, and what to call it."""

    words: tuple[str, ...]
    title: str


class Wrong(Exception):
    """What was asked for cannot be: faults by the field's path ("" for what belongs to none)."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        super().__init__("; ".join(faults.values()))
        self.faults = dict(faults)


def read_form(form: Mapping[str, Sequence[str]], home_dir: Path, exclusion: Callable[[str, ShapeSpec], Path]) -> Wish:
    """The command that a filled form means. `exclusion` gives the file that its `exclude` stands for, of data in a shape.

    Nothing that was sent is opened as a file: recipes and data are looked up among those that are offered.
    Raises `Wrong` with every fault.
    """
    recipes, sets = offered(home_dir)
    known_recipes = {r.name: r for r in recipes}
    names = list(dict.fromkeys([*form.get("recipe", ()), *form.get("with", ())]))
    data, seeds = (form.get("data") or [""])[0], (form.get("seeds") or ["1"])[0]
    faults: dict[str, str] = {}
    for name in names:
        if name not in known_recipes:
            faults["recipe"] = f"there is no recipe {name[:80]!r} here" + _like(name, known_recipes)
    if not names:
        faults["recipe"] = "choose a recipe"
    if form.get("until") and len(names) < 2:
        faults["until"] = "choose a second recipe, against which something can be settled"
    if data and data not in sets:
        faults["data"] = f"there are no data {data[:80]!r} here" + _like(data, sets)
    if not seeds.isdecimal() or len(seeds) > 2 or not 1 <= int(seeds) <= MOST_SEEDS:
        faults["seeds"] = f"give a number from 1 to {MOST_SEEDS}"
    if faults:
        raise Wrong(faults)
    recipe = known_recipes[names[0]]
    entries = fields(recipe)
    sent = {f.path: form[f.path][-1].strip() for f in entries if form.get(f.path)}
    if long := {path: f"at most {MOST_SIGNS} signs" for path, text in sent.items() if len(text) > MOST_SIGNS}:
        raise Wrong(long)
    changes = [f"{f.path}={sent[f.path]}" for f in entries if sent.get(f.path, f.value) != f.value]
    try:
        read = [read_recipe(name, changes) for name in names]
    except FittingroomError as error:
        raise Wrong(error.faults or {"": str(error)}) from None
    if form.get("exclude"):
        try:
            [path] = {exclusion(data or recipe.data.name, one.data) for one in read}
        except FittingroomError as error:
            raise Wrong({"exclude": error.faults.get("data.exclude", str(error))}) from None
        changes.append(f"data.exclude={path}")
    on = ["--data", data] if data else []
    if len(names) == 1 and int(seeds) == 1:
        return Wish(("train", names[0], *changes, *on), f"{names[0]}{f' on {data}' if data else ''}")
    on = ["--data", data or recipe.data.name]  # the same for all, or there would be nothing to compare
    if form.get("until"):
        return Wish(
            ("compare", *names, *changes, *on, "--until", "settled"), f"{' against '.join(names)}, until settled"
        )
    return Wish(("compare", *names, *changes, *on, "--seeds", seeds), f"{' against '.join(names)}, {seeds} seeds")


def read_question(form: Mapping[str, Sequence[str]], home_dir: Path) -> Wish:
    """The question which classifier is best for pictures of one's own, as a command. Raises `Wrong` with every fault."""
    data, group = (form.get("data") or [""])[-1], (form.get("group") or [""])[-1].strip()
    sets, faults = own_sets(home_dir), {}
    if data not in sets:
        faults["data"] = f"there are no pictures {data[:80]!r} here" + _like(data, sets)
    if len(group) > MOST_SIGNS or not group.isprintable():
        faults["data.group"] = f"at most {MOST_SIGNS} signs of one line"
    if faults:
        raise Wrong(faults)
    return Wish(("best", data, *([f"data.group={group}"] if group else [])), f"which classifier for {data}?")


def _like(name: str, names: Any) -> str:
    found = nearest(name, names)
    return f"; nearest: {found!r}" if found else ""


def _field(path: str, info: FieldInfo, value: Any) -> Field:
    kind, said = _plain(info.annotation), info.description or ""
    text = "" if value is None or value == () else str(value).lower() if isinstance(value, bool) else str(value)
    if get_origin(kind) is Literal:
        choices = tuple(map(str, get_args(kind)))
        return Field(path, "choice", text, said, choices=choices if value is not None else ("", *choices))
    if kind is bool:
        return Field(path, "yes", text, said, choices=("false", "true"))
    if kind in (int, float):
        return Field(path, "number", f"{value:g}" if isinstance(value, float) else text, said, kind is int)
    return Field(path, "text", text, said)


def _plain(annotation: Any) -> Any:
    """A type without `Annotated` and `| None`; other unions are text."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) in (Union, types.UnionType):
            parts = [part for part in get_args(annotation) if part is not type(None)]
            if len(parts) > 1:
                return str
            annotation = parts[0]
        else:
            return annotation
