"""A registry of functions: a person's own need no annotations, and a cell may be run twice."""

from __future__ import annotations

from typing import Any

import pytest

from fittingroom.models import MODELS
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.registry import Registry


def registry() -> tuple[Registry[Any], Any]:
    made: Registry[Any] = Registry("model", "fittingroom models")
    text = "def mynet(channels, size, classes, *, needed, width=16, rate=0.5, wide=False, how='a', last=None): pass"
    exec(text, space := {"__name__": "__main__"})
    made.register(space["mynet"])
    return made, space["mynet"]


DEFAULTS = {"width": 16, "rate": 0.5, "wide": False, "how": "a", "last": None}


@pytest.mark.parametrize("given", [{"width": 3}, {"rate": 1}, {"wide": True, "how": "b"}, {"last": 2.5}, {"last": "x"}])
def test_without_annotations_a_parameter_is_of_its_defaults_type(given: dict[str, Any]) -> None:
    models, _ = registry()
    assert models.complete("mynet", {"needed": "any", **given}, "model.args") == {**DEFAULTS, "needed": "any", **given}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"width": 3.0}, "width: 3.0 must be a valid integer"),
        ({"width": True}, "width: True must be a valid integer"),
        ({"rate": "x"}, "rate: 'x' must be a valid number"),
        ({"rate": True}, "rate: True must be a valid number"),
        ({"wide": 1}, "wide: 1 must be a valid boolean"),
        ({"last": [1]}, r"last: \[1\] must be a number, true, false or a text"),
        ({"widht": 1}, 'widht: no such key; nearest: "width"'),
        ({"needed": {}}, "needed: {} must be a number"),
    ],
)
def test_another_type_is_refused(given: dict[str, Any], told: str) -> None:
    models, _ = registry()
    with pytest.raises(FittingroomError, match=told):
        models.complete("mynet", {"needed": 1, **given}, "model.args")


def test_a_cell_that_is_run_again_replaces_its_function_and_nobody_elses() -> None:
    models, first = registry()
    _, again = registry()
    assert models.register(again) is again and models["mynet"] is again is not first
    again.__module__ = "elsewhere"
    _, other = registry()
    with pytest.raises(
        FittingroomError, match=r'model "mynet" is there already, from elsewhere; give yours another name'
    ):
        models.register(other)
    other.__module__, other.__name__ = "__main__", "resnet20"
    with pytest.raises(FittingroomError, match=r'model "resnet20" is there already, from fittingroom.models.resnet'):
        MODELS.register(other)
