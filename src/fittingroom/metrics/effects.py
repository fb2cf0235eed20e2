"""What each part of a recipe does: the recipe against itself without the part, on the same seeds and images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fittingroom.metrics.intervals import welch
from fittingroom.metrics.rows import Row
from fittingroom.metrics.statistic import STATISTICS
from fittingroom.metrics.verdict import Comparison, Evidence
from fittingroom.metrics.words import margin_words
from fittingroom.spec.records import Record

CURVES = ("gap", "early_val_accuracy", "val_loss_fluctuation")


class CurveEffect(Record):
    """With the part compared with without it: a difference, or a ratio for a fluctuation. None: the curves are too short."""

    statistic: str
    value: float | None
    low: float | None  # None: infinite
    high: float | None
    real: bool  # the interval excludes "no effect"


class Effect(Record):
    """What `part` adds: by how much the score is better with it than without it (in the metric), judged with all other parts."""

    part: str
    with_part: float
    without_part: float
    gain: float  # > 0: the part helps
    low: float
    high: float
    level: float
    resolved: bool
    same: bool = False  # with it and without it are the same for practical purposes
    parameters: int  # that the part adds
    train_s: float  # that it takes, a run; may be negative
    curves: tuple[CurveEffect, ...]
    text: str


def effects(
    whole: str, parts: Mapping[str, str], comparison: Comparison, runs: Mapping[str, Sequence[Evidence]]
) -> list[Effect]:
    """The effect of each part of the recipe `whole`; `parts` gives for each variant's recipe name the part that it lacks.

    `comparison` was judged against `whole` (`Question.against`), so that its pairs share one error rate (Holm).
    """
    rows = {row.recipe: row for row in comparison.rows}
    found = []
    for variant, part in parts.items():
        pair = next(p for p in comparison.pairs if {p.better, p.worse} == {whole, variant})
        sign = 1 if pair.better == whole else -1
        low, high = (pair.low, pair.high) if sign > 0 else (-pair.high, -pair.low)
        effect = Effect(
            part=part,
            with_part=rows[whole].score,
            without_part=rows[variant].score,
            gain=sign * pair.difference,
            low=low,
            high=high,
            level=pair.level,
            resolved=pair.resolved,
            same=pair.same,
            parameters=rows[whole].parameters - rows[variant].parameters,
            train_s=rows[whole].train_s - rows[variant].train_s,
            curves=tuple(_curve(name, runs[whole], runs[variant]) for name in CURVES),
            text="",
        )
        found.append(effect.model_copy(update={"text": _words(effect, comparison, rows[whole])}))
    return found


def _curve(name: str, whole: Sequence[Evidence], variant: Sequence[Evidence]) -> CurveEffect:
    measure = STATISTICS[name]
    a, b = (np.array([measure.of(run) for run in runs]) for runs in (whole, variant))
    if np.isnan(a).any() or np.isnan(b).any():
        return CurveEffect(statistic=name, value=None, low=None, high=None, real=False)
    value, (low, high) = welch(a, b, measure.as_ratio)
    none = 1.0 if measure.as_ratio else 0.0
    return CurveEffect(
        statistic=name,
        value=value,
        low=low if np.isfinite(low) else None,
        high=high if np.isfinite(high) else None,
        real=not low <= none <= high,
    )


_CURVE_WORDS = {  # what it means if the statistic is larger, or smaller, with the part
    "gap": ("it adds to overfitting: gap", "it reduces overfitting: gap"),
    "early_val_accuracy": (
        "it speeds training up: early validation accuracy",
        "it slows training down: early validation accuracy",
    ),
    "val_loss_fluctuation": ("it unsettles training: fluctuation", "it steadies training: fluctuation"),
}


def _words(effect: Effect, comparison: Comparison, whole: Row) -> str:
    by = comparison.by
    interval = f"[{by.signed(effect.low)}, {by.signed(effect.high)}]"
    gain = f"{by.signed(effect.gain)} {by.steps}".rstrip() + f" {interval}"
    if effect.same:
        within = margin_words(comparison.pairs[0].margin, by)
        verdict = f"{effect.part} does nothing here that matters ({within}): {gain}"
    elif not effect.resolved:
        verdict = f"{effect.part}: no effect on {by.short} is established ({gain}, {len(whole.seeds)} seeds)"
    else:
        verdict = f"{effect.part} {'helps' if effect.gain > 0 else 'harms'}: {gain}"
    real = [_curve_words(c) for c in effect.curves if c.real]
    return "; ".join([verdict, *real]) + "."


def _curve_words(curve: CurveEffect) -> str:
    measure = STATISTICS[curve.statistic]
    assert curve.value is not None
    larger = curve.value > (1 if measure.as_ratio else 0)
    value, *ends = (
        "∞" if x is None else f"{x:.2g}" if measure.as_ratio else f"{measure.scale * x:+.1f}"
        for x in (curve.value, curve.low, curve.high)
    )
    unit = "times" if measure.as_ratio else "points"
    return f"{_CURVE_WORDS[curve.statistic][0 if larger else 1]} {value} {unit} [{', '.join(ends)}]"
