"""The notebook's door: objects that print and compare, mistakes that read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fittingroom as fr
from fittingroom.spec.errors import FittingroomError


def test_data_sets_print_in_a_line_and_are_equal_by_content() -> None:
    a, b, other = fr.load_data("fashion-mnist"), fr.load_data("fashion-mnist"), fr.load_data("mnist")
    assert a == b and a != other and len({a, b, other}) == 2
    assert repr(a) == "<Dataset fashion-mnist: 60,000 training and 10,000 locked test images, 1×28×28>"
    assert "10,000 locked test images" in a._repr_html_() and len(repr(a.train)) < 80


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: fr.compare([]), "name at least one recipe"),
        (lambda: fr.compare("readme-004-mlp", seeds=0), "at least 1"),
        (lambda: fr.train("readme-004-mlp", {"train.epochs": 1}), "write strings"),  # type: ignore[arg-type]
        (lambda: fr.Run("nowhere"), "is not a finished run"),
        (lambda: fr.load_data("fashion"), 'nearest: "fashion-mnist"'),
    ],
)
def test_mistakes(call: Callable[[], Any], text: str) -> None:
    with pytest.raises(FittingroomError, match=text):
        call()


def test_a_run_predicts_what_it_recorded() -> None:
    with pytest.warns(UserWarning, match="mirrors images"):
        run = fr.train("readme-001-base", "train.epochs=1", "data.limit=600", data="mnist")
    logits, _ = run.logits()
    test = fr.load_data("mnist").test.unlock(lambda: None)
    p = run.predict(test.images_NCHW[:50])
    assert np.array_equal(p.argmax(1), logits[:50].argmax(1)) and np.allclose(p.sum(1), 1)
    assert "test accuracy" in run._repr_html_()
    with pytest.raises(FittingroomError, match=r"takes uint8 images of shape \(N, 1, 28, 28\)"):
        run.predict(test.images_NCHW[:50] / 255.0)
