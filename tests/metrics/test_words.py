"""Diagnoses, portraits and effects: each word rests on its number, and made-up curves get the finding they were made for."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import Run, curve

from fittingroom.metrics.diagnosis import diagnose
from fittingroom.metrics.effects import effects
from fittingroom.metrics.portrait import Side, against, calibrated, portrait
from fittingroom.metrics.verdict import Question, compare
from fittingroom.spec.records import Cost

x = np.arange(1, 13)
rise = 0.9 - 0.1 / x
CURVES = {
    "overfitting": curve(0.3 + 0.3 / x + 0.02 * x, rise, rise + 0.008 * x, 0.5 / x),
    "underfitting": curve(1.5 - 0.05 * x, rise, rise + 0.005),
    "instability": curve(0.3 + 0.2 / x, rise + 0.02 * (-1) ** x, rise),
    "slow start": curve(0.3 + 0.2 / x, np.r_[0.15, rise[1:]], np.r_[0.15, rise[1:]]),
    "divergence": curve(0.3 + 0.2 / x, np.r_[rise[:8], [0.1] * 4], rise, np.r_[0.5 / x[:8], [2.3] * 4]),
    "healthy": curve(0.3 + 0.2 / x, rise, rise + 0.005),
}


@pytest.mark.parametrize("kind", CURVES)
@pytest.mark.parametrize("seeds", [1, 3])
def test_each_curve_gets_its_finding_with_figures_and_advice(kind: str, seeds: int) -> None:
    found = diagnose([CURVES[kind]] * seeds, 10, 6000)
    assert [f.kind for f in found] == [kind] and ("(one seed)" in found[0].words) == (seeds == 1)
    assert re.search(r"\d", found[0].words) and bool(found[0].advice) == (kind != "healthy")


def test_where_overfitting_begins_is_the_lowest_validation_loss() -> None:
    losses = [e.val_loss for e in CURVES["overfitting"]]
    at = int(np.argmin(losses)) + 1
    finding = diagnose([CURVES["overfitting"]] * 2, 10, 6000)[0]
    assert f"lowest after epoch {at} ({min(losses):.3f}) and rises to {losses[-1]:.3f}" in finding.words  # type: ignore[type-var]
    assert f"train.epochs={at}" in finding.advice


def test_short_curves_and_missing_validation_say_so() -> None:
    assert diagnose([CURVES["healthy"][:5]], 10, 6000)[0].kind == "too short"
    blind = [e.model_copy(update={"val_loss": None, "val_accuracy": None}) for e in CURVES["healthy"]]
    assert diagnose([blind], 10, 6000)[0].kind == "too short"
    assert diagnose([CURVES["healthy"], CURVES["healthy"][:7]], 10, 6000)  # stopped at different epochs


def test_few_validation_images_excuse_a_gap_and_a_fluctuation() -> None:
    for kind in ("overfitting", "instability"):
        curve = [e.model_copy(update={"val_loss": 0.3}) for e in CURVES[kind]]  # nothing turns but the accuracies
        assert [f.kind for f in diagnose([curve] * 3, 10, 6000)] == [kind]
        found = diagnose([curve] * 3, 10, 30)
        assert [f.kind for f in found] == ["healthy"] and "with 30 validation images" in found[0].words


def test_a_weak_two_class_model_has_not_diverged_and_a_tiny_loss_may_wobble() -> None:
    weak = curve(0.69 - 0.01 * x, 0.55 + 0.012 * x, 0.56 + 0.012 * x)
    assert "divergence" not in [f.kind for f in diagnose([weak] * 2, 2, 6000)]
    tiny = curve(0.3 + 0.2 / x, rise, rise + 0.005, np.r_[0.5 / x[:10], 0.0010, 0.0017])
    assert diagnose([tiny] * 2, 10, 6000)[0].kind == "healthy"


@pytest.mark.parametrize(
    ("fooled", "n_val", "never"),
    [  # each was called so once
        (
            curve(0.4 - 0.03 * x, np.full(12, 1.0), np.full(12, 1.0)),
            300,
            "underfitting",
        ),  # all right on all parts, still surer
        (
            curve(0.3 + 0.2 / x, np.r_[np.full(11, 0.75), 0.25], rise, 0.5 / x),
            4,
            "divergence",
        ),  # four images, and 0.042 is 0.042
        (curve(0.3 + 0.3 / x + 0.03 * x, np.r_[0.3, rise[1:]], np.r_[0.3, rise[1:] + 0.09]), 6000, "slow start"),
    ],
)
def test_a_curve_that_fooled_a_rule(fooled: Any, n_val: int, never: str) -> None:
    assert never not in [f.kind for f in diagnose([fooled] * 2, 4, n_val)]


def test_what_was_lost_is_told_by_what_shows_it() -> None:
    """The training loss fell to the end, so it is no witness."""
    lost = curve(0.3 + 0.2 / x, np.r_[rise[:8], [0.1] * 4], rise, 0.5 / x)
    (finding,) = diagnose([lost] * 2, 10, 6000)
    assert finding.kind == "divergence" and "training loss" not in finding.words
    assert "validation accuracy was 88.8 % after epoch 8 and was lost again" in finding.words


def test_a_tenth_of_a_point_is_no_difference_in_overfitting() -> None:
    a, b = ([skilled(name, s, [2.0] * 4) for s in range(3)] for name in ("a", "b"))
    for run, lead in [*((r, 0.001) for r in a), *((r, 0.0) for r in b)]:
        run.epochs = curve(0.3 + 0.2 / x, rise, rise + 0.03 + lead + 1e-6 * run.seed)
    rows = {row.recipe: row for row in compare("x", [*a, *b]).rows}
    told = against(Side("a", a, rows["a"]), Side("b", b, rows["b"]), ["w", "x", "y", "z"])
    [words] = [sentence.text for sentence in told if sentence.topic == "overfitting"]
    assert words.startswith("a and b overfit alike, for all practical purposes")


def skilled(name: str, seed: int, skill: list[float], heat: float = 1.0, curve: str = "healthy", **facts: Any) -> Run:
    """A run whose logits are drawn: `skill` on each class, `heat` of its confidence."""
    k, n = len(skill), 3000
    labels_N = np.random.default_rng(0).integers(0, k, n)
    lead_NK = np.asarray(skill)[labels_N][:, None] * np.eye(k)[labels_N]
    logits_NK = heat * (np.random.default_rng([seed, len(name)]).normal(size=(n, k)) + lead_NK)
    return Run(name, seed, logits_NK, labels_N, CURVES[curve], **facts)


def side(name: str, skill: list[float], **kwargs: Any) -> Side:
    runs = [skilled(name, seed, skill, **kwargs) for seed in range(3)]
    return Side(name, runs, compare("toy", runs).rows[0])


CLASSES = ("shirt", "coat", "bag")


def test_sentences_carry_figures_and_find_the_class_that_differs() -> None:
    told = {s.topic: s.text for s in against(side("a", [3, 3, 3]), side("bb", [3, 1, 3], parameters=1000), CLASSES)}
    assert set(told) == {"stability", "overfitting", "cost", "classes", "look-alikes"}
    assert all(re.search(r"\d", text) for text in told.values())
    assert "better than bb at “coat”" in told["classes"] and "shirt" not in told["classes"].split(";")[0]
    assert "1/100 of the parameters (10 against 1 k)" in told["cost"] and "memory" not in told["cost"]
    assert "less often" in told["look-alikes"] and "cannot be told apart" in told["overfitting"]


def test_memory_is_told_where_it_was_measured() -> None:
    def cost(peak: int) -> Cost:
        return Cost(train_images_per_s=1.0, latency_1_s=1.0, latency_250_s=1.0, peak_memory_bytes=peak, threads=2, device="cpu", machine="x")  # fmt: skip

    sides = [side(name, [3, 3, 3], cost=cost(peak)) for name, peak in (("a", 400_000_000), ("bb", 1_000_000_000))]
    told = {s.topic: s.text for s in against(*sides, CLASSES)}
    assert "1/2.5 of the memory in training (400 against 1,000 MB)" in told["cost"]


@settings(max_examples=10)
@given(st.integers(0, 99))
def test_equals_are_told_apart_in_nothing_but_by_chance(seed: int) -> None:
    a, b = side("a", [2, 2, 2]), side("b" * (seed + 2), [2, 2, 2])
    told = " ".join(s.text for s in against(a, b, CLASSES))
    claims = [word in told for word in ("is better than", "less often", "more often", "steadier", "less steady")]
    assert sum(claims) <= 1


def test_calibration_is_named_by_its_direction_and_mended_by_a_temperature() -> None:
    hot = [skilled("hot", s, [2, 2, 2], heat=6.0) for s in range(2)]
    cold = [skilled("cold", s, [2, 2, 2], heat=0.2) for s in range(2)]
    assert (
        "too sure of itself" in portrait("hot", calibrated(hot)).text
        and "less sure than it could be" in portrait("cold", calibrated(cold)).text
    )
    c = calibrated(hot)
    assert c.temperature and c.temperature > 1 and c.ece_scaled is not None and c.ece_scaled < c.ece / 3
    for run in hot:
        run.held_out = False
    honest = [skilled("honest", s, [0, 0, 0]) for s in range(3)]
    for run in honest:  # labels drawn from what it says: perfectly calibrated
        p = np.exp(run.logits_NK) / np.exp(run.logits_NK).sum(1, keepdims=True)
        run.labels_N = np.array([np.random.default_rng(i).choice(3, p=row) for i, row in enumerate(p)])
    assert "as sure as it is right" in portrait("honest", calibrated(honest)).text
    assert calibrated(hot).temperature is None and "temperature" not in portrait("hot", calibrated(hot)).text


def test_an_ablation_says_which_parts_help_and_what_they_do_to_the_curves() -> None:
    whole = [skilled("whole", s, [3, 3, 3], curve="healthy") for s in range(3)]
    no_norm = [skilled("whole without norm", s, [1, 1, 1], curve="instability", parameters=4) for s in range(3)]
    no_drop = [skilled("whole without dropout", s, [3, 3, 3], curve="overfitting") for s in range(3)]
    runs = {"whole": whole, "whole without norm": no_norm, "whole without dropout": no_drop}
    comparison = compare("toy", [r for group in runs.values() for r in group], Question(against="whole"))
    assert len(comparison.pairs) == 2
    parts = {"whole without norm": "norm", "whole without dropout": "dropout"}
    norm, dropout = effects("whole", parts, comparison, runs)
    assert norm.resolved and norm.gain > 0.05 and norm.parameters == 6 and norm.text.startswith("norm helps: +")
    assert norm.gain == pytest.approx(norm.with_part - norm.without_part)
    assert not dropout.resolved and "no effect on accuracy is established" in dropout.text
    assert "it reduces overfitting" in dropout.text
