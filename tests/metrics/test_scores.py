"""Scores against torchmetrics and scikit-learn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import sklearn.metrics
import torch
import torchmetrics.functional.classification as tm
from hypothesis import given, settings
from hypothesis import strategies as st

from fittingroom.metrics.areas import GRID, precision_curve, roc_curve
from fittingroom.metrics.calibration import calibration_error, reliability, temperature
from fittingroom.metrics.classes import mean_confusion
from fittingroom.metrics.metric import METRICS, metric
from fittingroom.metrics.scores import scores
from fittingroom.spec.errors import FittingroomError


def case(seed: int, n: int, k: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, k)).astype(np.float32) * scale, rng.integers(0, k, n)


def _macro(of_class: Callable[..., float], labels: np.ndarray, p: np.ndarray) -> float:
    """The mean over the classes that some images have and some have not; of two classes, that of the second."""
    classes = [1] if p.shape[1] == 2 else range(p.shape[1])
    found = [of_class(labels == c, p[:, c]) for c in classes if 0 < (labels == c).sum() < len(labels)]
    return float(np.mean(found)) if found else float("nan")


@settings(max_examples=40)
@given(
    st.integers(0, 9999), st.integers(1, 300), st.integers(2, 12), st.floats(0.1, 3)
)  # torchmetrics keeps a bin of its own for confidences that round to 1
def test_against_the_oracles(seed: int, n: int, k: int, scale: float) -> None:
    logits, labels = case(seed, n, k, scale)
    predicted = logits.argmax(1)
    p = torch.softmax(torch.from_numpy(logits).double(), 1).numpy()
    said = predicted[:, None] == np.arange(k)
    oracle = {
        "accuracy": sklearn.metrics.accuracy_score(labels, predicted),
        "balanced_accuracy": np.mean([(predicted[labels == c] == c).mean() for c in np.unique(labels)]),
        "macro_f1": sklearn.metrics.f1_score(labels, predicted, average="macro"),
        "roc_auc": _macro(sklearn.metrics.roc_auc_score, labels, p),
        "average_precision": _macro(sklearn.metrics.average_precision_score, labels, p),
        "sensitivity": _macro(sklearn.metrics.recall_score, labels, said),
        "specificity": _macro(lambda own, found: sklearn.metrics.recall_score(~own, ~found), labels, said),
        "precision": _macro(
            lambda own, found: sklearn.metrics.precision_score(own, found, zero_division=0), labels, said
        ),
        "cost": _macro(sklearn.metrics.zero_one_loss, labels, said),
        "log_loss": -np.log(np.maximum(p[np.arange(n), labels], 1e-300)).mean(),
        "brier": ((p - np.eye(k)[labels]) ** 2).sum(1).mean(),
        **{
            f"top_{top}_accuracy": sklearn.metrics.top_k_accuracy_score(labels, p, k=top, labels=range(k))
            if k > top
            else float((np.argsort(-p, 1)[:, :top] == labels[:, None]).any(1).mean())
            for top in (2, 3)
        },
    }
    assert set(oracle) == set(METRICS)
    for name, expected_score in oracle.items():
        assert metric(name).score(logits, labels) == pytest.approx(expected_score, rel=1e-5, nan_ok=True), name
    expected = sklearn.metrics.confusion_matrix(labels, predicted, labels=range(k))
    assert np.array_equal(mean_confusion(predicted[None], labels, k), expected)
    ece = tm.multiclass_calibration_error(torch.from_numpy(p), torch.from_numpy(labels), k, n_bins=15)
    assert calibration_error(logits, labels) == pytest.approx(float(ece), abs=1e-6)


def test_scores_of_nothing_wrong() -> None:
    found = scores(np.eye(4, dtype=np.float32) * 100, np.arange(4))
    assert (found.n, found.accuracy, found.ece) == (4, 1.0, 0.0) and found.loss < 1e-9


def test_per_image_values_carry_the_metrics_own_uncertainty() -> None:
    """The spread of the values is the standard error that a bootstrap over images (within classes) finds."""
    rng = np.random.default_rng(0)
    n, k = 2000, 5
    labels = rng.choice(k, n, p=[0.5, 0.3, 0.1, 0.07, 0.03])
    logits = (rng.normal(size=(n, k)) + 1.5 * np.eye(k)[labels]).astype(np.float32)
    for name in set(METRICS) - {"cost", "brier"}:
        by = metric(name)
        values = by.values(logits, labels)
        within = sum(((values[labels == c] - values[labels == c].mean()) ** 2).sum() for c in range(k))
        ours = np.sqrt(within) / n
        scores_ = []
        for _ in range(400):
            rows = np.concatenate([rng.choice(np.flatnonzero(labels == c), (labels == c).sum()) for c in range(k)])
            scores_.append(by.score(logits[rows], labels[rows]))
        assert ours == pytest.approx(np.std(scores_), rel=0.15), name


def test_areas_of_two_models_are_compared_as_delong_does() -> None:
    """The variance of a difference of two areas on the same images, from the covariances of their placements."""
    rng = np.random.default_rng(1)
    labels = (rng.random(400) < 0.3).astype(int)
    shared = rng.normal(size=400) + labels
    scores_2N = shared + rng.normal(size=(2, 400)) * [[0.5], [1.0]]
    placed = []
    for score_N in scores_2N:
        ahead = score_N[labels == 1][:, None] > score_N[labels == 0]
        placed.append((ahead.mean(1), ahead.mean(0)))
    variance = sum(np.cov([a[i], b[i]]) / len(a[i]) for a, b in [placed] for i in (0, 1))
    wanted = variance[0, 0] + variance[1, 1] - 2 * variance[0, 1]
    by = metric("roc_auc")
    values = [by.values(np.stack([-s, s], 1), labels) for s in scores_2N]
    difference = values[0] - values[1]
    assert difference.mean() == pytest.approx(placed[0][0].mean() - placed[1][0].mean())
    assert difference.var(ddof=1) / 400 == pytest.approx(wanted, rel=0.02)


@given(st.integers(0, 9999), st.integers(4, 60))
def test_the_roc_curve_is_scikit_learns(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.append([0, 1], rng.integers(0, 2, n))
    logits = np.stack([np.zeros(n + 2), rng.integers(0, 8, n + 2)], 1).astype(np.float32)  # with ties
    false, found, _ = sklearn.metrics.roc_curve(labels, logits[:, 1], drop_intermediate=False)
    ours = roc_curve(logits[:, 1], labels == 1)
    for at, value in zip(GRID, ours, strict=True):
        below, above = found[false <= at].max(), found[false >= at].min()
        assert below - 1e-9 <= value <= max(above, below) + 1e-9
    assert np.trapezoid(ours, GRID) == pytest.approx(sklearn.metrics.roc_auc_score(labels, logits[:, 1]), abs=0.03)
    precision, recall, _ = sklearn.metrics.precision_recall_curve(labels, logits[:, 1])
    for at, value in zip(GRID, precision_curve(logits[:, 1], labels == 1), strict=True):
        if at > 0:  # the highest of the thresholds that find so many
            assert value == pytest.approx(precision[recall >= at - 1e-9][-1])


def test_ties_count_half_and_parts_of_a_cross_validation_apart() -> None:
    labels = np.array([0, 0, 1, 1])
    same = np.zeros((4, 2))
    assert metric("roc_auc").score(same, labels) == 0.5 == metric("roc_auc").of_largest_class(labels)
    good = np.array([[5.0, 0], [0, 1], [1, 0], [0, 5.0]])[[0, 2, 1, 3]]
    shifted = good + np.array([[0, 0], [0, 9.0]])[[0, 1, 0, 1]]  # the second part's model prefers the second class
    part_N = np.array([0, 1, 0, 1])
    by = metric("roc_auc")
    assert by.values_by(part_N, shifted, labels).mean() == 1.0 > by.score(shifted, labels)
    assert np.isnan(by.score(good, np.zeros(4, int)))


def test_an_unknown_metric_is_told_its_nearest() -> None:
    with pytest.raises(FittingroomError, match='nearest: "log_loss"'):
        metric("logloss")


def test_equal_mass_bins_hold_equally_many_and_both_kinds_agree_on_the_whole() -> None:
    logits, labels = case(1, 3000, 10, 1.0)
    bins = reliability(logits, labels, bins=10, equal="mass")
    assert {b.n for b in bins} == {300}
    for equal in ("mass", "width"):
        bins = reliability(logits, labels, equal=equal)
        assert sum(b.n for b in bins) == 3000
        assert sum(b.n * b.accuracy for b in bins) / 3000 == pytest.approx((logits.argmax(1) == labels).mean())


def test_temperature_is_where_torch_puts_it_and_undoes_an_overconfident_scaling() -> None:
    rng = np.random.default_rng(0)
    honest = rng.normal(size=(5000, 4)) * 2
    labels = np.array([rng.choice(4, p=np.exp(x) / np.exp(x).sum()) for x in honest])
    found = temperature(3 * honest, labels)
    assert found == pytest.approx(3, rel=0.06)
    log_t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_t], max_iter=100)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(torch.from_numpy(3 * honest) / log_t.exp(), torch.from_numpy(labels))
        loss.backward()
        return loss

    optimizer.step(closure)
    assert found == pytest.approx(log_t.detach().exp().item(), rel=1e-4)
    assert calibration_error(3 * honest / found, labels) < calibration_error(3 * honest, labels) / 3
