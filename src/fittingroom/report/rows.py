"""Tables as a notebook and a terminal show them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from fittingroom.spec.errors import need


class Rows(list[dict[str, Any]]):
    """A tidy table: a list of rows, each by column. It shows itself in a notebook; `frame()` makes a pandas table of it.

    >>> Rows([{"a": 1, "b": None}])
    a  b
    1  –
    """

    @property
    def table(self) -> list[list[str]]:
        """The rows as text, the head first."""
        head = list(dict.fromkeys(key for row in self for key in row))
        return [head, *([_text(row.get(key)) for key in head] for row in self)]

    def frame(self) -> Any:
        """The rows as a `pandas.DataFrame`. Raises `MissingExtra` without pandas."""
        need("pandas", "a pandas table", "mlflow")
        import pandas as pd

        return pd.DataFrame(list(self))

    def __repr__(self) -> str:
        widths = [max(map(len, column)) for column in zip(*self.table, strict=True)]
        lines = ("  ".join(cell.ljust(n) for cell, n in zip(line, widths, strict=True)).rstrip() for line in self.table)
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return table_html(self.table)


def _text(value: Any) -> str:
    match value:
        case None:
            return "–"
        case float():
            return f"{value:.4g}"
        case dict():
            return " ".join(f"{k}={v}" for k, v in value.items())
    return str(value)


def numeric(table: Sequence[Sequence[str]]) -> list[bool]:
    """Of each column of a table, head first, whether it holds numbers: those stand right, words left.

    >>> numeric([["recipe", "test %"], ["fast", "93.5"], ["slow", "–"]])
    [False, True]
    """
    return [all(line[i][:1] in "0123456789+-–−<" for line in table[1:]) for i in range(len(table[0]))]


def table_html(table: Sequence[Sequence[str]]) -> str:
    """A table, head first, as a notebook shows it."""
    sides = ["right" if numbers else "left" for numbers in numeric(table)]

    def row(line: Sequence[str], cell: str) -> str:
        cells = zip(line, sides, strict=True)
        return (
            "<tr>" + "".join(f'<{cell} style="text-align:{s}">{escape(text)}</{cell}>' for text, s in cells) + "</tr>"
        )

    return f"<table>{row(table[0], 'th')}{''.join(row(line, 'td') for line in table[1:])}</table>"
