"""From a user's TOML to frozen, strict data: all faults of a text at once, each with its place and the nearest right thing."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from fittingroom.spec.errors import FittingroomError, nearest
from fittingroom.spec.recipe import LAYER_KINDS

T = TypeVar("T", bound=BaseModel)


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file; `FittingroomError` if it is missing, unreadable or not TOML."""
    try:
        return toml_of(path.read_bytes(), path)
    except FileNotFoundError:
        raise FittingroomError(f"no such file: {path}") from None
    except OSError as error:
        raise FittingroomError(f"cannot read {path}: {error.strerror}") from None


def toml_of(content: bytes, where: Path) -> dict[str, Any]:
    """The content of a TOML file, which lies at `where`; `FittingroomError` if it is not TOML."""
    try:
        return tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FittingroomError(f"{where} is not TOML: {error}") from None
    except RecursionError:
        raise FittingroomError(f"{where} is nested too deep to be read") from None


def parse(kind: type[T], tree: Any, where: str, see: str, place: str = "") -> T:
    """`tree`, which stands at `place` of a recipe, as a `kind`, strictly. All faults in one error, each with its path."""
    try:  # by way of JSON, where a strict model takes arrays as tuples and nothing else is converted
        return kind.model_validate_json(json.dumps(tree, default=str))
    except ValidationError as error:
        # pydantic calls a list too short when its entries were faulty, which are told anyway
        told = [
            e for e in error.errors() if not (e["type"] == "too_short" and len(e["input"]) >= e["ctx"]["min_length"])
        ]
        found = [_fault(kind, tree, e) for e in told]
        lines = [f"  {path or 'recipe'}: {fault}" for path, fault in found]
        faults: dict[str, str] = {}
        for path, fault in found:
            whole = ".".join(filter(None, (place, path)))
            faults[whole] = f"{faults[whole]}; {fault}" if whole in faults else fault
        message = "\n".join([f"{where}: {_count(len(found), 'fault')} (see: {see})", *lines])
        raise FittingroomError(message, faults) from None


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _fault(kind: type[BaseModel], tree: Any, error: Any) -> tuple[str, str]:
    """One pydantic error: its path, and in words what was found and what would be right."""
    keys = _plain_path(tree, error["loc"])
    return ".".join(map(str, keys)), _in_words(kind, tree, keys, error)


def _in_words(kind: type[BaseModel], tree: Any, keys: list[str | int], error: Any) -> str:
    context = error.get("ctx", {})
    found = error["input"]
    shown = f"{found!r} " if isinstance(found, str | int | float | bool) else ""
    match error["type"]:
        case "extra_forbidden":
            return "no such key" + _like(str(keys[-1]), _known_keys(kind, tree, keys[:-1]))
        case "missing":
            return "missing"
        case "value_error":
            return str(context["error"])
        case "layer_kind":
            return str(error["msg"]) + (
                _like(str(next(iter(found))), LAYER_KINDS) if isinstance(found, dict) and found else ""
            )
        case "literal_error":
            return f"{shown}must be {context['expected']}" + _like(
                str(found), re.findall(r"'(\w+)'", context["expected"])
            )
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            sign = {"greater_than": ">", "greater_than_equal": "≥", "less_than": "<", "less_than_equal": "≤"}
            return f"{shown}must be {sign[error['type']]} {next(iter(context.values())):g}"
        case _:
            return f"{shown}{error['msg'].replace('Input should', 'must')}"


def _plain_path(tree: Any, loc: tuple[str | int, ...]) -> list[str | int]:
    """Pydantic's location without what is no key of the user's file: the name of a union's member behind an index."""
    path: list[str | int] = []
    for i, part in enumerate(loc):
        behind_index = i > 0 and isinstance(loc[i - 1], int)
        is_layer = isinstance(tree, dict) and any(kind in tree for kind in LAYER_KINDS)
        if behind_index and i < len(loc) - 1 and (is_layer or not (isinstance(tree, dict) and part in tree)):
            continue
        path.append(part)
        tree = tree.get(part) if isinstance(tree, dict) else tree[part] if _indexes(tree, part) else None
    return path


def _indexes(tree: Any, part: Any) -> bool:
    return isinstance(tree, list | tuple) and isinstance(part, int) and part < len(tree)


def _known_keys(kind: type[BaseModel], tree: Any, keys: list[str | int]) -> list[str]:
    """The keys that a table at path `keys` may have, as far as that can be told."""
    here: type[BaseModel] | None = kind
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else tree[key] if _indexes(tree, key) else None
        if isinstance(key, int):
            here = next((LAYER_KINDS[k] for k in LAYER_KINDS if isinstance(tree, dict) and k in tree), here)
        elif here is not None and key in here.model_fields:
            annotation = here.model_fields[key].annotation
            inner = [annotation, *get_args(annotation), *(x for a in get_args(annotation) for x in get_args(a))]
            here = next((t for t in inner if isinstance(t, type) and issubclass(t, BaseModel)), None)
    return list(here.model_fields) if here else []


def _like(name: str, known: Any) -> str:
    like = nearest(name, known)
    return f'; nearest: "{like}"' if like else ""
