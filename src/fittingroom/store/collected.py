"""Pictures that a person collects on the pages: HOME/collected/SET/CLASS/RECORDING/NUMBER.jpg.

What was recorded in one go belongs together: `data.group = "folder"` keeps it on one side of every split.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from fittingroom.spec.errors import FittingroomError
from fittingroom.store.atomic import explained, write

NAME = r"[^\W_][\w .-]{0,59}"  # of a set or a class: a folder's name on any system
RECORDING = r"[0-9a-z-]{1,40}"
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}  # by Pillow's names of formats


@dataclass(frozen=True)
class CollectedClass:
    """A class of a set: its pictures by recording, the oldest first."""

    name: str
    recordings: dict[str, tuple[str, ...]]

    @property
    def pictures(self) -> int:
        return sum(map(len, self.recordings.values()))


class Collected:
    """The sets of a home. Names come from people: none leads out of the folder.

    >>> Collected(Path("no such home")).sets()
    []
    """

    def __init__(self, home_dir: Path) -> None:
        self.folder = home_dir / "collected"

    def sets(self) -> list[str]:
        """Their names."""
        return _folders(self.folder)

    def path(self, name: str) -> Path:
        """The folder of a set, there or not. Raises `FittingroomError` for what cannot be a name."""
        return self.folder / _checked(name, NAME)

    def classes(self, name: str) -> list[CollectedClass]:
        """The classes of a set, by name."""
        path = self.path(name)
        return [
            CollectedClass(
                label,
                {one: tuple(sorted(f.name for f in (path / label / one).iterdir())) for one in _folders(path / label)},
            )
            for label in _folders(path)
        ]

    def add(self, name: str, label: str, recording: str, content: bytes, suffix: str) -> Path:
        """Keep one picture file, whose content somebody has looked at; its path. `suffix` is one of `SUFFIXES`."""
        folder = self.path(name) / _checked(label, NAME) / _checked(recording, RECORDING)
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{len(list(folder.iterdir())) + 1:05}{suffix}"
        write(file, content)
        return file

    def file(self, name: str, label: str, recording: str, picture: str) -> Path:
        """One picture's file, which may be gone."""
        folder = self.path(name) / _checked(label, NAME) / _checked(recording, RECORDING)
        return folder / _checked(picture, r"\d{5}\.\w+")

    def remove(self, name: str, label: str, recording: str) -> None:
        """Forget one recording."""
        folder = self.path(name) / _checked(label, NAME) / _checked(recording, RECORDING)
        shutil.rmtree(folder, ignore_errors=True)
        if folder.parent.is_dir() and not any(folder.parent.iterdir()):
            folder.parent.rmdir()


def _folders(path: Path) -> list[str]:
    return sorted(one.name for one in path.iterdir() if one.is_dir()) if path.is_dir() else []


def _checked(name: str, pattern: str) -> str:
    if not re.fullmatch(pattern, name) or name != name.strip() or name.endswith("."):
        raise FittingroomError(
            f"{name[:80]!r} cannot be a name here; take letters, digits, spaces, dots and dashes, at most 60 signs"
        )
    return name
