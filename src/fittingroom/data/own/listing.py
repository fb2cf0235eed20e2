"""A listing: pictures, each with a label, a split and a name to report it by; and the words that all listings share."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fittingroom.spec.printable import is_unsafe

Picture = Path | bytes | np.ndarray  # a file, an encoded picture, or pixels (H,W) or (H,W,C)
SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
AROUND = re.compile(r"^(?:seg|images?|imgs?)_|_?(?:set|data|split|images?|imgs?)$")  # training_set, seg_train, TestData


@dataclass(frozen=True)
class Fault:
    """A picture (or a folder) that is left out, and why."""

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


@dataclass(frozen=True)
class Listing:
    """Pictures in a fixed order. `labels`, `splits` and `names` have one entry for each of `pictures()`."""

    name: str  # of the data set
    labels: Sequence[str]
    splits: Sequence[str]  # train, val, test; all "" where the source has none
    names: Sequence[str]  # a path below the source, or a row in a file
    pictures: Callable[[], Iterator[Picture]]  # a fresh pass over them
    files: Sequence[Path]  # whose sizes and times tell whether anything has changed
    classes: tuple[str, ...] = ()  # in the source's own order, where it has one
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)  # what else a table says of each picture
    faults: Sequence[Fault] = ()
    remarks: Sequence[str] = field(default_factory=tuple)

    def in_order(self) -> tuple[str, ...]:
        """The classes: the source's own list, else the union over all splits in natural order."""
        return self.classes or tuple(sorted(set(self.labels), key=natural))


def natural(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """A sorting key under which "10" comes after "2".

    >>> sorted(["10", "b", "2", "B2", "b10"], key=natural)
    ['2', '10', 'b', 'B2', 'b10']
    """
    parts = [part for part in re.split(r"([0-9]+)", name.casefold()) if part]
    numbers = [part.lstrip("0") if re.fullmatch("[0-9]+", part) else None for part in parts]
    return [(0, len(n), n) if n is not None else (1, 0, p) for n, p in zip(numbers, parts, strict=True)], name


def clean(name: str) -> str:
    """A name from outside as text that is safe to show: one Unicode form, no control or direction characters.

    >>> clean("e\\u0301\\x1b[31m"), clean("a\\udcffb")
    ('é\ufffd[31m', 'a\ufffdb')
    """
    text = unicodedata.normalize("NFC", name.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
    return "".join("\ufffd" if is_unsafe(c) else c for c in text)


def split_of(name: str) -> str | None:
    """`train`, `val` or `test` if `name` is one of the words for it, else None.

    >>> split_of("Validation"), split_of("training_set"), split_of("seg_test"), split_of("cats")
    ('val', 'train', 'test', None)
    """
    word = AROUND.sub("", re.sub(r"[-. ]", "_", name.casefold()))
    return next((split for split, words in SPLITS.items() if word in words), None)


def shown(names: Iterable[str], most: int = 6) -> str:
    """A few of many names, for a message.

    >>> shown("abcdefgh")
    'a, b, c, d, e, f and 2 more'
    """
    listed = list(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most:,} more" if len(listed) > most else "")
