"""Whether a model's confidence means what it says: calibration errors, reliability, temperature scaling."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fittingroom.metrics.distributions import softmax
from fittingroom.spec.errors import FittingroomError

BINS = 15
COOLEST, HOTTEST = 0.05, 20.0  # range in which a temperature is sought
FEWEST_TO_FIT = 100  # validation images: fifteen, all of them right, would make any answer 100 % sure


@dataclass(frozen=True)
class Bin:
    """Images whose confidence lies in (low, high]: how many, how sure on average, and how many right (fractions)."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


def reliability(logits_NK: np.ndarray, labels_N: np.ndarray, bins: int = BINS, equal: str = "width") -> list[Bin]:
    """The bins of a reliability diagram, empty ones left out.

    `equal` is "width" (Guo et al. 2017, arXiv:1706.04599) or "mass": as many images in each bin (Nixon et al. 2019,
    arXiv:1904.01685), where ties of the confidence stay together.

    >>> reliability(np.array([[50.0, 0.0]]), np.array([1]))[0].accuracy
    0.0
    """
    if not len(labels_N):
        return []
    p_NK = softmax(logits_NK.astype(np.float64))
    confidence_N, right_N = p_NK.max(1), p_NK.argmax(1) == labels_N
    if equal == "width":
        edges = np.linspace(0, 1, bins + 1)
        bin_N = np.clip(np.ceil(confidence_N * bins).astype(int) - 1, 0, bins - 1)
    else:
        edges = np.quantile(confidence_N, np.linspace(0, 1, bins + 1))
        bin_N = np.clip(np.searchsorted(edges, confidence_N, side="left") - 1, 0, bins - 1)
    n_B = np.bincount(bin_N, minlength=bins)
    sure_B, right_B = (np.bincount(bin_N, x, minlength=bins) / np.maximum(n_B, 1) for x in (confidence_N, right_N))
    return [
        Bin(float(edges[b]), float(edges[b + 1]), int(n_B[b]), float(sure_B[b]), float(right_B[b]))
        for b in np.flatnonzero(n_B)
    ]


def calibration_error(logits_NK: np.ndarray, labels_N: np.ndarray, bins: int = BINS, equal: str = "width") -> float:
    """Expected calibration error: |accuracy - confidence| over the bins, weighted by their images; NaN for no images.

    Naeini et al. 2015; Guo et al. 2017 (arXiv:1706.04599). With few images it is too large even for a perfect model.

    >>> calibration_error(np.array([[50.0, 0.0]]), np.array([1]))
    1.0
    """
    found = reliability(logits_NK, labels_N, bins, equal)
    n = sum(b.n for b in found)
    return sum(b.n * abs(b.accuracy - b.confidence) for b in found) / n if n else float("nan")


def probabilities(logits_NK: np.ndarray, t: float) -> np.ndarray:
    """Probabilities (N,K) that mean what they say: softmax at temperature `t`, fitted on images the model did not see."""
    return np.asarray(softmax(logits_NK.astype(np.float64) / t))


def temperature(logits_NK: np.ndarray, labels_N: np.ndarray) -> float:
    """The T > 0 that makes `logits / T` least wrong (log loss); fit it on validation, use it on test.

    Guo et al. 2017 (arXiv:1706.04599). T > 1: the model was too sure of itself. Accuracy stays as it is.
    1 for fewer than `FEWEST_TO_FIT` images. Raises `FittingroomError` for none.

    >>> logits = np.array([[4.0, 0.0]] * 75 + [[0.0, 4.0]] * 25)  # 98 % sure, right three times of four
    >>> round(temperature(logits, np.zeros(100, int)), 2)
    3.64
    >>> temperature(logits[:50], np.zeros(50, int))
    1.0
    """
    if not len(labels_N):
        raise FittingroomError(
            "a temperature is fitted on validation images, and there are none; set data.val_fraction"
        )
    if len(labels_N) < FEWEST_TO_FIT:
        return 1.0
    z_NK = logits_NK.astype(np.float64)
    true_N = z_NK[np.arange(len(labels_N)), labels_N]
    low, high, sharpness = 1 / HOTTEST, 1 / COOLEST, 1.0
    while True:  # Newton's steps on 1/T, in which the loss is convex; where one leaves the bounds, the middle
        p_NK = softmax(sharpness * z_NK)
        mean_N = (p_NK * z_NK).sum(1)
        slope, curvature = float((mean_N - true_N).mean()), float(((p_NK * z_NK**2).sum(1) - mean_N**2).mean())
        low, high = (low, sharpness) if slope > 0 else (sharpness, high)
        following = sharpness - slope / curvature if curvature > 0 else math.inf
        if not low < following < high:
            following = math.sqrt(low * high)
        if abs(following - sharpness) <= 1e-9 * sharpness:
            return 1 / following
        sharpness = following
