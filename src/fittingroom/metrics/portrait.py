"""Strengths and weaknesses in words, from measured facts alone. No sentence without its figures, none beyond its test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fittingroom.metrics.calibration import calibration_error, temperature
from fittingroom.metrics.classes import class_differences, confused_within, look_alikes, mean_confusion, within
from fittingroom.metrics.crossed import estimate
from fittingroom.metrics.distributions import f_cdf, f_sf, softmax
from fittingroom.metrics.intervals import own_spread, welch
from fittingroom.metrics.metric import ACCURACY
from fittingroom.metrics.pairs import paired
from fittingroom.metrics.parts import Part, parts_words
from fittingroom.metrics.rows import Row
from fittingroom.metrics.statistic import STATISTICS
from fittingroom.metrics.verdict import Evidence
from fittingroom.metrics.words import human

MATTERS = 0.005  # half a point: a smaller difference in overfitting can be real and is still none that anybody has


@dataclass(frozen=True)
class Sentence:
    """A measured fact about `recipe`."""

    recipe: str
    topic: str
    text: str
    parts: Sequence[Part] = ()  # the figures behind it, where there are many


@dataclass(frozen=True)
class Calibrated:
    """Mean over seeds: confidence and accuracy on test, calibration error before and after temperature scaling."""

    seeds: int
    confidence: float
    accuracy: float
    ece: float
    ece_mass: float
    excess: tuple[float, float]  # 95 % interval of confidence less accuracy, for other images and, with several, seeds
    temperature: float | None  # fitted on validation; None where nothing was held out
    ece_scaled: float | None


def calibrated(runs: Sequence[Evidence]) -> Calibrated:
    """How far a recipe's confidence can be trusted; the temperature of each run comes from its validation part."""
    ts = [
        temperature(r.val_logits_NK, r.val_labels_N)
        if r.val_logits_NK is not None and r.val_labels_N is not None
        else None
        for r in runs
    ]
    known = [t for t in ts if t is not None]
    scaled = [calibration_error(r.logits_NK / t, r.labels_N) for r, t in zip(runs, ts, strict=True) if t is not None]
    sure_SN = np.stack([softmax(r.logits_NK.astype(np.float64)).max(1) for r in runs])
    right_SN = np.stack([ACCURACY.values(r.logits_NK, r.labels_N) for r in runs])
    return Calibrated(
        seeds=len(runs),
        confidence=float(sure_SN.mean()),
        accuracy=float(right_SN.mean()),
        excess=estimate(sure_SN - right_SN, runs[0].design).interval(),
        ece=float(np.mean([calibration_error(r.logits_NK, r.labels_N) for r in runs])),
        ece_mass=float(np.mean([calibration_error(r.logits_NK, r.labels_N, equal="mass") for r in runs])),
        temperature=float(np.exp(np.mean(np.log(known)))) if known else None,
        ece_scaled=float(np.mean(scaled)) if scaled else None,
    )


def portrait(name: str, c: Calibrated) -> Sentence:
    """What can be said of one recipe by itself: whether its confidence means what it says."""
    lean = 1 if c.excess[0] > 0 else -1 if c.excess[1] < 0 else 0
    manner = {
        1: "too sure of itself",
        0: "as sure as it is right, as far as can be told",
        -1: "less sure than it could be",
    }[lean]
    after = ""
    if c.temperature is not None and c.ece_scaled is not None:
        agreed = (c.temperature - 1) * lean > 0  # validation and test say the same
        if agreed and c.ece_scaled < 0.9 * c.ece:
            brings = f"brings the error to {100 * c.ece_scaled:.1f} %"
            after = f"; a temperature of {c.temperature:.2f}, fitted on validation, {brings}"
    text = (
        f"{name} is {manner}: {100 * c.confidence:.1f} % sure on average, {100 * c.accuracy:.1f} % right "
        f"(calibration error {100 * c.ece:.1f} %{', one seed' if c.seeds == 1 else ''}){after}."
    )
    return Sentence(name, "calibration", text)


@dataclass(frozen=True)
class Side:
    """One of two recipes that are compared."""

    name: str
    runs: Sequence[Evidence]
    row: Row


def against(a: Side, b: Side, classes: Sequence[str]) -> list[Sentence]:
    """How recipe `a` compares with `b` beyond the score: spread, overfitting, cost, classes, look-alikes."""
    told = [_stability(a, b), _overfitting(a, b), _cost(a, b)]
    by_class: list[Sentence] = []
    i, j = paired([r.seed for r in a.runs], [r.seed for r in b.runs])
    if len(i) > 1:
        labels_N, design = a.runs[0].labels_N, a.runs[0].design
        said_a = np.stack([a.runs[k].logits_NK.argmax(1) for k in i])
        said_b = np.stack([b.runs[k].logits_NK.argmax(1) for k in j])
        told.append(_look_alikes(a, said_a, b, said_b, labels_N, classes))
        parts = class_differences(said_a == labels_N, said_b == labels_N, labels_N, classes, design)
        by_class = [Sentence(a.name, "classes", parts_words(parts, a.name, b.name, "classes", "at"), parts)]
    return [*by_class, *(Sentence(a.name, topic, text) for topic, text in filter(None, told))]


