"""Suspect labels: planted errors on real images are found, by models that have not seen them; dropping them is told honestly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from planned import Planned
from planned import plan as planned_job

from fittingroom.data import Dataset, Images, LockedTest, folds
from fittingroom.data.dataset import remember
from fittingroom.data.outliers import outliers
from fittingroom.metrics.suspects import Suspects, find_suspects, flattery
from fittingroom.questions.audit import auditor_of, auditors, of_test, of_train
from fittingroom.spec.recipe import Recipe
from fittingroom.store import Runs
from fittingroom.study.execute import execute
from fittingroom.study.workplace import Workplace


@pytest.fixture(scope="module")
def planted(fashion: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, np.ndarray, np.ndarray]:
    """3,000 training and 1,000 test images, 3 % of each with a wrong label; the rows of the wrong ones."""
    rng = np.random.default_rng(0)
    rows = rng.permutation(60_000)[:4000]
    parts, wrong = [], []
    for chosen in (rows[:3000], rows[3000:]):
        part = fashion.train.take(chosen)
        bad = rng.permutation(len(part))[: len(part) * 3 // 100]
        labels = part.labels_N.copy()
        labels[bad] = (labels[bad] + rng.integers(1, 10, len(bad))) % 10
        parts.append(Images(part.images_NCHW, labels, part.classes))
        wrong.append(bad)
    test = parts[1]
    data = replace(fashion, name="planted", digest="p" * 64, train=parts[0], test=LockedTest(1000, lambda: test))
    return replace(data, home_dir=tmp_path_factory.mktemp("home")), wrong[0], wrong[1]


@pytest.mark.slow
def test_planted_errors_are_found_in_train_and_test(
    planted: tuple[Dataset, np.ndarray, np.ndarray],
    quick: Callable[..., Recipe],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data, bad_train, bad_test = planted
    for place in ("fittingroom.study.workplace.load", "fittingroom.study.execute.reload"):
        monkeypatch.setattr(place, lambda *args, **kwargs: data)
    runs = Runs(tmp_path / "runs")
    recipe = quick("readme-004-cnn", "train.epochs=4")
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"limit": None})})
    finished = Planned(auditors(recipe, data.name, 3), runs, at_once=1).train()
    assert len(finished) == 3 and runs.test_reads() == {}

    found = of_train(data, finished)
    assert len(set(found.order_N[:90]) & set(bad_train)) / 90 > 0.4  # of 90 planted; chance would give 0.03
    assert found.flagged_N[bad_train].mean() > 0.5
    fold_N = folds(data.train.labels_N, 3, 0, None)
    for run in finished:
        _, labels = run.predictions("val")  # type: ignore[misc]
        assert np.array_equal(np.sort(labels), np.sort(data.train.labels_N[fold_N == run.recipe.data.fold]))

    found, images = of_test(data, finished, Workplace(runs=runs, device="cpu"))
    assert runs.test_reads() == {"planted": 1} and len(images) == 1000
    assert len(set(found.order_N[:30]) & set(bad_test)) / 30 > 0.4


def test_agreement_is_not_suspect() -> None:
    p = np.full((50, 5), 0.01) + 0.95 * np.eye(5)[np.arange(50) % 5]
    found = find_suspects("train", p, np.arange(50) % 5)
    assert not found.flagged_N.any() and np.array_equal(found.suggested_N, np.arange(50) % 5)


def test_auditors_that_can_hardly_guess_suspect_nobody() -> None:
    """Once, models of 30 % called 37 of 59 labels suspect."""
    rng = np.random.default_rng(0)
    labels_N = rng.integers(0, 4, 59)
    sure = np.full((59, 4), 0.02) + 0.92 * np.eye(4)[rng.integers(0, 4, 59)]  # of anything
    found = find_suspects("train", sure, labels_N)
    assert found.accuracy < 0.45 and not found.able and not found.flagged_N.any()
    good = np.full((59, 4), 0.02) + 0.92 * np.eye(4)[labels_N]
    good[3] = np.roll(good[3], 1)
    able = find_suspects("train", good, labels_N)
    assert able.able and np.flatnonzero(able.flagged_N).tolist() == [3] and able.order_N[0] == 3


def test_the_folders_own_recipe_audits_it(quick: Callable[..., Recipe], fashion: Dataset, tmp_path: Path) -> None:
    runs = Runs(tmp_path / "runs")
    assert [auditor_of(name, runs) for name in ("mnist", "fashion-mnist", "pets")] == [
        "fast-mnist",
        "fast-fashion",
        "fast-fashion",
    ]
    mine = remember(replace(fashion, name="pets"))
    execute(planned_job(quick("readme-004-cnn", "train.epochs=1"), mine, runs=runs), runs)
    chosen = auditor_of(mine, runs)
    assert isinstance(chosen, Recipe) and chosen.name == "readme-004-cnn" and chosen.data.limit is None
    assert auditor_of("pictures/pets", runs) == chosen


def test_dropping_suspects_flatters_and_dropping_at_random_does_not() -> None:
    rng = np.random.default_rng(0)
    hard = rng.random(1000) < 0.1
    right = ~hard | (rng.random((3, 1000)) < 0.2)
    flagged = hard & (rng.random(1000) < 0.4)
    found = flattery(
        "x", right, Suspects("test", np.eye(2)[np.zeros(1000, int)], np.zeros(1000, int), np.ones(1000), flagged)
    )
    assert found.removed == flagged.sum() and found.without_suspects >= found.whole
    assert found.without_suspects == pytest.approx(right[:, ~flagged].mean())
    draws = [right.mean(0)[rng.permutation(1000)[found.removed :]].mean() for _ in range(3000)]
    assert np.mean(draws) == pytest.approx(found.without_random, abs=3e-4) and np.std(draws) == pytest.approx(
        found.random_sd, rel=0.06
    )


def test_the_odd_one_out_lies_farthest() -> None:
    rng = np.random.default_rng(0)
    pixels = (rng.normal(100, 3, (80, 1, 6, 6))).astype(np.uint8)
    pixels[17] = rng.integers(0, 255, (1, 6, 6))
    rows, far = outliers(Images(pixels, np.zeros(80, np.int64), ("a",)))
    assert rows[0] == 17 and far[17] == far.max()
    among = Images(pixels[:17], np.zeros(17, np.int64), ("a",))
    assert outliers(Images(pixels, np.zeros(80, np.int64), ("a",)), among)[0][0] == 17


@pytest.mark.slow
def test_wrong_questions_get_one_message(here: Callable[..., object]) -> None:
    for words, says in (
        (["mnist", "--split", "both"], '"train" or "test"; got "both"'),
        (["mnist", "data.limit=100"], "leave data.limit away"),
        (["mnist", "--split", "train", "--score", "x"], "--score goes with --split test"),
    ):
        done = here("audit", *words)
        assert done.returncode == 2 and says in done.stderr and "Traceback" not in done.stderr  # type: ignore[attr-defined]


def test_the_auditors_are_one_recipe_with_a_fold_each(quick: Callable[..., Recipe]) -> None:
    trial = auditors(quick("readme-004-mlp", "train.select=best_val"), "fashion-mnist", 2)[1]
    assert (trial.recipe.data.folds, trial.recipe.data.fold, trial.part) == (2, 1, "fold 2 of 2")
    assert trial.recipe.name == "readme-004-mlp" and not trial.score_test
    assert trial.recipe.train.select == "last"  # an epoch chosen by the fold would have seen it
