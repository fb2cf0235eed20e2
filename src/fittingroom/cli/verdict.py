"""How a comparison ends: a report to open, a table, and the verdict in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fittingroom.metrics.verdict import Comparison
    from fittingroom.report.gather import Story
    from fittingroom.store import Runs


def tell(
    stories: Sequence[Story],
    folder: Runs,
    path: Path,
    png: Path | None,
    as_json: bool,
    study: str = "",
) -> None:
    """Write the report to `path`, then print tables and verdicts, or the same as JSON. `study`: the name to find it by."""
    from fittingroom.cli import show
    from fittingroom.report.page import write_report

    written = write_report(stories, folder, path, png)
    if as_json:
        comparisons = [s.comparison.model_dump(mode="json") for s in stories]
        show.as_json({"comparisons": comparisons, "report": str(written), "test_reads": folder.test_reads()})
        return
    for story in stories:
        show_comparison(story.comparison)
    if study:
        print(f"study: {study}")  # the name that `report` and `stress` take
    print(f"report: {written}")


def show_comparison(comparison: Comparison) -> None:
    """Print a comparison's table and verdict."""
    from rich.panel import Panel
    from rich.text import Text

    from fittingroom.cli import show

    screen = show.console()
    head, *lines = comparison.table()
    wide = 170
    if screen.is_terminal and screen.width < wide:  # a narrow terminal gets two tables instead of torn cells
        show.table(head[:7], [line[:7] for line in lines])
        show.table([head[0], *head[7:]], [[line[0], *line[7:]] for line in lines])
    else:
        show.table(head, lines)
    screen.print()
    if screen.is_terminal:
        screen.print(
            Panel(Text("\n".join(comparison.sentences)), title="verdict", title_align="left", border_style="green")
        )
    else:
        print("verdict: " + "\n".join(comparison.sentences))
