"""Tables and structured output for people and machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


def console() -> Console:
    return Console(highlight=False)


def table(head: Sequence[str], lines: Sequence[Sequence[str]], left: int = 1) -> None:
    """Print a table whose first `left` columns are text and the others numbers. Piped, it keeps every column."""
    screen = console()
    if not screen.is_terminal:
        screen = Console(highlight=False, width=240)
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for i, name in enumerate(head):
        shown.add_column(name, justify="left" if i < left else "right", overflow="fold")
    for line in lines:
        shown.add_row(*(Text(cell) for cell in line))
    screen.print(shown)


def as_json(content: Any) -> None:
    """Exactly one JSON object on standard output."""
    sys.stdout.write(json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n")
