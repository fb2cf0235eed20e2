"""What an answer is: sentences, a table, the same as JSON, a page, figures; and it shows itself in a notebook."""

from __future__ import annotations

import csv
import io
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any, ClassVar

from fittingroom.metrics.story import Story
from fittingroom.report.rows import table_html
from fittingroom.report.theme import Draw, Figure
from fittingroom.spec.errors import FittingroomError, unknown
from fittingroom.store.atomic import write
from fittingroom.store.runs import safe_name

Table = list[list[str]]  # its head first


def beginning(story: Story, stories: Sequence[Story]) -> str:
    """What the names of a story's figures begin with: its data set, where an answer is about several."""
    return f"{safe_name(story.data.name)}-" if len(stories) > 1 else ""


class Answer(ABC):
    """What came of a question. The command line, Python, JSON and the page say the same, for they read this."""

    page: Path  # where its report goes unless told otherwise
    study: str = ""  # the name by which its runs are found again
    heading: ClassVar[str] = ""  # of its sentences

    @property
    @abstractmethod
    def sentences(self) -> Sequence[str]:
        """The answer in words."""

    @property
    @abstractmethod
    def table(self) -> Table:
        """The answer in figures: rows of text, the head first."""

    @property
    def doubts(self) -> Sequence[str]:
        """What speaks against what is stored, and is no part of the answer."""
        return ()

    @property
    def tables(self) -> Sequence[Table]:
        """All that there are."""
        return [self.table]

    @abstractmethod
    def json(self) -> dict[str, Any]:
        """The answer as plain data."""

    @abstractmethod
    def _write(self, path: Path) -> None:
        """Write the page."""

    @abstractmethod
    def _draw(self) -> Iterator[tuple[str, Draw]]:
        """Every figure by name, the most telling first."""

    def report(self, path: str | Path | None = None) -> Path:
        """Write the answer as one HTML file (by default beside the runs), and give its path."""
        path = Path(path) if path else self.page
        self._write(path)
        return path

    @cached_property
    def figures(self) -> Mapping[str, Figure]:
        """Its figures by name; each shows itself in a notebook, and `save("x.png")` writes it."""
        return {name: Figure(draw) for name, draw in self._draw()}

    @property
    def files(self) -> Mapping[str, Path]:
        """What was written besides its page, by what it is."""
        return {}

    @property
    def listing(self) -> Table:
        """The pictures that it speaks of, one a row, to work through; [] where it speaks of none."""
        return []

    def save_listing(self, path: Path) -> None:
        """Write them as a CSV. No cell is a formula to a spreadsheet, whatever files and classes are called."""
        lines = [
            [f"'{cell}" if cell.startswith(("=", "+", "-", "@")) else cell for cell in row] for row in self.listing
        ]
        text = io.StringIO(newline="")
        csv.writer(text).writerows(lines)
        write(path, text.getvalue())

    def plot(self, name: str = "") -> Figure:
        """The figure of this name, or the most telling one. Raises `FittingroomError` for a name that is none."""
        if not self.figures:
            raise FittingroomError("this answer has no figures")
        if name and name not in self.figures:
            raise unknown("figure", name, self.figures, ", ".join(self.figures))
        return self.figures[name or next(iter(self.figures))]

    def save_figures(self, folder: Path) -> None:
        """Write each figure as a PNG, for slides."""
        for name, figure in self.figures.items():
            figure.save(folder / f"{safe_name(name)}.png")

    def __repr__(self) -> str:
        return "\n".join(self.sentences)

    def _repr_html_(self) -> str:
        first, *others = map(escape, self.sentences)
        words = "<br>".join([f"<b>{first}</b>", *others])
        return f"<p>{words}</p>" + "".join(map(table_html, self.tables))
