"""One HTML page about corrupted images: `fittingroom stress`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fittingroom.report import charts
from fittingroom.report.gather import Story
from fittingroom.report.pictures import data_uri, png_bytes, sheet
from fittingroom.report.render import both_modes, render
from fittingroom.report.tables import robust_tables, weakest_words
from fittingroom.store.atomic import write


def write_stress_page(story: Story, kinds: list[str], examples: np.ndarray, path: Path) -> Path:
    """Write the page about a story whose runs were all stressed; `examples` (kinds, severities, images, C, H, W) uint8."""
    assert story.robust
    rows, pairs = story.robust
    weak = [
        f"{row.recipe} gets {100 * row.clean:.1f} % of clean images right and falls furthest under {weakest_words(row)}."
        for row in rows
    ]
    shown = [
        {
            "kind": kind,
            "image": data_uri(png_bytes(sheet(of_kind.swapaxes(0, 1).reshape(-1, *of_kind.shape[2:]), len(of_kind)))),
        }
        for kind, of_kind in zip(kinds, examples, strict=True)
    ]
    html = render(
        "stress_page.html",
        about=f"stress {story.data.name}",
        title=story.data.title,
        robust=robust_tables(rows, pairs),
        weak=weak,
        chart=both_modes(lambda dark: charts.robustness(story)),
        examples=shown,
    )
    write(path, html)
    return path
