"""One HTML page about corrupted images: `fittingroom stress`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fittingroom.metrics.story import Story
from fittingroom.report import charts
from fittingroom.report.pictures import data_uri, png_bytes, sheet
from fittingroom.report.render import both_modes, render
from fittingroom.report.tables import robust_tables, weakest_words
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
        "chart": both_modes(lambda dark: charts.robustness(story)),
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
