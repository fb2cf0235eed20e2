"""Stress on real runs: the same harmed images for all, kept beside the run, announced, and compared in pairs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from planned import study_of

from fittingroom.augment.corruptions import CORRUPTIONS, corrupt
from fittingroom.data import Dataset
from fittingroom.metrics.crossed import estimate
from fittingroom.metrics.story import gather
from fittingroom.questions.stress import CHUNK, harm
from fittingroom.spec.recipe import Recipe
from fittingroom.store import Runs
from fittingroom.study.launch import InThisProcess, choose_launcher
from fittingroom.study.workplace import Workplace
from fittingroom.training import predict
from fittingroom.training.fit import restore
from fittingroom.training.predict import to_tensor

pytestmark = pytest.mark.slow


def test_two_recipes_under_stress(quick: Callable[..., Recipe], fashion: Dataset, tmp_path: Path) -> None:
    runs = Runs(tmp_path / "runs")
    other = quick("readme-004-mlp", "model.layers.3.dropout=0.1").model_copy(update={"name": "other"})
    folders = study_of([quick(), other], runs, range(2)).train()
    place = Workplace(runs=runs, device="cpu")
    assert gather(folders, runs)[0].robust is None
    shares: list[float] = []
    harm(folders[:2], place, InThisProcess(), tick=shares.append)
    assert gather(folders, runs)[0].robust is None  # not all of them yet
    assert shares == sorted(shares) and shares[-1] == 1.0
    reads = runs.test_reads()["fashion-mnist"]
    harm(folders, place, InThisProcess())
    assert runs.test_reads()["fashion-mnist"] == reads + 2  # only the two that were missing
    harm(folders, place, InThisProcess())
    assert runs.test_reads()["fashion-mnist"] == reads + 2

    found = folders[1].stressed()
    assert found is not None
    said, labels = found["said"], found["labels"]
    assert said.shape == (len(CORRUPTIONS), 5, 10_000) and list(found["kinds"]) == list(CORRUPTIONS)
    test = fashion.test.unlock(lambda: None)
    assert np.array_equal(labels, test.labels_N)
    model = restore(folders[1].recipe, folders[1].weights, fashion.train)
    rows = slice(2 * CHUNK, 3 * CHUNK)
    harmed = corrupt(to_tensor(test.images_NCHW[rows]), "elastic", 2, 2 * CHUNK).numpy()
    agreed = said[list(CORRUPTIONS).index("elastic"), 1, rows] == predict(model, harmed).argmax(1)
    assert agreed.mean() > 0.999  # another thread count can turn a tie

    rows_, pairs = gather(folders, runs)[0].robust  # type: ignore[misc]
    right = {r.recipe: [] for r in rows_}
    for folder in folders:
        s = folder.stressed()
        right[folder.recipe.name].append((s["said"] == s["labels"]).mean((0, 1)))  # type: ignore[index]
    a, b = (np.stack(right[r.recipe]) for r in rows_)
    assert rows_[0].mean == pytest.approx(a.mean()) and rows_[0].mean >= rows_[1].mean
    assert pairs[0].difference == pytest.approx(abs(estimate(a - b).mean))
    elastic = list(CORRUPTIONS).index("elastic")
    better, worse = (np.stack([(f.stressed()["said"][elastic] == labels).mean(0) for f in folders if f.recipe.name == name]) for name in (pairs[0].better, pairs[0].worse))  # fmt: skip
    assert pairs[0].kinds[elastic].difference == pytest.approx(estimate(better - worse).mean)
    assert pairs[0].kinds[elastic].low < pairs[0].kinds[elastic].difference < pairs[0].kinds[elastic].high
    kind = np.mean([(f.stressed()["said"][3, 4] == labels).mean() for f in folders[:2]])  # type: ignore[index]
    mine = next(r for r in rows_ if r.recipe == folders[0].recipe.name)
    assert mine.by_kind["noise"][4] == pytest.approx(kind)


@pytest.mark.filterwarnings("ignore")
def test_who_does_the_work_changes_nothing(quick: Callable[..., Recipe], fashion: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    runs = Runs(tmp_path / "runs")
    n = 10 * CHUNK + 500  # a fifth of them is carved to test on: three parts, one of them small
    np.savez(tmp_path / "some.npz", images=fashion.train.images_NCHW[:n, 0], labels=fashion.train.labels_N[:n])
    both = study_of([quick()], runs, range(2), [str(tmp_path / "some.npz")]).train()
    said = []
    for name, at_once in (("local", 1), ("local", 2), ("ray", 2)):
        shares: list[float] = []
        with choose_launcher(name, at_once) as by:
            harm(both, Workplace(runs=runs, device="cpu"), by, tick=shares.append)
        assert shares == sorted(shares) and shares[-1] == 1.0
        said.append([run.stressed()["said"] for run in both])  # type: ignore[index]
        for run in both:
            (run.path / "stress.npz").unlink()
    np.testing.assert_array_equal(said[0], said[1])
    np.testing.assert_array_equal(said[0], said[2])
    assert list(runs.test_reads().values()) == [2 + 3 * 2]
