"""Data for pages: one's own pictures in each shape that they were made into."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fittingroom.data import load
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import ShapeSpec
from fittingroom.store import Runs
from fittingroom.ui.collection import Collection


@pytest.mark.slow
def test_a_decision_counts_for_the_pictures_in_the_shape_that_was_looked_at(tmp_path: Path) -> None:
    """A recipe with data.image_size has other images: its decisions are its own, and others are refused in words."""
    rng, home, large = np.random.default_rng(0), tmp_path / "home", ShapeSpec(image_size=40)
    for c in ("cat", "dog"):
        (tmp_path / "pets" / c).mkdir(parents=True)
        for i in range(20):
            pixels = rng.integers(0, 255, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / c / f"{i}.png")
    load(str(tmp_path / "pets"), home)
    load(str(tmp_path / "pets"), home, shape=large)
    data = Collection(Runs(tmp_path / "runs"), home)
    small_one, large_one = (about for about in data.all() if about.own)
    assert (small_one.title, large_one.title) == ("pets, 3×32×32", "pets, 3×40×40") and small_one.id != large_one.id
    assert data.data(data.find(large_one.id)).train.shape == (3, 40, 40)
    with pytest.raises(FittingroomError, match="nothing was decided"):
        data.exclusion("pets", large)
    data.decide(data.data(large_one), "train", 3, "wrong")
    assert data.decided(data.data(large_one)) == {("train", 3): "wrong"} and data.decided(data.data(small_one)) == {}
    assert data.exclusion("pets", large) == data.runs.decisions_file("pets")
    with pytest.raises(FittingroomError, match="says nothing about pets"):
        data.exclusion("pets", ShapeSpec())