Told = tuple[str, str] | None


def _points(value: float, interval: tuple[float, float]) -> str:
    return f"difference {100 * value:+.1f} [{100 * interval[0]:+.1f}, {100 * interval[1]:+.1f}] points"


def _stability(a: Side, b: Side) -> Told:
    mine, other = (own_spread([ACCURACY.score(r.logits_NK, r.labels_N) for r in side.runs]) for side in (a, b))
    if not (mine.df and other.df and mine.sd and other.sd):  # a spread of exactly zero is an accident of few images
        return None
    figures = (
        f"{100 * mine.sd:.2f} against {100 * other.sd:.2f} points of sd over {mine.df + 1} and {other.df + 1} seeds"
    )
    ratio = (mine.sd / other.sd) ** 2
    p = 2 * min(f_sf(ratio, mine.df, other.df), f_cdf(ratio, mine.df, other.df))
    figures += f" (F test, p = {p:.2g})"
    if p < 0.05:
        steady = "steadier" if mine.sd < other.sd else "less steady"
        return "stability", f"{a.name} is {steady} from seed to seed than {b.name}: {figures}."
    return "stability", f"No difference in steadiness between {a.name} and {b.name} can be shown: {figures}."


def _overfitting(a: Side, b: Side) -> Told:
    measure = STATISTICS["gap"]
    mine, other = ([measure.of(r) for r in side.runs] for side in (a, b))
    if np.isnan([*mine, *other]).any() or min(len(mine), len(other)) < 2:
        return None
    value, interval = welch(mine, other)
    means = f"{100 * np.mean(mine):.1f} against {100 * np.mean(other):.1f} points"
    figures = f"a mean gap over the last third of {means}, {_points(value, interval)}"
    if interval[0] <= 0 <= interval[1]:
        return "overfitting", f"{a.name} and {b.name} cannot be told apart in overfitting: {figures}."
    if abs(value) < MATTERS:
        return "overfitting", f"{a.name} and {b.name} overfit alike, for all practical purposes: {figures}."
    return "overfitting", f"{a.name} overfits {'less' if value < 0 else 'more'} than {b.name}: {figures}."


def _cost(a: Side, b: Side) -> Told:
    def times(what: str, mine: float, other: float, shown: str) -> str:
        if mine == other:
            return f"the same {what} ({shown.split(' against ')[0]})"
        larger, smaller = max(mine, other), max(min(mine, other), 1e-12)
        factor = f"{larger / smaller:.1f}" if larger < 10 * smaller else f"{larger / smaller:,.0f}"
        ratio = f"{factor} times" if mine >= other else f"1/{factor} of"
        return f"{ratio} the {what} ({shown})"

    x, y = a.row, b.row
    parts = [
        times("parameters", x.parameters, y.parameters, f"{human(x.parameters)} against {human(y.parameters)}"),
        times("FLOPs", x.flops, y.flops, f"{human(x.flops)} against {human(y.flops)} an image"),
    ]
    if (x.at_once, x.threads) == (y.at_once, y.threads):  # else the seconds are no fair pair
        parts.append(times("training time", x.train_s, y.train_s, f"{x.train_s:.3g} against {y.train_s:.3g} s"))
    if x.cost and y.cost and (x.cost.machine, x.cost.device) == (y.cost.machine, y.cost.device):
        mine, other = x.cost.peak_memory_bytes, y.cost.peak_memory_bytes
        if mine and other:
            parts.append(times("memory in training", mine, other, f"{mine / 1e6:,.0f} against {other / 1e6:,.0f} MB"))
    return "cost", f"{a.name} takes " + ", ".join(parts) + f", compared with {b.name}."


def _look_alikes(
    a: Side, said_a_SN: np.ndarray, b: Side, said_b_SN: np.ndarray, labels_N: np.ndarray, classes: Sequence[str]
) -> Told:
    pairs = look_alikes([mean_confusion(said, labels_N, len(classes)) for said in (said_a_SN, said_b_SN)])
    if not pairs:
        return None
    taken_a, taken_b = (confused_within(said, labels_N, pairs) for said in (said_a_SN, said_b_SN))
    difference = estimate(taken_a - taken_b, a.runs[0].design.of(within(labels_N, pairs)))
    shares = f"{100 * taken_a.mean():.1f} against {100 * taken_b.mean():.1f} % of their images"
    figures = f"{shares}, {_points(difference.mean, difference.interval())}"
    names = ", ".join(f"{classes[i]}/{classes[j]}" for i, j in pairs)
    if difference.p >= 0.05:
        return "look-alikes", f"No difference can be shown in confusing look-alikes ({names}): {figures}."
    more = "less" if difference.mean < 0 else "more"
    return "look-alikes", f"{a.name} confuses look-alikes ({names}) {more} often than {b.name}: {figures}."
