"""Claims judged in rounds of seeds, on real trainings, and weighed by their figures alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fittingroom.questions.claims import claims
from fittingroom.questions.replicate import replicate
from fittingroom.spec.errors import FittingroomError
from fittingroom.store import Runs
from fittingroom.study.workplace import Workplace

SMALL = ["data.limit=600", "train.epochs=2"]


@pytest.mark.slow
def test_seeds_are_added_until_each_claim_is_decided(tmp_path: Path) -> None:
    """With 600 images 97 % is far away: settled at the first look. That the MLP is behind the CNN may take longer."""
    place = Workplace(runs=Runs(tmp_path / "runs"), device="cpu", at_once=1)
    names = ["004-mlp-mnist", "004-mlp-behind-mnist"]
    found = replicate(["004"], place, claims=names, changes=SMALL, most=6)
    figure, order = found.judgements if found.judgements[0].id == names[0] else found.judgements[::-1]
    assert figure.outcome == "not reproduced" and figure.seeds == 4
    assert order.seeds == order.than_seeds >= 4 and "at this look" in figure.interval
    assert order.before and order.before.value > 0.99
    assert "--until settled --most=6" in found.command
    before = {run.name for run in place.runs.list()}
    again = replicate(["004"], place, claims=names, changes=SMALL, most=6)
    assert again.json() == found.json() and {run.name for run in place.runs.list()} == before
    page = again.report(tmp_path / "claims.md").read_text()
    assert "from the figures alone, %" in page and "99.9" in page


def test_figures_of_texts_files_and_readmes_together(tmp_path: Path) -> None:
    place = Workplace(runs=Runs(tmp_path / "runs"))
    (tmp_path / "list.toml").write_text(
        '[[claims]]\ntext = "It helps."\nfigures = "A 96.3 vs B 96.2 on fashion-mnist"\n'
    )
    found = claims(["92.68 vs 91.65 on 10000", str(tmp_path / "list.toml"), "002", "99.65 on mnist"], place)
    assert [one.outcome for one in found.orders] == ["supported", "not supported", "supported"]
    assert len(found.json()["alone"]) == 1 and found.sentences[0].startswith(
        "Of 3 orders, from the figures alone: 2 supported"
    )
    page = found.report().read_text()
    assert "It helps" in page and json.dumps(found.json())
    found.save_figures(tmp_path / "png")
    assert (tmp_path / "png/probability.png").stat().st_size > 5000
    assert claims(["92.68", "vs", "91.65", "on", "10000"], place).orders == found.orders[:1]  # without quotes
    assert len(claims(["004", "readme-004-mlp"], place).orders) == 2  # each once
    with pytest.raises(FittingroomError, match="fittingroom claims --help"):
        claims(["nothing"], place)
    with pytest.raises(FittingroomError, match="give figures"):
        claims([], place)
    with pytest.raises(FittingroomError, match="no such file"):
        claims([str(tmp_path / "lost.toml")], place)
