"""How much is put aside for test: a fifth, another share, or nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import fittingroom as fr
from fittingroom.data import Dataset, load
from fittingroom.report.pictures import png_bytes
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import ShapeSpec


@pytest.fixture
def source(fashion: Dataset, tmp_path: Path) -> Path:
    rows = np.flatnonzero(np.isin(fashion.train.labels_N, (0, 1)))[:60]
    for row in rows:
        file = tmp_path / "two" / str(fashion.train.labels_N[row]) / f"{row}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png_bytes(fashion.train.images_NCHW[row]))
    return tmp_path / "two"


def sizes(source: Path, fraction: float | None) -> tuple[int, int]:
    found = load(str(source), source.parent / "home", shape=ShapeSpec(test_fraction=fraction))
    assert found.shape.test_fraction == fraction
    return len(found.train), found.test.n


def test_the_share_that_is_asked_for_is_put_aside(source: Path) -> None:
    assert sizes(source, None)[1] == pytest.approx(12, abs=1) and sizes(source, 0.5)[1] == pytest.approx(30, abs=1)
    assert sizes(source, 0.0) == (60, 0)


def test_without_test_images_there_are_trainings_and_cross_validations_and_no_comparison(source: Path) -> None:
    place = {"runs": source.parent / "runs", "home": source.parent / "home", "quiet": True, "at_once": 1}
    words = ("train.epochs=1", "data.test_fraction=0", "data.val_fraction=0")
    run = fr.train("readme-004-mlp", *words, data=source, **place)  # type: ignore[arg-type]
    assert run.folder.done and run.folder.metrics.test is None and run.folder.data.n_train == 60
    assert run.folder.recipe.data.test_fraction == 0
    answer = fr.cv("readme-004-mlp", *words, data=source, folds=2, seeds=1, **place)  # type: ignore[arg-type]
    assert answer.comparisons[0].images == 60
    with pytest.raises(FittingroomError, match="two has no test images .*; cross-validation needs none"):
        fr.compare("readme-004-mlp", *words, data=source, seeds=1, **place)  # type: ignore[arg-type]


def test_a_test_part_that_came_along_stays(source: Path) -> None:
    for split in ("train", "test"):
        for label in ("0", "1"):
            for file in list((source / label).glob("*.png"))[:5]:
                place = source.parent / "split" / split / label / file.name
                place.parent.mkdir(parents=True, exist_ok=True)
                file.rename(place)
    with pytest.raises(FittingroomError, match="brings a test part of its own; leave data.test_fraction = 0 away"):
        sizes(source.parent / "split", 0.0)
