"""Answers, tables and structured output for people and machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from fittingroom.report.rows import numeric
from fittingroom.spec.printable import for_terminal

if TYPE_CHECKING:
    from fittingroom.report.answer import Answer

PIPED = 240  # columns of a table that nobody looks at in a terminal


def answer(found: Answer) -> None:
    """Print an answer: its tables and its sentences, at once."""
    for lines in found.tables:
        if lines[1:]:
            table(*lines)
            print()
    screen = console()
    words = for_terminal("\n".join(found.sentences))
    if screen.is_terminal and found.heading:
        screen.print(Panel(Text(words), title=found.heading, title_align="left", border_style="green"))
    else:
        print(f"{found.heading}: {words}" if found.heading else words)
    sys.stdout.flush()


def files(found: Answer, report: Path) -> None:
    """Print where there is more of an answer."""
    where: Mapping[str, object] = {"study": found.study, **found.files, "report": report}
    for name, place in where.items():
        if place:
            print(for_terminal(f"{name}: {place}"))


def console() -> Console:
    return Console(highlight=False)


def table(head: Sequence[str], *lines: Sequence[str]) -> None:
    """Print a table: words stand left, numbers right. A narrow terminal gets two instead of torn cells; a pipe all columns."""
    screen = console()
    if not screen.is_terminal:
        screen = Console(highlight=False, width=PIPED)
    rows = [[for_terminal(cell) for cell in line] for line in (head, *lines)]
    if text := _plain(rows, screen.width):
        screen.print(Text(text[0], "bold"), soft_wrap=True)
        if text[1]:
            print(text[1])
        return
    whole = _table(rows)
    most = 7  # columns of the first half
    if screen.is_terminal and len(head) > most and screen.measure(whole).maximum > screen.width:
        screen.print(_table([row[:most] for row in rows]))
        whole = _table([[row[0], *row[most:]] for row in rows])
    screen.print(whole)


def _plain(rows: Sequence[Sequence[str]], width: int) -> tuple[str, str] | None:
    """The head of a table and the rest of it as text; None if it is too wide. Of a thousand lines Rich makes a second's work."""
    sizes = [[cell_len(cell) for cell in row] for row in rows]
    widths = [max(column) for column in zip(*sizes, strict=True)]
    if sum(widths) + 2 * (len(widths) - 1) > width or any("\n" in cell for row in rows for cell in row):
        return None
    right = numeric(rows)
    text = [
        "  ".join(
            " " * (full - size) + cell if number else cell + " " * (full - size)
            for cell, size, full, number in zip(row, of_row, widths, right, strict=True)
        ).rstrip()
        for row, of_row in zip(rows, sizes, strict=True)
    ]
    return text[0], "\n".join(text[1:])


def _table(rows: Sequence[Sequence[str]]) -> Table:
    head, *lines = rows
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name, numbers in zip(head, numeric(rows), strict=True):
        shown.add_column(name, justify="right" if numbers else "left", overflow="fold")
    for line in lines:
        shown.add_row(*(Text(cell) for cell in line))
    return shown


def as_json(content: Any) -> None:
    """Exactly one JSON object on standard output."""
    spelled_out = "utf" not in (sys.stdout.encoding or "utf").lower()  # as JSON spells it, not as Python would
    sys.stdout.write(json.dumps(content, ensure_ascii=spelled_out, allow_nan=False) + "\n")
