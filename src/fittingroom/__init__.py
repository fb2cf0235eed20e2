"""Fits, compares and ships small image classifiers, with error bars.

    import fittingroom as fr
    fr.compare(["readme-004-mlp", "readme-004-cnn"], seeds=3)

Names are loaded when they are used, so `import fittingroom` is cheap.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fittingroom.api import (
        Recipe,
        Run,
        ablate,
        audit,
        best,
        claims,
        compare,
        cv,
        data,
        explain,
        export,
        load_data,
        models,
        new,
        predict,
        recipes,
        replicate,
        runs,
        stress,
        train,
        transfer,
        tune,
    )

__all__ = [
    "Recipe",
    "Run",
    "ablate",
    "audit",
    "best",
    "claims",
    "compare",
    "cv",
    "data",
    "explain",
    "export",
    "load_data",
    "models",
    "new",
    "predict",
    "recipes",
    "replicate",
    "runs",
    "stress",
    "train",
    "transfer",
    "tune",
]


class _Door(ModuleType):
    """What Tab shows is what there is. Some functions are called like a room (`data`, `models`, `export`): importing the room
    sets an attribute of that name here, which must not hide the function."""

    def __getattribute__(self, name: str) -> Any:
        if name in __all__:
            from fittingroom import api

            return getattr(api, name)
        return super().__getattribute__(name)

    def __dir__(self) -> list[str]:
        return __all__


sys.modules[__name__].__class__ = _Door
