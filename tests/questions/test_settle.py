"""`compare --until settled` on real trainings: rounds, resumed rounds, what a report of it says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from fittingroom.metrics.verdict import Question
from fittingroom.questions.report import report
from fittingroom.questions.settle import settle
from fittingroom.report.page import Compared
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.read import read_recipe
from fittingroom.store import Runs
from fittingroom.study.progress import Progress
from fittingroom.study.workplace import Workplace

pytestmark = pytest.mark.slow

SMALL = ("train.epochs=1", "train.precision=fp32", "score.average=none")


class Heard(Progress):
    """Keeps what is said, and stops at a word."""

    def __init__(self, stop_at: str = "") -> None:
        self.lines, self.stop_at = list[str](), stop_at

    def note(self, line: str) -> None:
        self.lines.append(line)
        if self.stop_at and line.startswith(self.stop_at):
            raise KeyboardInterrupt


def asked(
    folder: Path, heard: Progress, limits: tuple[int, int], most: int = 5, minutes: float | None = None
) -> Compared:
    recipes = [
        read_recipe("readme-004-mlp", [*SMALL, f"data.limit={n}"]).model_copy(update={"name": name})
        for name, n in zip(("one", "other"), limits, strict=True)
    ]
    place = Workplace(runs=Runs(folder), device="cpu", progress=heard)
    return settle(recipes, place, question=Question(most=most), minutes=minutes)


@pytest.mark.main_job
def test_it_ends_when_it_is_clear_and_a_report_says_so_too(tmp_path: Path) -> None:
    heard = Heard()
    found = asked(tmp_path, heard, (2500, 300))
    c = found.stories[0].comparison
    assert c.pairs[0].outcome == "better" and c.looked and (c.looked.seeds, c.looked.next) == (4, None)
    assert found.study == "one-other-fashion-mnist-until-settled" and len(Runs(tmp_path).list()) == 8
    assert any(
        line.startswith("after 4 seeds on fashion-mnist: one − other +") and line.endswith("real")
        for line in heard.lines
    )
    again = report([found.study], Runs(tmp_path), Question())
    assert again.stories[0].comparison.verdict == c.verdict and "4 of at most 5" in c.verdict
    assert "fittingroom compare study.toml --until settled --most 5" in again.report(tmp_path / "page.html").read_text()
    page = again.report(tmp_path / "page.html").read_text()
    assert "within the shading (± 0.3 points)" in page and "the best of these 4 would keep" in page and "{%" not in page


def test_what_was_stopped_goes_on_and_decides_the_same(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        asked(tmp_path / "cut", Heard(stop_at="next round: 2 trainings"), (300, 310))
    assert len(Runs(tmp_path / "cut").list()) == 8
    resumed, whole = (
        asked(tmp_path / folder, Heard(), (300, 310)).stories[0].comparison for folder in ("cut", "whole")
    )
    assert resumed.pairs == whole.pairs and resumed.looked == whole.looked and resumed.looked.seeds == 5
    short = Heard()
    asked(tmp_path / "short", short, (300, 310), minutes=1e-9)
    assert len(Runs(tmp_path / "short").list()) == 8 and any("minutes are over then" in line for line in short.lines)


def test_what_cannot_be_settled_is_told_before_anything_is_trained(
    tmp_path: Path, here: Callable[..., CompletedProcess[str]]
) -> None:
    for words, told in (
        (("readme-004-mlp", "--until", "settled"), "it takes two recipes"),
        (("readme-004-mlp", "readme-004-cnn", "--until", "later"), '"settled"'),
        (("readme-004-mlp", "readme-004-cnn", "--until", "settled", "--seeds", "9"), "give the most there may be"),
        (("readme-004-mlp", "readme-004-cnn", "--minutes", "9"), "go with until settled"),
        (("readme-004-mlp", "readme-004-cnn", "--until", "settled", "--most", "0"), "the first look is after 4 seeds"),
    ):
        found = here("compare", *words, "--runs", str(tmp_path))
        assert found.returncode == 2 and told in found.stderr and "Traceback" not in found.stderr
    with pytest.raises(FittingroomError, match="readme-004-mlp would be alone on its images"):
        recipes = [read_recipe("readme-004-mlp", ["data.name=mnist"]), read_recipe("readme-004-cnn")]
        settle(recipes, Workplace(runs=Runs(tmp_path), device="cpu"), question=Question(most=4))
    assert not Runs(tmp_path).list()
