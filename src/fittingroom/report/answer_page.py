"""One HTML page of sentences and tables, for answers that have no page of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fittingroom.report.render import render
from fittingroom.store.atomic import write


def write_answer_page(
    command: str, title: str, sentences: Sequence[str], tables: Sequence[Sequence[Sequence[str]]], path: Path
) -> None:
    """Write what the command `fittingroom COMMAND` found."""
    write(
        path,
        render("answer_page.html", about=command, command=command, title=title, sentences=sentences, tables=tables),
    )
