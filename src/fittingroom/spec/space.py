"""Search spaces as data: which parts of a recipe may take which values.

[space]
"optimizer.lr" = "log(1e-4, 1e-1)"
"model.layers.0.conv" = "choice(32, 64, 128)"
"model.layers.0.kernel & model.layers.3.kernel" = "choice(3, 5)"
"train.batch_size" = "int(32, 512, log)"
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fittingroom.spec.errors import FittingroomError, nearest

EXAMPLES = "log(1e-4, 1e-1), uniform(0, 0.5), int(1, 8), int(32, 512, log), choice(32, 64)"
KINDS = ("choice", "uniform", "log", "int")


@dataclass(frozen=True)
class Choice:
    """One of these values; each may be any TOML value, a list of layers too."""

    values: tuple[Any, ...]

    def labels(self) -> tuple[str, ...]:
        """The values as text, for storages that keep plain values only; equal values have equal text."""
        return tuple(json.dumps(value, sort_keys=True) for value in self.values)


@dataclass(frozen=True)
class Range:
    """A number between `low` and `high`, both included."""

    low: float
    high: float
    whole: bool
    log: bool

    def holds(self, value: Any) -> bool:
        """Whether `value` is one of these numbers."""
        kinds = int if self.whole else int | float
        return isinstance(value, kinds) and not isinstance(value, bool) and self.low <= value <= self.high


Dimension = Choice | Range
Space = Mapping[str, Dimension]


def is_dimension(text: str) -> bool:
    """Whether `text` means a dimension rather than a value.

    >>> is_dimension("log(1e-4, 1e-1)"), is_dimension("adam")
    (True, False)
    """
    return re.match(r"\s*\w+\s*\(", text) is not None


def parse_dimension(path: str, text: str) -> Dimension:
    """A dimension from its text. Raises `FittingroomError` that says what is wrong with it.

    >>> parse_dimension("train.batch_size", "int(32, 512, log)")
    Range(low=32, high=512, whole=True, log=True)
    >>> parse_dimension("optimizer.kind", "choice(adam, sgd)").values
    ('adam', 'sgd')
    """
    found = re.fullmatch(r"\s*(\w+)\s*\((.*)\)\s*", text, re.DOTALL)
    kind = found.group(1) if found else ""
    if not found or kind not in KINDS:
        like = nearest(kind, KINDS) if kind else None
        hint = f'; nearest: "{like}"' if like else ""
        raise FittingroomError.at(path, f'"{text}" is no space{hint}; for example: {EXAMPLES}')
    values = _values(found.group(2), path, text)
    if kind == "choice":
        if len(values) < 2:
            raise FittingroomError.at(path, f"{text} leaves no choice; give two values or more")
        if not all(isinstance(v, int | float | str | bool | dict | list) for v in values):
            raise FittingroomError.at(path, f"{text} names something that no recipe takes, a date perhaps")
        choice = Choice(tuple(values))
        if len(set(choice.labels())) < len(values):
            raise FittingroomError.at(path, f"{text} names a value twice")
        return choice
    log = kind == "log" or values[2:] == ["log"]
    numbers = values[:2] if values[2:] in ([], ["log"]) else values
    if len(numbers) != 2 or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in numbers):
        raise FittingroomError.at(path, f"{text} takes a least and a largest number; for example: {EXAMPLES}")
    low, high = numbers
    if not low < high or (log and low <= 0) or not all(abs(v) < float("inf") for v in numbers):
        above = ", both above 0" if log else ""
        raise FittingroomError.at(path, f"{text} must rise from a least to a larger number{above}")
    whole = kind == "int"
    if whole and not all(isinstance(v, int) for v in numbers):
        raise FittingroomError.at(path, f"{text} takes whole numbers")
    return Range(low, high, whole, log)


def parse_space(tree: Mapping[str, Any], where: str) -> dict[str, Dimension]:
    """A space from plain data: paths and texts. Raises `FittingroomError` with every fault.

    >>> list(parse_space({"optimizer.lr": "log(1e-4, 1e-1)"}, "mine.toml"))
    ['optimizer.lr']
    """
    found: dict[str, Dimension] = {}
    faults: dict[str, str] = {}
    for path, text in tree.items():
        try:
            if not isinstance(text, str):
                raise FittingroomError.at(path, 'give the space as text, for example "log(1e-4, 1e-1)"')
            found[path] = parse_dimension(path, text)
        except FittingroomError as error:
            faults |= error.faults
    if faults:
        lines = [f"  {path}: {fault}" for path, fault in faults.items()]
        raise FittingroomError("\n".join([f"{where}: {len(faults)} fault{'s' * (len(faults) > 1)}", *lines]), faults)
    return found


def as_words(path: str, value: Any) -> list[str]:
    """A value of a dimension as overrides: one for each of the places that `path` joins with "&".

    >>> as_words("model.layers.0.kernel & model.layers.3.kernel", 5)
    ['model.layers.0.kernel=5', 'model.layers.3.kernel=5']
    >>> as_words("model.layers.4", {"repeat": 2, "layers": [{"dense": 64}, {"act": "relu"}]})
    ['model.layers.4={ repeat = 2, layers = [{ dense = 64 }, { act = "relu" }] }']
    """
    return [f"{place.strip()}={_toml(value)}" for place in path.split("&")]


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        keys = {key: key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml(key) for key in value}
        return "{ " + ", ".join(f"{keys[key]} = {_toml(v)}" for key, v in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):  # TOML allows no DEL in a string, JSON does
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)


def _values(inside: str, path: str, text: str) -> list[Any]:
    """What stands between the brackets: TOML values, or bare words."""
    try:
        return list(tomllib.loads(f"x = [{inside}]")["x"])
    except tomllib.TOMLDecodeError:
        pass
    words = [word.strip() for word in inside.split(",")]
    try:
        return [tomllib.loads(f"x = {w}")["x"] if re.match(r"[-+.\d\"'\[{]|true$|false$", w) else w for w in words]
    except tomllib.TOMLDecodeError:
        raise FittingroomError.at(path, f"cannot read the values of {text}; for example: {EXAMPLES}") from None
