"""Data sets for pages: samples by class, duplicates, suspects, and what a person decided about them."""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fittingroom.data import Dataset, load, not_test, reload
from fittingroom.data.catalog import catalog, entry
from fittingroom.data.decisions import DECISIONS, Decision, excluded_rows, read_decisions, write_decisions
from fittingroom.data.duplicates import cached_groups
from fittingroom.data.own import Own, known
from fittingroom.metrics.audit import Audit
from fittingroom.report.pictures import data_uri, png_bytes
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.printable import called
from fittingroom.spec.recipe import ShapeSpec
from fittingroom.store import Runs
from fittingroom.store.runs import MOST_TEXT
from fittingroom.store.seal import Damaged, sealed_record
from fittingroom.ui.opaque import opaque

SAMPLES = 60  # on a page
GROUPS = 60


@dataclass(frozen=True)
class About:
    """A data set in the list."""

    id: str
    name: str
    title: str
    digest: str = ""  # of pictures of one's own in one shape; "" where the name says all

    @property
    def own(self) -> bool:
        return bool(self.digest)


class Collection:
    """The data sets that this machine knows; their images are loaded when they are looked at, one set at a time."""

    def __init__(self, runs: Runs, home_dir: Path) -> None:
        self.runs, self.home_dir = runs, home_dir
        self._lock = threading.Lock()
        self._load = functools.lru_cache(maxsize=2)(lambda name, shape: load(name, home_dir, shape=shape))
        self._reload = functools.lru_cache(maxsize=2)(lambda name, digest: reload(name, digest, home_dir))

    def all(self) -> Sequence[About]:
        """The shipped sets, and one's own pictures in every shape that they were made into: decisions count for one."""
        shipped = [About(opaque(name), name, entry(name, self.home_dir).title) for name in catalog(self.home_dir)]
        shapes = {(about.name, about.shape, about.resize): about for about, _ in known(self.home_dir)}  # the latest
        own = [About(opaque(f"{a.name} {a.digest}"), a.name, _in_shape(a), a.digest) for a in shapes.values()]
        return [*shipped, *own]

    def find(self, wanted: str) -> About:
        """The data set of this id. Raises `FittingroomError`."""
        for about in self.all():
            if about.id == wanted:
                return about
        raise FittingroomError("there are no such data here; see the list")

    def data(self, about: About) -> Dataset:
        with self._lock:
            return self._reload(about.name, about.digest) if about.own else self._load(about.name, None)

    def samples(self, data: Dataset, c: int | None, first: int) -> tuple[list[dict[str, Any]], int]:
        """Training images (of class `c`, or of all) from the `first` on, and how many there are."""
        images = not_test(data)
        rows = np.arange(len(images)) if c is None else np.flatnonzero(images.labels_N == c)
        shown = rows[first : first + SAMPLES]
        return [self._picture(data, "train", int(row)) for row in shown], len(rows)

    def twins(self, data: Dataset) -> list[list[dict[str, Any]]]:
        """Groups of training images that are (nearly) the same."""
        group_N = cached_groups(data.train.images_NCHW, data.digest, self.home_dir)
        numbers, counts = np.unique(group_N, return_counts=True)
        several = numbers[counts > 1][:GROUPS]
        return [[self._picture(data, "train", int(row)) for row in np.flatnonzero(group_N == g)[:6]] for g in several]

    def suspects(self, data: Dataset, split: str) -> tuple[Audit | None, list[dict[str, Any]]]:
        """What `fittingroom audit` left about a split, each suspect with its picture and decision; (None, []) if nothing."""
        path = self.runs.audit_file(data.name, split)
        try:
            audit = sealed_record(Audit, path, MOST_TEXT)
        except FileNotFoundError:
            return None, []
        except Damaged as error:
            raise Damaged(f"{path} {error}; audit again") from None
        decided = self.decided(data)
        told = []
        for s in audit.suspects:
            one = self._picture(data, split, s.index)
            told.append(one | {"suspect": s, "decision": decided.get((split, s.index), "")})
        return audit, told

    def decided(self, data: Dataset) -> dict[tuple[str, int], Decision]:
        return read_decisions(self.runs.decisions_file(data.name), data.digest)

    def exclusion(self, name: str, shape: ShapeSpec) -> Path:
        """The file of decisions that leaves out images of these data, made into this shape.

        Raises `FittingroomError` if it says nothing about them: a training would refuse it.
        """
        wanted = ShapeSpec(**{key: getattr(shape, key) for key in ShapeSpec.model_fields})
        path = self.runs.decisions_file(name)
        if not path.is_file():
            raise FittingroomError.at(
                "data.exclude", f"nothing was decided about {name}; see its suspect labels under Data"
            )
        with self._lock:
            excluded_rows(str(path), self._load(name, wanted))
        return path

    def decide(self, data: Dataset, split: str, row: int, decision: str) -> None:
        """Keep a decision, or take it back ("")."""
        if split not in ("train", "test") or not row >= 0 or decision not in ("", *DECISIONS):
            raise FittingroomError("a decision is one of: " + ", ".join(DECISIONS))
        with self._lock:
            decided = self.decided(data)
            decided.pop((split, row), None)
            for known_one in DECISIONS:
                if known_one == decision:
                    decided[split, row] = known_one
            write_decisions(self.runs.decisions_file(data.name), data.digest, decided)

    def _picture(self, data: Dataset, split: str, row: int) -> dict[str, Any]:
        uri, name, names_N = "", "", None
        if split == "train":
            images = not_test(data)
            if row < len(images):
                uri, names_N = data_uri(png_bytes(images.images_NCHW[row : row + 1][0])), images.names_N
                name = data.classes[images.labels_N[row]]
        else:
            kept, names_N = self.runs.kept_pictures(data.digest)
            if kept is not None and row < len(kept):
                uri = data_uri(png_bytes(kept[row]))
        return {"row": row, "called": called(names_N, row), "split": split, "image": uri, "class": name}


def _in_shape(about: Own) -> str:
    return f"{about.name}, {'×'.join(map(str, about.shape))}"
