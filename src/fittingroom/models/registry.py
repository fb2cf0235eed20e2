"""The registry of networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import Field
from torch import nn

from fittingroom.spec.registry import Registry

Width = Annotated[int, Field(ge=1, le=4096)]
Depth = Annotated[int, Field(ge=1, le=1000)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Size = tuple[int, int]  # height, width

MODELS: Registry[Callable[..., nn.Module]] = Registry("model", "fittingroom models")
