"""A name, a function, typed parameters: function name = registry name = command-line name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, create_model

from fittingroom.spec.errors import FittingroomError, unknown
from fittingroom.spec.parse import parse

F = TypeVar("F", bound=Callable[..., Any])
EXECUTED = "fittingroom_own_"  # modules of that name are made of the texts that a recipe carries: models/executed.py


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
        """Put `function` here under its own name. One of a person's own may be put here again, as a cell is run again.

        Raises `FittingroomError` if the name is another's.
        """
        if function.__module__.startswith(EXECUTED):
            return function  # a copy, made of the text that a recipe carries
        name = function.__name__
        there = self.functions.get(name, function)
        if there is not function and (is_ours(there) or _place(there) != _place(function)):
            raise FittingroomError(
                f'{self.noun} "{name}" is there already, from {there.__module__}; give yours another name; see: {self.see}'
            )
        self.functions[name] = function
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


def is_ours(function: Callable[..., Any]) -> bool:
    """Whether `function` comes with fittingroom."""
    return function.__module__.partition(".")[0] == "fittingroom"


def _place(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def _schema(function: Callable[..., Any]) -> type[BaseModel]:
    """A strict model of the function's keyword-only parameters."""
    fields: dict[str, Any] = {
        p.name: (_type(p), ... if p.default is p.empty else p.default)
        for p in inspect.signature(function, eval_str=True).parameters.values()
        if p.kind is p.KEYWORD_ONLY
    }
    return create_model(function.__name__, __config__=ConfigDict(extra="forbid", frozen=True, strict=True), **fields)


def _type(parameter: inspect.Parameter) -> Any:
    """What a parameter may be: as annotated, else of its default's type, else any plain value."""
    if parameter.annotation is not parameter.empty:
        return parameter.annotation
    kind = type(parameter.default)
    return kind if kind in (bool, int, float, str) else Annotated[Any, AfterValidator(_plain)]


def _plain(value: Any) -> Any:
    if not isinstance(value, bool | int | float | str):
        raise ValueError(f"{value!r} must be a number, true, false or a text")
    return value
