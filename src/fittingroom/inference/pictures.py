"""From files to answers: decoded by all cores, classified in batches, in order."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from fittingroom.data.framing import read_or_reason
from fittingroom.data.own.listing import Picture
from fittingroom.data.pixels import at_once
from fittingroom.inference.classifier import Answer, Classifier
from fittingroom.spec.machine import cores


@dataclass(frozen=True)
class Named:
    """A picture and what to call it."""

    name: str
    picture: Picture


@dataclass(frozen=True)
class Result:
    """What came of one picture: an answer, or why there is none."""

    name: str
    answer: Answer | None
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
            said: Iterator[Answer] = iter(())
            if images:
                said = iter(classifier.answers(classifier.graph.run(np.stack(images))[1], top, sure_at))
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
