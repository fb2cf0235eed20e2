"""A name, a function, typed parameters: function name = registry name = command-line name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, create_model

from fittingroom.spec.errors import unknown
from fittingroom.spec.read import parse

F = TypeVar("F", bound=Callable[..., Any])


class Registry(Generic[F]):
    """Functions by name. What the user may set are a function's keyword-only parameters, checked by their annotations.

    >>> ops = Registry("operation", "fittingroom models")
    >>> @ops.register
    ... def scale(x, *, by: float = 2.0): return x * by
    >>> ops.bind("scale", {"by": 3.0}, "augment.0")(5)
    15.0
    """

    def __init__(self, noun: str, see: str) -> None:
        self.noun, self.see = noun, see
        self.functions: dict[str, F] = {}

    def register(self, function: F) -> F:
        assert function.__name__ not in self.functions, function.__name__
        self.functions[function.__name__] = function
        return function

    def __getitem__(self, name: str) -> F:
        if name not in self.functions:
            raise unknown(self.noun, name, self.functions, self.see)
        return self.functions[name]

    def bind(self, name: str, params: Mapping[str, Any], where: str) -> Callable[..., Any]:
        """The function of this name with `params`, which stand at `where` of a recipe, checked and set.

        Raises `FittingroomError` with every fault.
        """
        function, keywords = self[name], self.complete(name, params, where)
        return lambda *args: function(*args, **keywords)

    def complete(self, name: str, params: Mapping[str, Any], where: str) -> dict[str, Any]:
        """`params` checked, with the defaults of those not given."""
        checked = parse(_schema(self[name]), dict(params), f"{where} ({name})", self.see, where)
        return {key: getattr(checked, key) for key in type(checked).model_fields}


def _schema(function: Callable[..., Any]) -> type[BaseModel]:
    """A strict model of the function's keyword-only parameters."""
    fields: dict[str, Any] = {
        p.name: (p.annotation, ... if p.default is p.empty else p.default)
        for p in inspect.signature(function, eval_str=True).parameters.values()
        if p.kind is p.KEYWORD_ONLY
    }
    return create_model(function.__name__, __config__=ConfigDict(extra="forbid", frozen=True, strict=True), **fields)
