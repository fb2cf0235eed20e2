"""One HTML page about corrupted images: `fittingroom stress`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from fittingroom.metrics.robustness import Robustness
from fittingroom.metrics.story import Story
from fittingroom.report import charts
from fittingroom.report.answer import Answer, Table, beginning
from fittingroom.report.pictures import data_uri, png_bytes, sheet
from fittingroom.report.render import both_modes, render
from fittingroom.report.tables import robust_tables, weakest_words
from fittingroom.report.theme import Draw
from fittingroom.store.atomic import write


def write_stress_page(
    stories: Sequence[Story], kinds: Sequence[str], examples: Sequence[np.ndarray], path: Path
) -> None:
    """Write the page about stories whose runs were all stressed; `examples` (kinds, severities, images, C, H, W) of each."""
    html = render(
        "stress_page.html",
        about="stress " + " ".join(story.data.name for story in stories),
        title=", ".join(story.data.title for story in stories),
        stories=[_context(story, kinds, harmed) for story, harmed in zip(stories, examples, strict=True)],
    )
    write(path, html)


def _context(story: Story, kinds: Sequence[str], examples: np.ndarray) -> dict[str, Any]:
    assert story.robust
    rows, pairs = story.robust
    return {
        "title": story.data.title,
        "robust": robust_tables(rows, pairs),
        "weak": [
            f"{row.recipe} gets {100 * row.clean:.1f} % of clean images right and falls furthest under {weakest_words(row)}."
            for row in rows
        ],
        "chart": both_modes(lambda: charts.robustness(story)),
        "examples": [
            {
                "kind": kind,
                "image": data_uri(
                    png_bytes(sheet(of_kind.swapaxes(0, 1).reshape(-1, *of_kind.shape[2:]), len(of_kind)))
                ),
            }
            for kind, of_kind in zip(kinds, examples, strict=True)
        ],
    }


@dataclass(frozen=True, repr=False, eq=False)
class Stressed(Answer):
    """How the runs of each data set stand corruption; `examples` are harmed images (kinds, severities, images, C, H, W)."""

    stories: Sequence[Story]
    kinds: Sequence[str]
    examples: Sequence[np.ndarray]
    page: Path

    @property
    def robust(self) -> list[Robustness]:
        """Rows and pairs, of each data set."""
        return [story.robust for story in self.stories if story.robust]

    @property
    def sentences(self) -> list[str]:
        return list(chain.from_iterable(robust_tables(*found)["sentences"] for found in self.robust))

    @property
    def table(self) -> Table:
        return self.tables[0]

    @property
    def tables(self) -> list[Table]:
        told = [robust_tables(*found) for found in self.robust]
        return [[t[f"{kind}head"], *t[rows]] for t in told for kind, rows in (("", "rows"), ("kinds_", "kinds"))]

    def json(self) -> dict[str, Any]:
        return {
            "robustness": [
                {
                    "dataset": story.data.name,
                    "rows": [r.model_dump(mode="json") for r in rows],
                    "pairs": [p.model_dump(mode="json") for p in pairs],
                }
                for story, (rows, pairs) in zip(self.stories, self.robust, strict=True)
            ]
        }

    def _write(self, path: Path) -> None:
        write_stress_page(self.stories, self.kinds, self.examples, path)

    def _draw(self) -> Iterator[tuple[str, Draw]]:
        for story in self.stories:
            yield f"{beginning(story, self.stories)}robustness", partial(charts.robustness, story)
