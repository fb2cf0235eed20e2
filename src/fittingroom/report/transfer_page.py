"""One HTML page about starting from trained weights: `fittingroom transfer`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fittingroom.metrics.transfer import Step, cells, sentences
from fittingroom.report import charts
from fittingroom.report.render import both_modes, render
from fittingroom.store.atomic import write


def write_transfer_page(steps: Sequence[Step], source: str, dataset: str, path: Path) -> Path:
    """Write the page about starting from the run `source` on `dataset`."""
    seeds = len(steps[0].scratch.seeds)
    html = render(
        "transfer_page.html",
        about=f"transfer {dataset}",
        source=source,
        dataset=dataset,
        sentences=sentences(steps),
        table=cells(steps),
        chart=both_modes(lambda dark: charts.transfer(steps)),
        seeds=f"{seeds} seeds" if seeds > 1 else "one seed",
    )
    write(path, html)
    return path
