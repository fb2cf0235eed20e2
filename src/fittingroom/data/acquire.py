"""A data set's files: brought into the cache, verified."""

from __future__ import annotations

from pathlib import Path

from fittingroom.data.catalog import DatasetEntry
from fittingroom.store.fetch import Say, fetch, read_payload


def acquire(entry: DatasetEntry, home_dir: Path, say: Say = lambda line: None) -> Path:
    """The folder that holds the verified files of `entry`, fetched if need be; `say` hears which source was used.

    Several processes may call this at once: one fetches, the others wait. Raises `FittingroomError` that lists every
    source with its reason when none delivers.
    """
    return fetch(entry.title, entry.files.all(), entry.sources, home_dir / "data" / entry.name, say)


def verify(entry: DatasetEntry, folder: Path) -> None:
    """Hash every file, test files too, without looking at an image. Raises `FittingroomError` for a wrong one."""
    for file in entry.files.all():
        read_payload(folder, file)


def provenance(entry: DatasetEntry, home_dir: Path) -> str:
    """How the cached files were acquired, in words."""
    file = home_dir / "data" / entry.name / "source.txt"
    return file.read_text(encoding="utf-8").strip() if file.exists() else "placed by hand"
