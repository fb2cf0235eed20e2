"""A run becomes something that others use: a bundle, or a copy in another tracker. Mirrors need no torch."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fittingroom.export.bundle import export

__all__ = ["export"]


def __getattr__(name: str) -> Any:
    if name != "export":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fittingroom.export.bundle import export

    return export
