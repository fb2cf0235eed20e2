"""Run folders on disk: atomic write, read, list. Plain files that a person can open; no torch."""

from fittingroom.store.bundles import BundleFolder
from fittingroom.store.evidence import Evidence
from fittingroom.store.loaded import LoadedRun, load_run
from fittingroom.store.runs import RunFolder, Runs, Study

__all__ = ["BundleFolder", "Evidence", "LoadedRun", "RunFolder", "Runs", "Study", "load_run"]
