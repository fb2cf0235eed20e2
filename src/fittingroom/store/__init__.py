"""Run folders on disk: atomic write, read, list. Plain files that a person can open; no torch."""

from fittingroom.store.runs import RunFolder, Runs

__all__ = ["RunFolder", "Runs"]
