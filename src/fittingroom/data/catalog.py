"""Which data sets there are. Each is a small TOML: files with hashes, sources, classes, may it be flipped?"""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import platformdirs
from pydantic import Field, field_validator

from fittingroom.spec.digest import digest
from fittingroom.spec.errors import FittingroomError, unknown
from fittingroom.spec.framing import Subject
from fittingroom.spec.read import parse, read_toml
from fittingroom.spec.recipe import Count, Strict


class FileEntry(Strict):
    """One IDX file: its plain name and the SHA-256 of its decompressed content."""

    name: Annotated[str, Field(pattern=r"^[\w][\w.-]*$")]
    size_bytes: Count
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Files(Strict):
    train_images: FileEntry
    train_labels: FileEntry
    test_images: FileEntry
    test_labels: FileEntry

    def all(self) -> tuple[FileEntry, ...]:
        return (self.train_images, self.train_labels, self.test_images, self.test_labels)


class FolderSource(Strict):
    """A folder that the system already has."""

    kind: Literal["folder"]
    path: str


class HttpsSource(Strict):
    """A mirror; `base`/NAME.gz, or without `.gz` where `gzipped` is false. Never http."""

    kind: Literal["https"]
    base: str
    gzipped: bool = True

    @field_validator("base")
    @classmethod
    def _is_https(cls, base: str) -> str:
        if not base.startswith("https://"):
            raise ValueError(f"{base} must begin with https://")
        return base


class DebianSource(Strict):
    """A Debian package, fetched by name with `apt-get download` and unpacked without root; `path` is inside it."""

    kind: Literal["debian"]
    package: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.+-]*$")]
    path: str


class NpmSource(Strict):
    """An npm package, fetched by name with `npm pack`; `path` is inside its archive."""

    kind: Literal["npm"]
    package: Annotated[str, Field(pattern=r"^(@[a-z0-9][\w.-]*/)?[a-z0-9][\w.-]*$")]
    version: Annotated[str, Field(pattern=r"^\d[\w.+-]*$")]
    path: str


Source = Annotated[FolderSource | HttpsSource | DebianSource | NpmSource, Field(discriminator="kind")]


class DatasetEntry(Strict):
    """A data set as data. Put a file like the shipped ones into HOME/datasets/ and its name works everywhere."""

    name: Annotated[str, Field(pattern=r"^[\w][\w.-]*$")]
    title: str
    about: str = ""
    licence: str = "unknown"
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    may_flip: bool
    subject: Subject | None = (
        None  # how an image shows its one thing, so that pictures from outside can be made like it
    )
    files: Files
    sources: tuple[Source, ...] = ()

    @property
    def digest(self) -> str:
        """Names the content: the payload hashes and the classes, not where they came from."""
        return digest({"payloads": [f.sha256 for f in self.files.all()], "classes": self.classes})


def home(override: str | Path | None = None) -> Path:
    """Where data live: `override` (--home), else FITTINGROOM_HOME, else the platform's cache folder.

    >>> home("/somewhere").as_posix()
    '/somewhere'
    """
    chosen = override or os.environ.get("FITTINGROOM_HOME") or platformdirs.user_cache_dir("fittingroom")
    return Path(chosen).expanduser().resolve()


def catalog(home_dir: Path) -> dict[str, Path]:
    """Names and TOML files of the known data sets: the shipped ones and those in HOME/datasets/."""
    shipped = Path(str(resources.files("fittingroom") / "data" / "sets"))
    files = [*sorted(shipped.glob("*.toml")), *sorted((home_dir / "datasets").glob("*.toml"))]
    return {file.stem: file for file in files}


def entry(name: str, home_dir: Path) -> DatasetEntry:
    """The data set of this name. Raises `FittingroomError` for an unknown one.

    >>> entry("mnist", home()).may_flip
    False
    """
    known = catalog(home_dir)
    if name not in known:
        raise unknown("data set", name, known, "fittingroom data list")
    file = known[name]
    found = parse(DatasetEntry, read_toml(file), str(file), "docs/data.md")
    if found.name != name:
        raise FittingroomError(f'{file} says name = "{found.name}"; name it "{name}", or the file {found.name}.toml')
    return found
