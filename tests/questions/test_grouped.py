"""Groups from the picture to the verdict: a folder in which nothing can be learned is found to be one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from patients import patients

from fittingroom.data import Dataset
from fittingroom.metrics.story import of_study
from fittingroom.metrics.verdict import Question
from fittingroom.questions.compare import compare
from fittingroom.questions.crossval import cv
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.read import read_recipe
from fittingroom.store import Runs
from fittingroom.study.workplace import Workplace

pytestmark = pytest.mark.slow

COUNT, EACH = 40, 6
QUICK = ("train.epochs=12", "train.precision=fp32", "train.batch_size=16")


@pytest.fixture(scope="module")
def clinic(fashion: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clinic") / "scans"
    return patients(fashion, root, lambda p, i, label: f"{label}/p{p:02}_{i}.png", COUNT, EACH)


def test_what_no_model_can_know_is_not_known_once_groups_are_named(clinic: Path, tmp_path: Path) -> None:
    place = Workplace(runs=Runs(tmp_path / "runs"), home=tmp_path / "home", device="cpu", at_once=1)
    rule = 'data.group="re:(p[0-9]+)_"'
    careless, honest = (
        compare([read_recipe("readme-004-mlp", [*QUICK, *more])], place, data=[str(clinic)], seeds=(0, 1), name=name)
        for name, more in (("careless", []), ("honest", [rule]))
    )
    flattered, fair = (answer.comparisons[0].rows[0] for answer in (careless, honest))
    assert flattered.score > 0.85 and flattered.score_low > 0.7  # every patient was trained on, too
    assert fair.score < 0.75 and fair.score_low < 0.5 < fair.score_high  # a coin
    assert fair.design_effect and fair.design_effect > 1.5 and flattered.design_effect is None
    comparison = honest.comparisons[0]
    assert comparison.groups == 8 and "come from 8 groups only" in comparison.verdict
    [run, _] = honest.stories[0].runs["readme-004-mlp"]
    assert run.design.groups_N is not None and len(set(run.design.groups_N)) == run.data.n_test_groups == 8
    assert run.recipe.data.group == "re:(p[0-9]+)_" and "groups (re:(p[0-9]+)_), none divided" in run.data.split
    page = honest.report().read_text()
    assert "none divided" in page and "design effect" in page
    assert "Finding “ill”" in page and {"roc", "precision_recall"} <= honest.figures.keys()  # two classes


def test_cross_validation_holds_out_whole_groups(clinic: Path, tmp_path: Path) -> None:
    place = Workplace(runs=Runs(tmp_path / "runs"), home=tmp_path / "home", device="cpu", at_once=1)
    changes = [*QUICK, "train.epochs=2", "data.val_fraction=0.4", 'data.group="re:(p[0-9]+)_"']
    recipe = read_recipe("readme-004-mlp", changes)
    question = Question(metric="roc_auc")
    found = cv([recipe], place, folds=3, data=str(clinic), seeds=(0,), question=question)
    assert "roc" in found.figures and "area under the ROC curve for “ill”" in found.comparisons[0].verdict
    [run] = found.stories[0].runs["readme-004-mlp"]
    assert run.design.groups_N is not None and found.comparisons[0].groups == len(set(run.design.groups_N)) == 32
    val = run.val_design
    assert val.groups_N is not None and val.folds_N is not None and set(val.folds_N) == {0, 1, 2}
    assert run.val_labels_N is not None and len(run.val_labels_N) == len(val.groups_N) == len(val.folds_N)
    again = of_study(found.study, place.runs, Question(at="sensitivity=0.6", positive="ill"))[0].comparison
    assert again.at == "a sensitivity of 60 %" and again.rows[0].finding and again.rows[0].finding.threshold is None
    with pytest.raises(
        FittingroomError, match="validation groups of images of “ill” can promise a sensitivity of at most"
    ):
        of_study(found.study, place.runs, Question(at="sensitivity=0.99", positive="ill"))
    with pytest.raises(FittingroomError, match="validation groups of images of “ill” can promise"):
        cv([recipe], place, folds=3, data=str(clinic), seeds=(7,), question=Question(at="sensitivity=0.99"))
    assert not any("s7" in run.name for run in place.runs.list())  # told before anything was trained
    fold_N = place.runs.study_arrays(found.study)["fold_N"]
    assert all(len(set(fold_N[run.design.groups_N == group])) == 1 for group in np.unique(run.design.groups_N))
