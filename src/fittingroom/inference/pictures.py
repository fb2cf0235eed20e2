"""From files to answers: decoded by all cores, classified in batches, in order."""

from __future__ import annotations

import codecs
import io
import itertools
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from fittingroom.data.framing import read_or_reason
from fittingroom.data.own.folders import pictures_below
from fittingroom.data.own.listing import Picture
from fittingroom.data.pixels import at_once
from fittingroom.inference.classifier import Classifier, Prediction
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.machine import cores

CHUNK = 1 << 16  # bytes of standard input, at most, that are looked at together


@dataclass(frozen=True)
class Named:
    """A picture and what to call it."""

    name: str
    picture: Picture


@dataclass(frozen=True)
class Result:
    """What came of one picture: an answer, or why there is none."""

    name: str
    answer: Prediction | None
    fault: str = ""


def classify(
    classifier: Classifier, pictures: Iterable[Named | None], *, top: int = 3, sure_at: float | None = None
) -> Iterator[list[Result]]:
    """Results in the order of `pictures`, a batch at a time. One bad picture fails alone.

    `pictures` is read as it is needed, so that it may come from somebody who is still writing: None says that there is no
    more at the moment, and what came is answered.
    """
    framing = classifier.facts.framing

    def read(named: Named) -> np.ndarray | str:
        return read_or_reason(named.picture, framing)

    with warnings.catch_warnings(), ThreadPoolExecutor(cores()) as pool:
        warnings.simplefilter("ignore")  # of oddities in files that can be read all the same
        for batch in _batches(pictures, at_once(framing.shape)):
            found = list(pool.map(read, batch))
            images = [image for image in found if isinstance(image, np.ndarray)]
            said: Iterator[Prediction] = iter(())
            if images:
                said = iter(classifier.answers(*classifier.graph.run(np.stack(images)), top, sure_at))
            yield [
                Result(named.name, None, image) if isinstance(image, str) else Result(named.name, next(said))
                for named, image in zip(batch, found, strict=True)
            ]


def _batches(pictures: Iterable[Named | None], size: int) -> Iterator[list[Named]]:
    batch: list[Named] = []
    for named in itertools.chain(pictures, [None]):
        if named is not None:
            batch.append(named)
        if batch and (named is None or len(batch) == size):
            yield batch
            batch = []


def named_pictures(words: Sequence[str]) -> tuple[Iterable[Named | None], list[tuple[str, str]], int | None]:
    """The pictures that a person names, what could not be looked at, and how many there are (None: not known yet).

    Raises `FittingroomError` for a folder without pictures.
    """
    if "-" in words:
        if len(words) > 1:
            raise FittingroomError("- stands for what comes in on standard input; give it alone")
        return _from_stdin(), [], None
    named: list[Named] = []
    faults: list[tuple[str, str]] = []
    for word in words:
        path = Path(word)
        if path.is_dir():
            found, missed = pictures_below(path)
            if not found and not missed:
                raise FittingroomError(f"{path} has no picture (PNG, JPEG, WebP, BMP, GIF or TIFF) in it or below")
            named += [Named(str(file), file) for file in found]
            faults += [(str(path / fault.where), fault.reason) for fault in missed]
        else:
            named.append(Named(word, path))
    return named, faults, len(named)


def _from_stdin() -> Iterator[Named | None]:
    """One picture's bytes, or names of files, a line each, answered as they come: None where no more are there yet."""
    stream = cast(io.BufferedReader, sys.stdin.buffer)
    came = stream.read1(CHUNK)
    if not came:
        raise FittingroomError("nothing came in on standard input; give a picture, or names of files, a line each")
    if _is_picture(came):
        yield Named("-", came + stream.read())
        return
    rest = b""
    while came:
        *lines, rest = (rest + came).split(b"\n")
        yield from map(_named, filter(None, (line.rstrip(b"\r") for line in lines)))
        yield None
        came = stream.read1(CHUNK)
    if rest:
        yield _named(rest)


def _named(line: bytes) -> Named:
    word = line.decode("utf-8", "surrogateescape")
    return Named(word, Path(word))


def _is_picture(head: bytes) -> bool:
    """Whether these are the first bytes of a picture, and no names: by what formats begin with, or as they are no text.

    >>> _is_picture(b"RIFF\\n\\0\\0\\0WEBP"), _is_picture(b"GIF89a"), _is_picture(b"BMW.jpg\\nRIFF.png\\n")
    (True, True, False)
    """
    if head.startswith((b"GIF87a", b"GIF89a")) or (head[:4], head[8:12]) == (b"RIFF", b"WEBP"):
        return True
    if head.startswith(b"BM") and head[6:10] == bytes(4):
        return True
    try:
        return "\0" in codecs.getincrementaldecoder("utf-8")().decode(head.partition(b"\n")[0])
    except UnicodeDecodeError:
        return True
