"""Whether a model's confidence means what it says: calibration errors, reliability, temperature scaling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

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
    p_NK = softmax(logits_NK.astype(np.float64), axis=1)
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
    return np.asarray(softmax(logits_NK.astype(np.float64) / t, axis=1))


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
    logits_NK, rows = logits_NK.astype(np.float64), np.arange(len(labels_N))

    def loss(log_t: float) -> float:
        return float(-log_softmax(logits_NK / np.exp(log_t), axis=1)[rows, labels_N].mean())

    found = minimize_scalar(loss, bounds=(np.log(COOLEST), np.log(HOTTEST)), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))
