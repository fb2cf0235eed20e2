"""Comparisons in memory: made anew when their runs change, and honest about figures that cannot be drawn."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from planned import plan
from trained import trained
from ui.asking import asked
from waiting import until

from fittingroom.data import load
from fittingroom.spec.read import read_recipe
from fittingroom.store import Runs
from fittingroom.study.execute import execute
from fittingroom.ui import stories as room
from fittingroom.ui.opaque import opaque
from fittingroom.ui.stories import Stories


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """One run with a test score, and one without."""
    runs = Runs(tmp_path_factory.mktemp("runs"))
    trained(runs, "readme-004-mlp", "train.epochs=1", "data.limit=600")
    recipe = read_recipe("readme-004-cnn", ["train.epochs=1", "data.limit=600"])
    execute(plan(recipe, load("fashion-mnist"), 0, "cpu", 1, False, runs), runs)
    return runs


def page_of(client: httpx.Client, path: str, text: str) -> str:
    """A page, once the index has read enough for `text` to be in it."""
    return until(lambda: found if text in (found := client.get(path).text) else "")


def test_figures_that_cannot_be_drawn_are_told_once(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page says why, and does not reload for ever."""

    def broken(*_: object) -> None:
        raise RuntimeError("no <pen> here")

    monkeypatch.setattr(room, "report_context", broken)
    scored = next(run for run in runs.list() if run.metrics.test)
    story = Stories(runs).of([scored])
    assert story.context(30) is None and story.failed == "RuntimeError: no <pen> here"
    with asked(runs.path) as client:
        page_of(client, "/", scored.recipe.name)
        text = client.get(f"/compare?run={opaque(scored.name)}").text
    assert "no &lt;pen&gt; here" in text and "data-again" not in text and "being drawn" not in text


def test_what_stress_found_is_seen(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A comparison is kept until a file that it is made of is written again."""
    monkeypatch.setattr(room, "gather", lambda folders, runs, question: [])
    scored = [run for run in runs.list() if run.metrics.test]
    stories = Stories(runs)
    first = stories.of(scored)
    assert stories.of(scored) is first
    file = scored[0].path / "stress.npz"
    scored[0].write_npz("stress", {})
    try:
        assert stories.of(scored) is not first
    finally:
        file.unlink()


def test_a_page_waits_only_for_what_trains(runs: Runs, tmp_path: Path) -> None:
    """A run that will never have a test score is told so; while one trains, its line is live, and its end reloads."""
    scored, other = sorted(runs.list(), key=lambda run: run.metrics.test is None)
    with asked(runs.path) as client:
        page_of(client, "/", other.recipe.name)
        page_of(client, f"/runs/{opaque(scored.name)}", "Report")
        assert "Report" not in client.get(f"/runs/{opaque(other.name)}").text
        text = client.get(f"/compare?run={opaque(other.name)}").text
        assert "no test score" in text and "data-live" not in text and "data-again" not in text
        (other.path / "DONE").rename(tmp_path / "DONE")
        (other.path / "checkpoint.safetensors").touch()
        try:
            with other.lock():  # as its training does
                chosen = f"run={opaque(scored.name)}&run={opaque(other.name)}"
                text = page_of(client, f"/compare?{chosen}", "1 of 1 epochs")
                found = re.search(r'data-live="([^"]+)"', text)
                assert found and "verdict" in text
                live = found[1].replace("&amp;", "&")
                assert "data-reload" not in client.get(live).text and "data-reload" in client.get(f"{live}0").text
        finally:
            (tmp_path / "DONE").rename(other.path / "DONE")
