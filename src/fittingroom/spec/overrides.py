"""The one parser of `key=value` words: `optimizer.lr=3e-3 train.epochs=5 model.layers.0.conv=64`."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Sequence
from typing import Any

from fittingroom.spec.errors import FittingroomError


def names_and_changes(words: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """Names of things, and KEY=VALUE overrides, from words that may come in any order.

    >>> names_and_changes(["readme-004-mlp", "train.epochs=3"])
    (['readme-004-mlp'], ['train.epochs=3'])
    """
    given = words or []
    return [word for word in given if "=" not in word], [word for word in given if "=" in word]


def parse_value(text: str) -> Any:
    """A TOML value where `text` is one, else the text itself.

    >>> parse_value("3e-3"), parse_value("true"), parse_value("adamw"), parse_value('[{flatten = true}]')
    (0.003, True, 'adamw', [{'flatten': True}])
    """
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, KeyError, RecursionError):  # the last: brackets by the hundred
        return text


def apply_overrides(tree: dict[str, Any], words: list[str]) -> dict[str, Any]:
    """A copy of `tree` in which each `path=value` of `words` is set; a number in a path indexes a list.

    Raises `FittingroomError` for a word without `=` and for a list index that is not there. Whether the key exists is
    checked later, with the whole recipe, so that all faults come at once.

    >>> apply_overrides({"train": {"epochs": 9}}, ["train.epochs=5", "optimizer.lr=0.1"])
    {'train': {'epochs': 5}, 'optimizer': {'lr': 0.1}}
    """
    tree = copy.deepcopy(tree)
    for word in words:
        path, equals, text = word.partition("=")
        if not equals or not path.strip():
            raise FittingroomError(f'"{word}" is not key=value; for example: train.epochs=5 optimizer.lr=3e-3')
        keys = path.strip().split(".")
        node: Any = tree
        for depth, key in enumerate(keys):
            here = ".".join(keys[:depth]) or "recipe"
            try:
                slot = _slot(node, key, here)
            except ValueError as error:
                raise FittingroomError(f"{word}: {error}", {path.strip(): str(error)}) from None
            if depth == len(keys) - 1:
                node[slot] = parse_value(text.strip())
            elif isinstance(node, dict):
                node = node.setdefault(slot, {})
            else:
                node = node[slot]
    return tree


def _slot(node: Any, key: str, here: str) -> str | int:
    """The dict key or list index that `key` means inside `node`, which stands at path `here`; `ValueError` if none."""
    if isinstance(node, dict):
        return key
    if not isinstance(node, list):
        raise ValueError(f"{here} is {node!r}, which has no parts; set {here}=… itself")
    if not (key.isdecimal() and int(key) < len(node)):
        raise ValueError(f"{here} has {len(node)} entries, 0 to {len(node) - 1}; got {key!r}")
    return int(key)
