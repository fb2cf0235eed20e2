"""A model with an operating point, from training to the answer: chosen on validation, measured on test, decided everywhere alike."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from planned import plan
from serve.asking import form, in_a_thread
from trained import MadeOnce

from fittingroom.data import Dataset, load
from fittingroom.export import export
from fittingroom.inference import Classifier
from fittingroom.inference.pictures import classify, named_pictures
from fittingroom.metrics.against_rest import log_odds
from fittingroom.serve.settings import Settings
from fittingroom.spec.bundle import FORMAT
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.read import read_recipe
from fittingroom.store import RunFolder, Runs
from fittingroom.study.execute import execute
from fittingroom.study.workplace import Workplace

Command = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clinic(made_once: MadeOnce, fashion: Dataset) -> Path:
    """Shirts among T-shirts, four to one, in folders; and a run that was trained on them."""

    def make(folder: Path) -> None:
        for name, label, n in (("shirt", 6, 120), ("t-shirt", 0, 480)):
            (folder / "wear" / name).mkdir(parents=True)
            for i in np.flatnonzero(fashion.train.labels_N == label)[:n]:
                Image.fromarray(fashion.train.images_NCHW[i, 0]).save(folder / "wear" / name / f"{i}.png")
        runs = Runs(folder / "runs")
        words = ["train.epochs=8", "train.precision=fp32", "data.val_fraction=0.3"]
        recipe = read_recipe("readme-004-mlp", words)
        execute(plan(recipe, load(str(folder / "wear"), folder / "home"), runs=runs), runs)

    return made_once("clinic with shirts", make)


@pytest.fixture
def place(clinic: Path) -> Workplace:
    return Workplace(runs=Runs(clinic / "runs"), home=clinic / "home", device="cpu")


@pytest.fixture
def run(place: Workplace) -> RunFolder:
    return place.runs.list()[0]


def test_what_was_chosen_on_validation_decides(run: RunFolder, place: Workplace, clinic: Path, tmp_path: Path) -> None:
    bundle = export(run, place, out=tmp_path / "bundle", at="sensitivity=0.9", positive="shirt")
    point = bundle.facts.operating
    assert point and bundle.facts.format == FORMAT and point.probability
    logits_V2, labels_V = run.predictions("val")  # type: ignore[misc]
    own_V = labels_V == 0
    assert (point.chosen_on, point.chosen_on_class) == (len(labels_V), int(own_V.sum()))
    score_V = log_odds(logits_V2, 0)
    found = (score_V[own_V] >= point.threshold).sum()
    assert found / (own_V.sum() + 1) >= 0.9 > (found - 1) / (own_V.sum() + 1)
    logits_N2, labels_N = run.predictions("test")  # type: ignore[misc]
    taken_N = log_odds(logits_N2, 0) >= point.threshold
    assert point.found.sensitivity.value == pytest.approx(taken_N[labels_N == 0].mean())
    assert point.found.precision.value == pytest.approx((labels_N == 0)[taken_N].mean())
    assert point.found.sensitivity.low < point.found.sensitivity.value
    named, _, _ = named_pictures([str(clinic / "wear")])
    said = [r.answer for batch in classify(Classifier(bundle), named, top=2) for r in batch if r.answer]
    shirt = [dict(a.top)["shirt"] for a in said]
    assert all(
        (a.says == "shirt") == (p >= point.probability)
        for a, p in zip(said, shirt, strict=True)
        if abs(p - point.probability) > 1e-4
    )
    assert any(a.says == "shirt" and p < 0.5 for a, p in zip(said, shirt, strict=True)) and all(a.sure for a in said)
    card = (bundle.path / "README.md").read_text()
    assert (
        "## Where it decides" in card
        and "chosen for a sensitivity of 90 %" in card
        and "there is no “not sure”" in card
    )
    assert f"{100 * point.found.sensitivity.value:.1f} % [" in card
    plain = export(run, place, out=tmp_path / "plain")
    assert plain.facts.operating is None and plain.facts.format == 1
    assert "sensitivity: of t-shirt found" in (plain.path / "README.md").read_text()


def test_the_commands_and_the_server_say_so(
    run: RunFolder, clinic: Path, tmp_path: Path, here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FITTINGROOM_HOME", str(clinic / "home"))
    out = tmp_path / "bundle"
    made = here("export", str(run.path), "--at", "costs=20:1", "--positive", "shirt", "--out", str(out), "-q")
    assert (
        "says “shirt” from a probability of" in made.stdout
        and "for costs of 20 a miss and 1 a false alarm" in made.stdout
    )
    shirts = sorted((clinic / "wear" / "shirt").iterdir())[:30]
    asked = here("predict", str(out), *map(str, shirts), "--json")
    told = json.loads(asked.stdout)
    assert told["operating"]["positive"] == "shirt"
    answers = [p["answer"] for p in told["predictions"]]
    assert answers.count("shirt") > sum(
        p["top"][0] == {"class": "shirt", "p": max(t["p"] for t in p["top"])} for p in told["predictions"]
    )
    assert answers == [p["top"][0]["class"] for p in told["predictions"]] and told["sure_at"] is None
    with in_a_thread(Settings((out,))) as server:
        reply = server.ask("POST", "/predict", *form(*((file.name, file.read_bytes()) for file in shirts)))
        assert [p["answer"] for p in reply.json["predictions"]] == answers and reply.json["operating"][
            "positive"
        ] == "shirt"
        assert "says “shirt” from" in server.ask("GET", "/").body.decode()


def test_what_cannot_be_a_point_is_refused(run: RunFolder, place: Workplace, tmp_path: Path) -> None:
    for words, text in (
        ({"positive": "shirt"}, "say --at, too"),
        (
            {"at": "sensitivity=0.999", "positive": "shirt"},
            "validation images of “shirt” can promise a sensitivity of at most",
        ),
        ({"at": "sensitivity=0.9", "positive": "coat"}, 'unknown class "coat"'),
    ):
        with pytest.raises(FittingroomError, match=text):
            export(run, place, out=tmp_path / "bundle", **words)  # type: ignore[arg-type]
        assert not (tmp_path / "bundle").exists()
