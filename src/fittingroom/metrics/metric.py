"""What "better" can mean: each metric as one value an image, whose mean over the images is the score.

That form is what the paired verdict needs. A metric that is no mean of per-image values (balanced accuracy, macro F1, areas
under curves) is given by its influence function: the score plus what each image adds to it, the linearisation behind the delta
method and the infinitesimal jackknife (Efron & Tibshirani, *An Introduction to the Bootstrap*, 1993, ch. 22). Calibration errors
are not among them: they are biased upwards, by an amount that depends on the number of images, so a difference would mislead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from fittingroom.metrics.against_rest import cost, lead, log_odds, precision, sensitivity, specificity
from fittingroom.metrics.areas import average_precision, roc_auc
from fittingroom.metrics.distributions import log_softmax, softmax
from fittingroom.spec.errors import unknown

Values = Callable[[np.ndarray, np.ndarray], np.ndarray]  # logits (N,K), labels (N,) → values (N,)
OfClass = Callable[[np.ndarray, np.ndarray], np.ndarray]  # scores (N,), which are of the class (N,) bool → values (N,)


@dataclass(frozen=True)
class Metric:
    """A score that can decide a comparison. `values(logits_NK, labels_N)` gives N numbers whose mean is the score."""

    name: str
    title: str
    values: Values
    larger_is_better: bool = True
    scale: float = 100.0  # from the stored value to the shown one: fractions are shown in percent
    unit: str = " %"
    steps: str = "points"  # what a difference is counted in
    digits: int = 2
    least_classes: int = 2  # with fewer it says the same of every model
    has_yardstick: bool = False  # whether always naming the largest class has one score, however sure
    ranks: bool = False  # whether it holds images against one another, which only means something by the same model
    decides: bool = True  # whether it looks at answers, which another threshold changes, and not at probabilities
    # whether it is of one class against the rest: of two classes the second, of several the mean over all
    of_a_class: bool = False

    def score(self, logits_NK: np.ndarray, labels_N: np.ndarray) -> float:
        """The score of one model; NaN for no images.

        >>> METRICS["accuracy"].score(np.array([[2.0, 1.0], [0.0, 1.0]]), np.array([0, 0]))
        0.5
        """
        return float(np.mean(self.values(logits_NK, labels_N))) if len(labels_N) else float("nan")

    def values_by(self, part_N: np.ndarray | None, logits_NK: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
        """`values`, where the images of each part of a cross-validation had a model of their own.

        What `ranks` is taken within each part: a mean over the parts (Airola et al. 2011 show what pooling would do).
        """
        if part_N is None or not self.ranks:
            return self.values(logits_NK, labels_N)
        found_N = np.empty(len(labels_N))
        for part in np.unique(part_N):
            mine = part_N == part
            found_N[mine] = self.values(logits_NK[mine], labels_N[mine])
        return found_N

    def of_largest_class(self, labels_N: np.ndarray) -> float | None:
        """The score of always naming the largest class; None where logits decide, and for no images.

        >>> METRICS["accuracy"].of_largest_class(np.array([0, 0, 1])), METRICS["log_loss"].of_largest_class(np.array([0, 1]))
        (0.6666666666666666, None)
        """
        if not self.has_yardstick or not len(labels_N):
            return None
        largest = np.eye(int(labels_N.max()) + 1)[[np.bincount(labels_N).argmax()]].repeat(len(labels_N), 0)
        return self.score(largest, labels_N)

    @property
    def short(self) -> str:
        """Its name in a table's head.

        >>> METRICS["roc_auc"].short
        'ROC AUC'
        """
        return self.name.replace("_", " ").replace("roc auc", "ROC AUC")

    def of(self, positive: str = "", costs: tuple[float, float] | None = None) -> Metric:
        """The same, of the class `positive` against the rest; `costs` are those of a miss and of a false alarm.

        >>> METRICS["sensitivity"].of("cat").title
        'sensitivity for “cat”'
        """
        found = self
        if positive:
            found = replace(found, title=f"{self.title.removeprefix('test ').split(' (')[0]} for “{positive}”")
        if costs and self.name == "cost":
            found = replace(found, values=_each(partial(cost, miss=costs[0], false_alarm=costs[1]), lead))
        return found

    def show(self, value: float | None) -> str:
        """A value as text, without its unit; a dash for None.

        >>> METRICS["accuracy"].show(0.9361), METRICS["log_loss"].show(0.21)
        ('93.61', '0.2100')
        """
        return "–" if value is None else f"{self.scale * value:.{self.digits}f}"

    def signed(self, value: float) -> str:
        """A difference as text, with its sign and without its unit."""
        return f"{self.scale * value:+.{self.digits}f}"


def right(logits_NK: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    """1.0 for each image whose largest logit is the label's, else 0.0."""
    return np.asarray(logits_NK.argmax(1) == labels_N, np.float64)


