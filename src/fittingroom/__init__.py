"""Fits, compares and ships small image classifiers, with error bars.

    import fittingroom as fr
    fr.compare(["readme-004-mlp", "readme-004-cnn"], seeds=3)

Names are loaded when they are used, so `import fittingroom` is cheap.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fittingroom.api import Comparison, Run, compare, load_data, train

__all__ = ["Comparison", "Run", "compare", "load_data", "train"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from fittingroom import api

        return getattr(api, name)
    raise AttributeError(f"module 'fittingroom' has no attribute '{name}'")
