"""Comparisons for pages: read once, kept while their runs stay the same; cells, galleries and disagreements out of them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fittingroom.metrics.story import Story, gather, of_study
from fittingroom.metrics.verdict import Question
from fittingroom.report.page import report_context
from fittingroom.report.pictures import data_uri, png_bytes
from fittingroom.spec.errors import FittingroomError
from fittingroom.store import RunFolder, Runs

KEPT = 6  # comparisons in memory
GALLERY = 120  # images on a page


class Drawn:
    """A comparison's stories; the report's context, drawn charts and all, is made in a thread when it is first asked for."""

    def __init__(self, stories: list[Story], runs: Runs) -> None:
        self.stories, self.runs = stories, runs
        self.failed = ""  # why the figures cannot be drawn, if so
        self._context: dict[str, Any] | None = None
        self._lock = threading.Lock()
        self._drawing: threading.Thread | None = None

    def context(self, most_s: float) -> dict[str, Any] | None:
        """What the report's template needs; None if it is not drawn within `most_s` seconds."""
        with self._lock:
            if self._drawing is None:
                self._drawing = threading.Thread(target=self._draw, daemon=True)
                self._drawing.start()
        self._drawing.join(most_s)
        return self._context

    def _draw(self) -> None:
        try:
            context = report_context(self.stories, self.runs, self.runs.path)
        except Exception as error:  # of a thread: the page that waits for it has to hear
            self.failed = f"{type(error).__name__}: {error}"
        else:
            for part in context["stories"]:
                part["data_page"] = ""  # a file beside the report; the pages have one of their own
            self._context = context


class Stories:
    """The latest comparisons, by the runs that they are of."""

    def __init__(self, runs: Runs) -> None:
        self.runs = runs
        self._kept: OrderedDict[tuple[object, ...], Drawn] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, folders: Sequence[RunFolder], study: str = "", question: Question = Question()) -> Drawn:
        """The comparison of finished runs, or of the study that they are, judged as `question` asks.

        Raises `FittingroomError` if it cannot be made.
        """
        times = sorted({(f.name, _changed(f.path / "DONE"), _changed(f.path / "stress.npz")) for f in folders})
        key = (study, question, *times)
        with self._lock:
            if key not in self._kept:
                alone = list({f.name: f for f in folders}.values())
                found = of_study(study, self.runs, question) if study else gather(alone, self.runs, question)
                self._kept[key] = Drawn(found, self.runs)
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]


def cells(story: Story, recipe: str) -> list[dict[str, Any]]:
    """A recipe's confusion matrix as lines of cells: the count, how deep its colour is, whether it is right."""
    counts = story.confusion(recipe)
    totals = counts.sum(1, keepdims=True)
    return [
        {
            "true": name,
            "cells": [
                {
                    "true": i,
                    "said": j,
                    "name": story.data.classes[j],
                    "count": "<1" if 0 < counts[i, j] < 1 else f"{counts[i, j]:.0f}",
                    "any": bool(counts[i, j]),
                    "shade": _shade(float(counts[i, j] / totals[i, 0]) if totals[i, 0] else 0.0, i == j),
                    "right": i == j,
                }
                for j in range(len(counts))
            ],
        }
        for i, name in enumerate(story.data.classes)
    ]


def _shade(share: float, right: bool) -> float:
    """How deep (0 … 1) a cell with this share of its class is coloured: mistakes are rare, and must be seen all the same.

    >>> _shade(0.9, True), _shade(0.01, False), _shade(0.3, False)
    (0.9, 0.2, 1.0)
    """
    return share if right else min(1.0, 2 * share**0.5)


def _changed(path: Path) -> int:
    """When a file was written last; 0 if there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def behind(story: Story, recipe: str, true: int, said: int) -> list[tuple[int, int]]:
    """The test images of class `true` that a seed of `recipe` takes for `said`, each with how many of its seeds do.

    Those that most seeds name so come first, of these the surest. The counts add up to the confusion matrix's cell.
    """
    seeds_N = (story.predicted(recipe) == said).sum(0)
    rows = np.flatnonzero((story.labels_N == true) & (seeds_N > 0))
    order = np.lexsort((-story.probabilities[recipe][rows, said], -seeds_N[rows]))
    return [(int(row), int(seeds_N[row])) for row in rows[order]]


def apart(story: Story, a: str, b: str, only: str) -> list[int]:
    """The test images on which two recipes disagree, the clearest first. `only`: "a" or "b" is right, or "any"."""
    p_a, p_b = story.probabilities[a], story.probabilities[b]
    said_a, said_b, true = p_a.argmax(1), p_b.argmax(1), story.labels_N
    wanted = {"a": (said_a == true) & (said_b != true), "b": (said_b == true) & (said_a != true)}
    rows = np.flatnonzero(wanted.get(only, said_a != said_b))
    gap = np.abs(p_a[rows] - p_b[rows]).max(1)
    return [int(row) for row in rows[np.argsort(-gap, kind="stable")]]


def image(story: Story, row: int) -> str:
    """A test image as a data: URI. Raises `FittingroomError` where the pictures are not at hand."""
    if story.thumbnails_NCHW is None:
        raise FittingroomError(f"the pictures of {story.data.title} are not in this runs folder")
    return data_uri(png_bytes(story.thumbnails_NCHW[row]))


def bars(story: Story, recipe: str, row: int, most: int = 5) -> list[dict[str, Any]]:
    """The likeliest classes of an image, by a recipe's mean probabilities."""
    p_K = story.probabilities[recipe][row]
    order = np.argsort(-p_K, kind="stable")[:most]
    return [{"name": story.data.classes[c], "p": float(p_K[c]), "right": bool(c == story.labels_N[row])} for c in order]
