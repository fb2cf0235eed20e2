"""Accuracies as a paper, a README or a table reports them, with nothing behind them: “92.68 vs 91.65 on 10,000”."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.parse import parse, read_toml
from fittingroom.spec.recipe import Strict
from fittingroom.spec.records import Record

EXAMPLE = '"CNN 92.68 vs MLP 91.65 on 10000"'
MOST_IMAGES = 10**9
NUMBER = r"\d+(?:\.\d+)?|\.\d+"
FIGURE = re.compile(
    rf"^(?P<name>|.*?[\s:=(])(?P<value>{NUMBER}) *(?P<percent>%)? *(?:(?:±|\+[/-]+) *(?P<sd>{NUMBER}) *(?P<percent_sd>%)?)?"
    r"(?: *(?:accuracy|(?P<error>errors?(?: rate)?)))? *\)?$"
)
TAIL = re.compile(
    r"^(?P<figures>.*?),? +on +(?P<on>\d{1,3}(?: \d{3})+|[\w.,-]+?)(?: +(?:test )?(?:images|pictures|examples|samples))?"
    r"(?:,? +(?:over|means? (?:of|over)) +(?P<runs>\d+) +(?:runs|seeds))?$"
)
BETWEEN = re.compile(  # behind a figure: names may hold commas
    r"(?:(?<=[\d%)])|(?<=error)|(?<=errors)|(?<=rate)|(?<=accuracy))(?: +(?:vs\.?|versus|against) +| *> *| *[;,] +)"
)
NO_NAME = re.compile(
    r"%|±|\b(?:vs|versus|against|errors?|accuracy)\b"
)  # what stands there was meant for something else


class Figure(Record):
    """One reported accuracy."""

    name: str  # of the model; "" where none is given
    accuracy: float  # a fraction
    rounding: float  # half a step of the last digit that is reported
    sd: float | None = None  # of the scores between runs, where it is reported

    def __str__(self) -> str:
        digits = min(4, max(0, round(-math.log10(200 * self.rounding)))) if self.rounding else 4
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
    told, runs = found["figures"], int(found["runs"] or 1)
    read = [part for word in BETWEEN.sub("\n", told).split("\n") if (part := FIGURE.match(word))]
    if len(read) != 1 + len(BETWEEN.findall(told)) or any(NO_NAME.search(part["name"]) for part in read):
        raise FittingroomError(f"“{told}” is no list of figures; write it like {EXAMPLE}, “error” behind error rates")
    if runs < 1 or (any(part["sd"] for part in read) and not found["runs"]):
        raise FittingroomError(
            f"“{text}”: of how many runs is it the mean, and ± the spread? write “… over 5 runs” at its end"
        )
    percent, error = _is_percent(read, told), _is_error(read)
    figures = [_figure(part, percent, error) for part in read]
    ranked = sorted(figures, key=lambda f: -f.accuracy)
    if ">" in told and ranked != figures and not error:
        raise FittingroomError(f"“{told}” says of the smaller figure that it is the larger one")
    return Reported(
        id=id, text=words, source=source, figures=tuple(ranked), on=_number_of_images(found["on"]), runs=runs
    )


def _is_percent(read: Sequence[re.Match[str]], told: str) -> bool:
    """Whether figures are percent, and not fractions. Raises `FittingroomError` where they are not written alike."""
    signs, above = any(p["percent"] or p["percent_sd"] for p in read), [float(p["value"]) > 1 for p in read]
    if not signs and any(above) and not all(above):
        raise FittingroomError(f"“{told}”: percent or fractions? write all of them with %")
    whole = [not (p["percent"] or "." in p["value"]) for p in read]
    if any(whole) and any("." in p["value"] for p in read):
        odd = read[whole.index(True)][0].strip()
        raise FittingroomError(f"“{odd}”: is that a figure? others have decimals; write {odd}.0, or name it otherwise")
    return signs or any(above)


def _is_error(read: Sequence[re.Match[str]]) -> bool:
    """Whether figures are error rates: "error" stands behind each, or behind the last. Raises `FittingroomError` otherwise."""
    errors = [bool(p["error"]) for p in read]
    if any(errors[:-1]) and not all(errors):
        raise FittingroomError(
            "some figures are error rates and some are not; write “error” behind the last, or behind all"
        )
    return errors[-1]


def _figure(part: re.Match[str], percent: bool, error: bool) -> Figure:
    """One figure from its signs. Raises `FittingroomError` for what is no accuracy."""
    scale = 100.0 if percent else 1.0
    value, sd = float(part["value"]) / scale, float(part["sd"]) / scale if part["sd"] else None
    if not 0 <= value <= 1:
        raise FittingroomError(f"{part['value']} is no accuracy; give percent (0 to 100) or fractions (0 to 1)")
    rounding = 0.5 * 10.0 ** -len(part["value"].partition(".")[2]) / scale
    accuracy = round(1 - value if error else value, 10)
    return Figure(name=part["name"].strip(" :=("), accuracy=accuracy, rounding=rounding, sd=sd)


def _number_of_images(word: str) -> str:
    plain = re.sub(r"(?<=\d)[,_ ](?=\d{3}\b)", "", word)
    if plain.isdecimal() and not 2 <= int(plain) <= MOST_IMAGES:
        raise FittingroomError(f"on {word[:20]}: give the number of test images")
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
            read.append(reported(entry.figures, entry.id or f"{path.stem} {number + 1}", entry.source, entry.text))
        except FittingroomError as error:
            raise FittingroomError(f"{path}: claims.{number}.figures: {error}") from None
    return read
