"""Which data sets there are. Each is a small TOML: files with hashes, sources, classes, may it be flipped?"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated

from pydantic import Field

from fittingroom.spec.digest import digest
from fittingroom.spec.errors import FittingroomError, unknown
from fittingroom.spec.framing import Subject
from fittingroom.spec.parse import parse, read_toml
from fittingroom.spec.recipe import Strict
from fittingroom.spec.sources import FileEntry, Source

IDX_HEAD_BYTES = 8  # before the labels, a byte each


class Files(Strict):
    train_images: FileEntry
    train_labels: FileEntry
    test_images: FileEntry
    test_labels: FileEntry

    def all(self) -> tuple[FileEntry, ...]:
        return (self.train_images, self.train_labels, self.test_images, self.test_labels)


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

    @property
    def n_test(self) -> int:
        """How many test images there are, which the file of their labels tells by its size."""
        return self.files.test_labels.size_bytes - IDX_HEAD_BYTES


def catalog(home_dir: Path) -> dict[str, Path]:
    """Names and TOML files of the known data sets: the shipped ones and those in HOME/datasets/."""
    shipped = Path(str(resources.files("fittingroom") / "data" / "sets"))
    files = [*sorted(shipped.glob("*.toml")), *sorted((home_dir / "datasets").glob("*.toml"))]
    return {file.stem: file for file in files}


def entry(name: str, home_dir: Path) -> DatasetEntry:
    """The data set of this name. Raises `FittingroomError` for an unknown one.

    >>> from fittingroom.store.fetch import home
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


def count_test_images(word: str, home_dir: Path) -> int:
    """How many test images `word` means: a number, or the name of a data set. Raises `FittingroomError` for an unknown one.

    >>> from fittingroom.store.fetch import home
    >>> count_test_images("mnist", home()), count_test_images("286", home())
    (10000, 286)
    """
    return int(word) if word.isdecimal() else entry(word, home_dir).n_test
