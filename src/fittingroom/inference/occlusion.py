"""Which parts an answer rests on, by asking the graph again with parts hidden. `web/occlusion.js` does the same."""

from __future__ import annotations

import math

import numpy as np

from fittingroom.inference.classifier import Graph

HIDDEN = 128  # the grey of the square that hides
PATCH = 1 / 7  # of the smaller side: the square's


def occlusion(graph: Graph, image_CHW: np.ndarray, c: int) -> np.ndarray:
    """How far the probability of class `c` falls, on average, when a grey square covers a pixel: (H,W) float64.

    The square has a seventh of the image's smaller side and moves by half of itself (Zeiler & Fergus 2014, arXiv:1311.2901).
    """
    _, height, width = image_CHW.shape
    side = max(2, math.floor(min(height, width) * PATCH + 0.5))
    places = [(top, left) for top in _starts(height, side) for left in _starts(width, side)]
    hidden = np.repeat(image_CHW[None], len(places) + 1, axis=0)
    for one, (top, left) in zip(hidden[1:], places, strict=True):
        one[:, top : top + side, left : left + side] = HIDDEN
    _, p_NK = graph.predict(hidden)
    total, times = np.zeros((height, width)), np.zeros((height, width))
    for (top, left), fall in zip(places, p_NK[0, c] - p_NK[1:, c].astype(np.float64), strict=True):
        total[top : top + side, left : left + side] += fall
        times[top : top + side, left : left + side] += 1
    return np.asarray(total / times)


def _starts(size: int, side: int) -> list[int]:
    """Where squares begin, so that the last one ends at the edge."""
    return [*range(0, max(0, size - side), max(1, side // 2)), max(0, size - side)]
