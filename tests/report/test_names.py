"""One's own pictures are called by their files' names wherever one is shown, and listed to be worked through."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from planned import plan

from fittingroom.data import Dataset, load
from fittingroom.data.inspect import inspect
from fittingroom.metrics.story import gather
from fittingroom.report.mistakes import confident_mistakes
from fittingroom.report.page import Compared
from fittingroom.spec.read import read_recipe
from fittingroom.store import RunFolder, Runs
from fittingroom.study.execute import execute


@pytest.fixture(scope="module")
def answered(fashion: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, RunFolder, Compared]:
    root = tmp_path_factory.mktemp("own")
    for i in range(120):
        path = root / "things" / ("=cat", "<b>dog</b>")[i % 2].replace("/", "_") / f"img <{i}>.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(fashion.train.images_NCHW[i // 2 * 2, 0]).save(path)  # each there twice, under both labels
    data, runs = load(str(root / "things"), root / "home"), Runs(root / "runs")
    run = execute(
        plan(read_recipe("readme-004-mlp", ["train.epochs=2", "train.precision=fp32"]), data, runs=runs), runs
    )
    return data, run, Compared(gather([run], runs), runs, root / "page.html")


def test_everything_is_called_by_its_name(answered: tuple[Dataset, RunFolder, Compared]) -> None:
    data, _, answer = answered
    test = data.test.unlock(lambda: None)
    assert test.names_N is not None and set(test.names_N) <= {name for name in test.names_N if ".png" in name}
    [story] = answer.stories
    assert story.names_N is not None and np.array_equal(story.names_N, test.names_N)
    shown = confident_mistakes(story, "readme-004-mlp")
    assert shown and all(one["called"] == test.names_N[one["row"]] for one in shown)
    page = answer.report().read_text()
    assert "img &lt;" in page and "img <" not in page and f"#{shown[0]['row']}<" not in page
    pair = inspect(data).pairs[0]
    assert pair.name_a.endswith(".png") and pair.name_b.endswith(".png")


def test_the_listing_is_of_all_mistakes_and_no_formula(
    answered: tuple[Dataset, RunFolder, Compared], tmp_path: Path
) -> None:
    _, run, answer = answered
    answer.save_listing(tmp_path / "wrong.csv")
    head, *rows = list(csv.reader((tmp_path / "wrong.csv").read_text().splitlines()))
    assert head == ["picture", "data", "true", "readme-004-mlp says"]
    logits, labels = run.predictions("test")  # type: ignore[misc]
    assert len(rows) == (logits.argmax(1) != labels).sum() > 0
    assert all(not cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row)
    assert any(cell == "'=cat" for row in rows for cell in row)
