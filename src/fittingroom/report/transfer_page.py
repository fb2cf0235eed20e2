"""One HTML page about starting from trained weights: `fittingroom transfer`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fittingroom.metrics.transfer import Step, cells, sentences
from fittingroom.report import charts
from fittingroom.report.answer import Answer, Table
from fittingroom.report.render import both_modes, render
from fittingroom.report.theme import Draw
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
        chart=both_modes(lambda: charts.transfer(steps)),
        seeds=f"{seeds} seeds" if seeds > 1 else "one seed",
    )
    write(path, html)
    return path


@dataclass(frozen=True, repr=False, eq=False)
class Transferred(Answer):
    """The two ways with more and more training images, the fewest first."""

    steps: Sequence[Step]
    source: str  # whose weights
    dataset: str
    page: Path
    study: str = ""

    @property
    def sentences(self) -> list[str]:
        return sentences(self.steps)

    @property
    def table(self) -> Table:
        return cells(self.steps)

    def json(self) -> dict[str, Any]:
        return {"steps": [s.model_dump(mode="json") for s in self.steps]}

    def _write(self, path: Path) -> None:
        write_transfer_page(self.steps, self.source, self.dataset, path)

    def _draw(self) -> Iterator[tuple[str, Draw]]:
        yield "transfer", lambda: charts.transfer(self.steps)
