"""One HTML page about a search: what it gained and what of that was luck, what mattered, what was tried."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fittingroom.metrics.search import Searched, shown
from fittingroom.metrics.story import Story
from fittingroom.report import tune_charts
from fittingroom.report.answer import Answer, Table
from fittingroom.report.page import figures, write_report
from fittingroom.report.render import both_modes, render
from fittingroom.report.theme import Draw
from fittingroom.spec.recipe import Recipe
from fittingroom.store import Runs
from fittingroom.store.atomic import write
from fittingroom.store.runs import safe_name

SHOWN = 12  # trials in the table


def drawings(found: Searched) -> dict[str, Draw]:
    """The figures that the search can be shown in, by name."""
    several = sum(trial.state == "complete" for trial in found.trials) > 1
    wanted: dict[str, tuple[bool, Draw]] = {
        "history": (True, lambda: tune_charts.history(found)),
        "importance": (bool(found.importance), lambda: tune_charts.importance(found.importance)),
        "slices": (several, lambda: tune_charts.slices(found)),
        "parallel": (several, lambda: tune_charts.parallel(found)),
        "pareto": (len(found.objectives) > 1, lambda: tune_charts.pareto(found)),
    }
    return {name: draw for name, (there, draw) in wanted.items() if there}


def write_tune_page(found: Searched, comparison_page: str, path: Path) -> Path:
    """Write the page; `comparison_page` is the file beside it with the full comparison on test."""
    by = found.metric
    nothing = dict.fromkeys(("history", "importance", "slices", "parallel", "pareto"))
    drawn = nothing | {name: both_modes(draw) for name, draw in drawings(found).items()}
    paths = list(found.dimensions)
    html = render(
        "tune_page.html",
        about=f"tune {found.name}",
        found=found,
        sentences=found.sentences(),
        charts=drawn,
        head=["trial", f"{found.objectives[0]}{by.unit}", *found.objectives[1:], *paths],
        rows=[
            [
                str(t.number),
                by.show(t.values[0]),
                *(f"{v:.4g}" for v in t.values[1:]),
                *(shown(t.params.get(p)) for p in paths),
            ]
            for t in found.ranked[:SHOWN]
        ],
        failed=[
            (t.number, (t.error.strip().splitlines() or ["no reason was told"])[-1])
            for t in found.trials
            if t.state == "failed"
        ],
        crashed=[t.number for t in found.trials if t.crashed],
        comparison_page=comparison_page,
    )
    write(path, html)
    return path


@dataclass(frozen=True, repr=False, eq=False)
class Tuned(Answer):
    """What the search found, the winner as a recipe file, and how it stands on test against the recipe as it was."""

    found: Searched
    story: Story
    recipe: Recipe
    recipe_file: Path
    runs: Runs
    page: Path
    optuna_study: str = ""

    @property
    def sentences(self) -> list[str]:
        return self.found.sentences()

    @property
    def table(self) -> Table:
        return self.found.comparison.table

    @property
    def files(self) -> dict[str, Path]:
        return {"recipe": self.recipe_file}

    def json(self) -> dict[str, Any]:
        return self.found.json() | {"recipe_file": str(self.recipe_file)}

    def _write(self, path: Path) -> None:
        beside = path.with_name(f"tune-{safe_name(self.found.name)}-comparison.html")
        write_report([self.story], self.runs, beside)
        write_tune_page(self.found, beside.name, path)

    def _draw(self) -> Iterator[tuple[str, Draw]]:
        yield from drawings(self.found).items()
        yield from figures(self.story)
