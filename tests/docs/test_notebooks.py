"""The notebooks run, and each lesson shows what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest


def _best_of_many_looks(figures: list[float]) -> None:
    looked, once = figures
    assert looked > once + 2


def _most_of_a_lead_is_lost(figures: list[float]) -> None:
    lead, kept = figures
    assert kept < lead


def _a_winner_changes_or_the_figures_are_close(figures: list[float]) -> None:
    assert all(abs(ahead) < 5 for ahead in figures) and len(figures) == 5


def _nothing_is_known_once_groups_are_named(figures: list[float]) -> None:
    careless, honest = figures
    assert careless > 80 > 75 > honest


def _accuracy_hides_the_defects(figures: list[float]) -> None:
    accuracy, sensitivity = figures[0], figures[1]
    assert accuracy > sensitivity + 5


FIGURES = {  # of each lesson's output, those that its message rests on
    "lesson-1-peeking": r"(?:20 looks|no say): ([0-9.]+) %",
    "lesson-2-the-best-seed": r"leads by ([0-9.]+) points",
    "lesson-3-two-numbers": r"ahead by ([0-9.]+)",
    "lesson-4-a-split-that-leaks": r"readme-004-mlp gets ([0-9.]+) ±",
    "lesson-5-a-hidden-class": r"(?:accuracy|sensitivity) for “defect” of ([0-9.]+)",
}
LESSONS = {
    "lesson-1-peeking": _best_of_many_looks,
    "lesson-2-the-best-seed": _most_of_a_lead_is_lost,
    "lesson-3-two-numbers": _a_winner_changes_or_the_figures_are_close,
    "lesson-4-a-split-that-leaks": _nothing_is_known_once_groups_are_named,
    "lesson-5-a-hidden-class": _accuracy_hides_the_defects,
}


@pytest.mark.slow
@pytest.mark.main_job
@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "docs/notebooks").glob("*.ipynb")), ids=lambda p: p.stem
)
def test_the_notebooks_run(path: Path, tmp_path: Path) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    book = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(book, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [out for cell in book.cells if cell.cell_type == "code" for out in cell.outputs]
    assert not [out for out in shown if out.output_type == "error" or out.get("name") == "stderr"]
    assert any("image/svg+xml" in out.get("data", {}) for out in shown)
    if path.stem in LESSONS:
        text = "\n".join(out.get("text", "") + out.get("data", {}).get("text/plain", "") for out in shown)
        LESSONS[path.stem]([float(figure) for figure in re.findall(FIGURES[path.stem], text)])