def _balanced(logits_NK: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    right_N, count_K = right(logits_NK, labels_N), np.bincount(labels_N, minlength=logits_NK.shape[1])
    recall_K = np.bincount(labels_N, right_N, minlength=len(count_K)) / np.maximum(count_K, 1)
    present = count_K > 0
    weight_K = len(labels_N) / (present.sum() * np.maximum(count_K, 1))
    return np.asarray(recall_K[present].mean() + weight_K[labels_N] * (right_N - recall_K[labels_N]))


def _f1(logits_NK: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    n, k = logits_NK.shape
    predicted_N = logits_NK.argmax(1)
    right_N = predicted_N == labels_N
    both_K = (np.bincount(labels_N, minlength=k) + np.bincount(predicted_N, minlength=k)) / n
    f1_K = 2 * np.bincount(labels_N[right_N], minlength=k) / n / np.maximum(both_K, 1e-300)
    seen = both_K > 0
    n_seen = int(seen.sum())
    slope_K = np.where(seen, 1 / np.maximum(both_K, 1e-300), 0.0)
    added_N = 2 * right_N * slope_K[labels_N]
    added_N = added_N - (f1_K * slope_K)[labels_N] - (f1_K * slope_K)[predicted_N]
    return np.asarray(f1_K[seen].sum() / n_seen + added_N / n_seen)


def _top(k: int) -> Values:
    def values(logits_NK: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
        own_N = logits_NK[np.arange(len(labels_N)), labels_N]
        return np.asarray((logits_NK > own_N[:, None]).sum(1) < k, np.float64)

    return values


def _log_loss(logits_NK: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    return np.asarray(-log_softmax(logits_NK.astype(np.float64))[np.arange(len(labels_N)), labels_N])


def _brier(logits_NK: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    miss_NK = softmax(logits_NK.astype(np.float64))
    miss_NK[np.arange(len(labels_N)), labels_N] -= 1
    return np.asarray((miss_NK**2).sum(1))


def _each(of_class: OfClass, score: Callable[[np.ndarray, int], np.ndarray]) -> Values:
    """A metric of one class as the mean over the classes that some images have and some have not, each against the rest.

    Of two classes it is that of the second. NaN where there is none.
    """

    def values(logits_NK: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
        k, count_K = logits_NK.shape[1], np.bincount(labels_N, minlength=logits_NK.shape[1])
        present = [c for c in ([1] if k == 2 else range(k)) if 0 < count_K[c] < len(labels_N)]
        if not present:
            return np.full(len(labels_N), np.nan)
        return np.asarray(np.mean([of_class(score(logits_NK, c), labels_N == c) for c in present], axis=0))

    return values


EACH = " (mean of each class against the rest)"


def _area(name: str, title: str, of_class: OfClass, has_yardstick: bool = False) -> Metric:
    return Metric(
        name, title + EACH, _each(of_class, log_odds),
        scale=1.0, unit="", steps="", digits=4, ranks=True, has_yardstick=has_yardstick, decides=False, of_a_class=True,
    )  # fmt: skip


_SMALLER = {"larger_is_better": False, "scale": 1.0, "digits": 4, "unit": "", "steps": ""}
_NATS = _SMALLER | {"unit": " nats", "steps": "nats"}
METRICS = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "test accuracy", right, has_yardstick=True),
        Metric("balanced_accuracy", "balanced accuracy (mean recall of the classes)", _balanced, has_yardstick=True),
        Metric("macro_f1", "macro F1 (mean F1 of the classes)", _f1, has_yardstick=True),
        Metric("top_2_accuracy", "top-2 accuracy", _top(2), least_classes=3, decides=False),
        Metric("top_3_accuracy", "top-3 accuracy", _top(3), least_classes=4, decides=False),
        _area("roc_auc", "area under the ROC curve", roc_auc, has_yardstick=True),
        _area("average_precision", "average precision", average_precision),
        Metric("sensitivity", "sensitivity" + EACH, _each(sensitivity, lead), of_a_class=True),
        Metric("specificity", "specificity" + EACH, _each(specificity, lead), of_a_class=True),
        Metric("precision", "precision" + EACH, _each(precision, lead), of_a_class=True),
        Metric("cost", "cost of an image" + EACH, _each(cost, lead), of_a_class=True, **_SMALLER),  # type: ignore[arg-type]
        Metric("log_loss", "log loss (mean cross-entropy)", _log_loss, decides=False, **_NATS),  # type: ignore[arg-type]
        Metric("brier", "Brier score (squared error of the probabilities)", _brier, decides=False, **_SMALLER),  # type: ignore[arg-type]
    )
}
ALIASES = {"recall": "sensitivity"}
ACCURACY, LOG_LOSS = METRICS["accuracy"], METRICS["log_loss"]


def metric(name: str) -> Metric:
    """The metric of this name ("recall" is sensitivity); `FittingroomError` with the nearest right one otherwise.

    >>> metric("log_loss").larger_is_better
    False
    """
    name = ALIASES.get(name, name)
    if name not in METRICS:
        raise unknown("metric", name, list(METRICS), ", ".join(METRICS))
    return METRICS[name]
