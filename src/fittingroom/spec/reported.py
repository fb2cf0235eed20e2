"""Accuracies as a paper, a README or a table reports them, with nothing behind them: “92.68 vs 91.65 on 10,000”."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.parse import parse, read_toml
from fittingroom.spec.recipe import Strict
from fittingroom.spec.records import Record

EXAMPLE = '"CNN 92.68 vs MLP 91.65 on 10000"'
NUMBER = r"\d+(?:\.\d+)?|\.\d+"
FIGURE = re.compile(
    rf"^(?P<name>|.*?[\s:=(])(?P<value>{NUMBER}) *(?P<percent>%)? *(?:(?:±|\+[/-]+) *(?P<sd>{NUMBER}) *%?)?$"
)
TAIL = re.compile(
    r"^(?P<figures>.*?)(?P<error> *\berrors?(?: rates?)?)? +on +(?P<on>[\w.,-]+?)(?: +(?:test )?images)?"
    r"(?:,? +(?:over|mean of) +(?P<runs>\d+) +(?:runs|seeds))?$"
)
BETWEEN = re.compile(
    r"(?<=[\d%])(?: +(?:vs\.?|versus|against|and) +| *> *| *[;,] +)"
)  # behind a figure: names may hold them, too


class Figure(Record):
    """One reported accuracy."""

    name: str  # of the model; "" where none is given
    accuracy: float  # a fraction
    rounding: float  # half a step of the last digit that is reported
    sd: float | None = None  # of the scores between runs, where it is reported

    def __str__(self) -> str:
        digits = max(0, len(f"{200 * self.rounding:.10f}".rstrip("0").partition(".")[2]))
        return f"{self.name} {100 * self.accuracy:.{digits}f} %".strip()


class Reported(Record):
    """What is reported together, the best first: that order is the claim."""

    id: str
    text: str
    source: str = ""
    figures: tuple[Figure, ...]
    on: str  # how many test images, or the data set whose test images they are
    runs: int = 1  # of which each figure is the mean


class _Entry(Strict):
    """A claim in a file of its own, without a recipe."""

    id: str = Field(default="", description="a short name")
    text: str = Field(default="", description="the claim in words")
    source: str = Field(default="", description="where it is stated")
    figures: Annotated[str, StringConstraints(min_length=1)] = Field(description=f"as in {EXAMPLE}")


class _File(Strict):
    claims: Annotated[tuple[_Entry, ...], Field(min_length=1)]


def reported(text: str, id: str = "", source: str = "", words: str = "") -> Reported:
    """Figures, how many test images they are of, and over how many runs: what a sentence like the example says.

    Accuracies in percent or as fractions; "error" behind them makes them error rates. Raises `FittingroomError`.

    >>> one = reported("CNN 92.68 vs MLP 91.65 on 10,000 over 3 runs")
    >>> [str(f) for f in one.figures], one.on, one.runs
    (['CNN 92.68 %', 'MLP 91.65 %'], '10000', 3)
    >>> [round(f.accuracy, 4) for f in reported("0.23 % vs 0.35 % error on mnist").figures]
    [0.9977, 0.9965]
    """
    found = TAIL.match(" ".join(text.split()))
    if not found:
        raise FittingroomError(f"“{text}” names no test set; write it like {EXAMPLE}, or “… on mnist”")
    parts = [FIGURE.match(part) for part in BETWEEN.sub("\n", found["figures"]).split("\n")]
    if not all(parts):
        raise FittingroomError(f"“{found['figures']}” is no list of figures; write it like {EXAMPLE}")
    read = [part for part in parts if part]
    percent = any(part["percent"] or float(part["value"]) > 1 for part in read)
    figures = [_figure(part, percent, bool(found["error"])) for part in read]
    ranked = sorted(figures, key=lambda f: -f.accuracy)
    if ">" in found["figures"] and ranked != figures and not found["error"]:
        raise FittingroomError(f"“{found['figures']}” says of the smaller figure that it is the larger one")
    return Reported(
        id=id,
        text=words,
        source=source,
        figures=tuple(ranked),
        on=_number_of_images(found["on"]),
        runs=int(found["runs"] or 1),
    )


def _figure(part: re.Match[str], percent: bool, error: bool) -> Figure:
    """One figure from its signs. Raises `FittingroomError` for what is no accuracy."""
    scale = 100.0 if percent else 1.0
    value, sd = float(part["value"]) / scale, float(part["sd"]) / scale if part["sd"] else None
    if not 0 <= value <= 1:
        raise FittingroomError(f"{part['value']} is no accuracy; give percent (0 to 100) or fractions (0 to 1)")
    rounding = 0.5 * 10.0 ** -len(part["value"].partition(".")[2]) / scale
    name = part["name"].strip(" :=(")
    return Figure(name=name, accuracy=round(1 - value if error else value, 10), rounding=rounding, sd=sd)


def _number_of_images(word: str) -> str:
    plain = re.sub(r"(?<=\d)[,_](?=\d{3}\b)", "", word)
    if plain.isdecimal() and int(plain) < 2:
        raise FittingroomError(f"on {word}: give the number of test images")
    return plain


def is_reported(path: Path) -> bool:
    """Whether a file holds claims that are figures. Raises `FittingroomError` for one that cannot be read."""
    claims = read_toml(path).get("claims")
    return isinstance(claims, list) and any(isinstance(one, dict) and "figures" in one for one in claims)


def read_reported(path: Path) -> list[Reported]:
    """The `[[claims]]` of a file that holds nothing else, each with its `figures`. Raises `FittingroomError`."""
    found = parse(_File, read_toml(path), str(path), "docs/replicate-a-readme.md")
    read = []
    for number, entry in enumerate(found.claims):
        try:
            read.append(reported(entry.figures, entry.id or str(number + 1), entry.source, entry.text))
        except FittingroomError as error:
            raise FittingroomError(f"{path}: claims.{number}.figures: {error}") from None
    return read
