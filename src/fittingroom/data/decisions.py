"""What a person decided about single images: a small CSV that can be read, edited, shared and undone."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

from fittingroom.data.dataset import Dataset
from fittingroom.spec.errors import FittingroomError
from fittingroom.store.atomic import write

Decision = Literal["wrong", "fine", "ambiguous"]
DECISIONS: tuple[Decision, ...] = get_args(Decision)
LEFT_OUT = ("wrong", "ambiguous")  # of training, where a recipe names the file in data.exclude
HEAD = ["data", "split", "row", "decision"]
Place = tuple[str, int]  # split, row in the split's own order (train: with validation images that came along behind it)


def read_decisions(path: Path, digest: str) -> dict[Place, Decision]:
    """The decisions about the data of this content digest; {} if there is no file. Raises `FittingroomError` for another kind.

    >>> read_decisions(Path("none.csv"), "")
    {}
    """
    found: dict[Place, Decision] = {}
    for line in _lines(path):
        if line["data"] == digest:
            found[line["split"], int(line["row"])] = next(d for d in DECISIONS if d == line["decision"])
    return found


def write_decisions(path: Path, digest: str, decisions: Mapping[Place, Decision]) -> None:
    """Replace what the file says about these data; what it says about others stays."""
    others = [[line[name] for name in HEAD] for line in _lines(path) if line["data"] != digest]
    mine = [[digest, split, str(row), decision] for (split, row), decision in sorted(decisions.items())]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([HEAD, *others, *mine])
    write(path, text.getvalue())


def excluded_rows(exclude: str | Sequence[int], data: Dataset) -> tuple[int, ...]:
    """The rows that a recipe's `data.exclude` means, in order: its own, or those of a file of decisions.

    Raises `FittingroomError` for a file that is not there or says nothing about these data, or rows that do not exist.
    """
    if isinstance(exclude, str):
        path = Path(exclude).expanduser()
        if not path.is_file():
            raise FittingroomError.at("data.exclude", f"there is no file {path}; give a file of decisions, or rows")
        decisions = read_decisions(path, data.digest)
        if not decisions:
            raise FittingroomError.at(
                "data.exclude", f"{path} says nothing about {data.name} as it is here; leave it away"
            )
        exclude = [row for (split, row), decision in decisions.items() if split == "train" and decision in LEFT_OUT]
    rows = tuple(sorted(set(exclude)))
    most = len(data.train) + (len(data.val) if data.val else 0)
    if rows and rows[-1] >= most:
        raise FittingroomError.at(
            "data.exclude", f"there is no row {rows[-1]}; {data.name} has {most:,} training images"
        )
    return tuple(row for row in rows if row < len(data.train))


def left_out(path: Path) -> int:
    """How many training images the file leaves out, of whatever data."""
    return sum(line["split"] == "train" and line["decision"] in LEFT_OUT for line in _lines(path))


def _lines(path: Path) -> list[dict[str, str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise FittingroomError(f"{path} cannot be read: {error}") from None
    lines = list(csv.DictReader(io.StringIO(text)))
    for number, line in enumerate(lines, 2):
        row, decision = line.get("row") or "", line.get("decision")
        if any(line.get(name) is None for name in HEAD) or not row.isdecimal() or decision not in DECISIONS:
            raise FittingroomError(
                f"{path}, line {number}: expected {', '.join(HEAD)} with a decision of {', '.join(DECISIONS)}"
            )
    return lines
