"""Figures: functions from records to Altair charts, each drawn for light and dark, as SVG or PNG."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from fittingroom.metrics.against_rest import log_odds
from fittingroom.metrics.areas import GRID, precision_curve, roc_curve
from fittingroom.metrics.calibration import reliability as binned
from fittingroom.metrics.intervals import wilson
from fittingroom.metrics.metric import Metric
from fittingroom.metrics.reported import OUTCOMES, Order
from fittingroom.metrics.rows import Row
from fittingroom.metrics.statistic import FEWEST_EPOCHS
from fittingroom.metrics.story import Story
from fittingroom.metrics.transfer import Step
from fittingroom.metrics.words import human
from fittingroom.report.theme import COLOURS, EMPTY, FULL, INK, ON_FULL, WIDTH, Chart
from fittingroom.spec.records import DataFacts, Epoch, Structure
from fittingroom.store import LoadedRun

Curve = Callable[[np.ndarray, np.ndarray], np.ndarray]  # scores (N,), which are of the class (N,) → values on `GRID`


def _recipes(story: Story) -> list[str]:
    return [row.recipe for row in story.comparison.rows]


def _colour(names: Sequence[str]) -> alt.Color:
    return alt.Color("recipe:N", sort=names, title=None, scale=alt.Scale(domain=names))


def _shape(story: Story) -> alt.Shape:
    """A shape for each recipe beside its colour; of the same scale, so that one legend shows both."""
    return alt.Shape("recipe:N", sort=_recipes(story), title=None, scale=alt.Scale(domain=_recipes(story)))


def _title(metric: Metric) -> str:
    """The name of a score's axis, with its unit."""
    return metric.title.split(" (")[0] + (f" ({metric.unit.strip()})" if metric.unit else "")


# ---------------------------------------------------------------- the verdict


def accuracy(story: Story) -> Chart:
    """The score of each run as a dot, the recipe's mean and 95 % interval as a bar."""
    metric = story.comparison.by
    f = metric.scale
    rows = [
        {"recipe": r.recipe, "mean": f * r.score, "low": f * r.score_low, "high": f * r.score_high}
        for r in story.comparison.rows
    ]
    dots = [
        {"recipe": row.recipe, "score": f * score, "seed": seed}
        for row in story.comparison.rows
        for seed, score in zip(row.seeds, row.scores, strict=True)
    ]
    y = alt.Y("recipe:N", sort=_recipes(story), title=None, axis=alt.Axis(labelLimit=300))
    colour = _colour(_recipes(story)).legend(None)
    scale = alt.Scale(zero=False, nice=True)
    bars = alt.Chart(alt.Data(values=rows)).encode(y=y, color=colour)
    interval = bars.mark_rule(strokeWidth=3).encode(x=alt.X("low:Q", title=_title(metric), scale=scale), x2="high:Q")
    mean = bars.mark_tick(thickness=3, size=22).encode(x="mean:Q")
    seeds = alt.Chart(alt.Data(values=dots)).mark_circle(size=46, opacity=0.75, yOffset=13)
    return (interval + mean + seeds.encode(x="score:Q", y=y, color=colour)).properties(width=WIDTH, height=alt.Step(46))


def differences(story: Story) -> Chart:
    """How much better the first of each pair is, with its interval, beside zero."""
    metric, verdicts = story.comparison.by, ["real difference", "the same for practical purposes", "not resolved"]
    rows = [
        {
            "pair": f"{p.better}\n− {p.worse}",
            "difference": metric.scale * p.difference,
            "low": metric.scale * p.low,
            "high": metric.scale * p.high,
            "verdict": verdicts[("better", "same", "undecided").index(p.outcome)],
        }
        for p in story.comparison.pairs
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y("pair:N", sort=None, title=None, axis=alt.Axis(labelExpr="split(datum.value, '\\n')", labelLimit=300)),
        color=alt.Color(
            "verdict:N",
            title=None,
            legend=alt.Legend(
                orient="bottom", values=[v for v in verdicts if any(row["verdict"] == v for row in rows)]
            ),
            scale=alt.Scale(domain=verdicts, range=["#7b5ea7", COLOURS[2], COLOURS[7]]),
        ),
    )
    interval = base.mark_rule(strokeWidth=3).encode(
        x=alt.X(
            "low:Q",
            title=f"better by, in {metric.short}" + (f" ({metric.steps})" if metric.steps else ""),
        ),
        x2="high:Q",
    )
    points = base.mark_point(filled=True, size=90, opacity=1).encode(
        x="difference:Q",
        shape=alt.Shape(
            "verdict:N", title=None, scale=alt.Scale(domain=verdicts, range=["circle", "diamond", "square"])
        ),
    )
    zero = alt.Chart(alt.Data(values=[{"zero": 0}])).mark_rule(strokeDash=[4, 3]).encode(x="zero:Q")
    margins = [
        {"low": -metric.scale * p.margin, "high": metric.scale * p.margin}
        for p in story.comparison.pairs[:1]
        if p.margin
    ]
    alike = alt.Chart(alt.Data(values=margins)).mark_rect(opacity=0.12, color=COLOURS[2]).encode(x="low:Q", x2="high:Q")
    return (alike + zero + interval + points).properties(width=WIDTH - 60, height=alt.Step(42))


def orders(found: Sequence[Order]) -> Chart:
    """How probable each claimed order is, from what our evidence allows at worst to at best, beside 95 %."""
    rows = [
        {
            "order": f"{number}\n{o.better}\n> {o.worse}",
            "likely": 100 * o.holds.value,
            "low": 100 * o.holds.low,
            "high": 100 * o.holds.high,
            "outcome": o.outcome,
        }
        for number, o in enumerate(found)
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y(
            "order:N",
            sort=None,
            title=None,
            axis=alt.Axis(labelExpr="slice(split(datum.value, '\\n'), 1)", labelLimit=300),
        ),
        color=alt.Color(
            "outcome:N", title=None, scale=alt.Scale(domain=OUTCOMES, range=[COLOURS[2], COLOURS[7], "#a33f00"])
        ),
    )
    scale = alt.Scale(domain=[50, 100], zero=False)

    def across(value: str) -> alt.X:
        return alt.X(f"{value}:Q", title="probability that the order holds (%)", scale=scale)

    interval = base.mark_rule(strokeWidth=3).encode(x=across("low"), x2="high:Q")
    points = base.mark_point(filled=True, size=90, opacity=1).encode(x=across("likely"))
    enough = alt.Chart(alt.Data(values=[{"enough": 95}])).mark_rule(strokeDash=[4, 3]).encode(x=across("enough"))
    return (enough + interval + points).properties(width=WIDTH - 60, height=alt.Step(42))


# ---------------------------------------------------------------- training


def curves(epochs: Mapping[str, Sequence[Sequence[Epoch]]], quantity: str) -> Chart:
    """Training (clean, dashed) and validation (solid) `quantity` ("loss" or "accuracy") per epoch, bands over seeds.

    `epochs` are those of each recipe's runs, finished or not.
    """
    factor = 100 if quantity == "accuracy" else 1
    rows = []
    for name, runs in epochs.items():
        for part, field in (("validation", f"val_{quantity}"), ("training", f"clean_{quantity}")):
            for epoch in range(1, max(len(run) for run in runs) + 1):
                values = [getattr(run[epoch - 1], field) for run in runs if len(run) >= epoch]
                known = [factor * v for v in values if v is not None]
                if known:
                    rows.append({
                        "recipe": name, "part": part, "epoch": epoch,
                        "mean": float(np.mean(known)), "low": min(known), "high": max(known),
                    })  # fmt: skip
    title = "accuracy (%)" if quantity == "accuracy" else "loss (nats)"
    most = max(row["epoch"] for row in rows)
    # a wild first epoch must not flatten all that follows; of a few it is a good part
    late = [row for row in rows if row["epoch"] > 1 or most < FEWEST_EPOCHS]
    low, high = min(row["low"] for row in late), max(row["high"] for row in late)
    top = high + 0.1 * (high - low)
    domain = [max(0.0, low - 0.15 * (high - low)), min(100.0, top) if quantity == "accuracy" else top]
    scale = alt.Scale(domain=domain, nice=quantity == "loss")
    few = list(range(1, most + 1)) if most <= 10 else alt.Undefined  # else Vega puts halves between them
    ticks = alt.Axis(tickMinStep=1, grid=False, tickCount=min(most, 10), values=few, format="d")
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X(
            "epoch:Q",
            title="epoch (solid: validation, dashed: training)",
            axis=ticks,
            scale=alt.Scale(domain=[1, max(2, most)]),
        ),
        color=_colour(list(epochs)).legend(
            alt.Legend(orient="bottom", columns=3, symbolType="stroke", symbolOpacity=1)
        ),
    )
    y = alt.Y("mean:Q", title=title, scale=scale)
    dash = alt.StrokeDash(
        "part:N", legend=None, scale=alt.Scale(domain=["validation", "training"], range=[[1, 0], [5, 3]])
    )
    band = base.mark_area(opacity=0.18, clip=True).encode(
        y=alt.Y("low:Q", title=title, scale=scale), y2="high:Q", detail="part:N"
    )
    line = base.mark_line(strokeWidth=2, clip=True, point=alt.OverlayMarkDef(size=18)).encode(y=y, strokeDash=dash)
    return (band + line).properties(width=WIDTH, height=250)


def history(epochs: Mapping[str, Sequence[Sequence[Epoch]]]) -> Chart:
    """Accuracy and loss per epoch, side by side."""
    return alt.hconcat(curves(epochs, "accuracy"), curves(epochs, "loss")).resolve_scale(color="shared")


def reliability(story: Story) -> Chart:
    """How often a recipe is right (up) where it is so sure (across): a point for each tenth of its images, by its first seed.

    Bins of equal mass; the bars are 95 % Wilson intervals, of as many images as their groups are worth.
    On the dashed line confidence means what it says.
    """
    rows = []
    effects = {row.recipe: row.design_effect or 1.0 for row in story.comparison.rows}
    for name, runs in story.runs.items():
        for b in binned(runs[0].logits_NK, runs[0].labels_N, bins=10, equal="mass"):
            worth = b.n / max(1.0, effects[name])
            low, high = wilson(b.accuracy * worth, worth)
            rows.append({
                "recipe": name, "confidence": 100 * b.confidence, "accuracy": 100 * b.accuracy,
                "low": 100 * low, "high": 100 * high,
            })  # fmt: skip
    least = min(value for row in rows for value in (row["confidence"], row["low"]) if isinstance(value, float))
    domain = [max(0.0, 10.0 * math.floor(least / 10)), 100.0]
    scale = alt.Scale(domain=domain, nice=False)
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("confidence:Q", title="how sure (mean confidence, %)", scale=scale),
        color=_colour(_recipes(story)).legend(alt.Legend(orient="bottom", columns=3)),
    )
    bars = base.mark_rule(strokeWidth=1.5).encode(
        y=alt.Y("low:Q", title="how often right (%)", scale=scale), y2="high:Q"
    )
    line = base.mark_line(strokeWidth=1.5).encode(y="accuracy:Q")
    points = base.mark_point(filled=True, size=60, opacity=1).encode(y="accuracy:Q", shape=_shape(story))
    return (_diagonal(domain, scale) + bars + line + points).properties(width=WIDTH, height=260)


def roc(story: Story) -> Chart:
    """Of the class that is looked for, what is found (up) for so many of the others taken for it (across)."""
    called = f"“{story.comparison.positive}”"
    across = (
        f"of the others taken for {called} (%)"
        if len(story.data.classes) > 2
        else f"of “{_other(story)}” taken for {called} (%)"
    )
    return _curve(story, roc_curve, ("specificity", "sensitivity"), across, f"of {called} found (%)")


def precision_recall(story: Story) -> Chart:
    """Of the class that is looked for, how many of those taken for it are of it (up) where so many are found (across)."""
    called = f"“{story.comparison.positive}”"
    return _curve(
        story,
        precision_curve,
        ("sensitivity", "precision"),
        f"of {called} found (%)",
        f"of those taken for {called}, right (%)",
    )


def _other(story: Story) -> str:
    return next(c for c in story.data.classes if c != story.comparison.positive)


def _curve(story: Story, curve: Curve, at: tuple[str, str], across: str, up: str) -> Chart:
    """A curve over `GRID` of each recipe: the mean of its seeds and their range, and the points (`at`) where it decides."""
    c = story.data.classes.index(story.comparison.positive)
    is_roc = curve is roc_curve
    rows: list[dict[str, Any]] = []
    for name, runs in story.runs.items():
        curves_SG = 100 * np.stack([_mean_curve(curve, run, c) for run in runs])
        rows += [
            {"recipe": name, "x": 100 * x, "mean": mean, "low": low, "high": high}
            for x, mean, low, high in zip(
                GRID.tolist(),
                curves_SG.mean(0).tolist(),
                curves_SG.min(0).tolist(),
                curves_SG.max(0).tolist(),
                strict=True,
            )
        ]
    points = []
    for row in story.comparison.rows:
        if row.finding:
            x, y = (100 * getattr(row.finding, name).value for name in at)
            points.append({"recipe": row.recipe, "x": 100 - x if is_roc else x, "y": y})
    domain = [0.0, 100.0]
    scale = alt.Scale(domain=domain, nice=False)
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("x:Q", title=across, scale=scale, axis=alt.Axis(tickCount=5)),
        color=_colour(_recipes(story)).legend(
            alt.Legend(orient="bottom", columns=3, symbolType="stroke", symbolOpacity=1)
        ),
    )
    band = base.mark_area(opacity=0.18).encode(y=alt.Y("low:Q", title=up, scale=scale), y2="high:Q")
    line = base.mark_line(strokeWidth=2).encode(y=alt.Y("mean:Q", title=up, scale=scale))
    dots = alt.Chart(alt.Data(values=points)).mark_point(filled=True, size=70, opacity=1)
    decided = dots.encode(
        x=alt.X("x:Q", scale=scale), y=alt.Y("y:Q", title=up, scale=scale), color=_colour(_recipes(story))
    )
    chance = _diagonal(domain, scale, up) if is_roc else _level(100 * float((story.labels_N == c).mean()), scale, up)
    return (chance + band + line + decided).properties(width=WIDTH, height=260)


def _mean_curve(curve: Curve, run: LoadedRun, c: int) -> np.ndarray:
    """Of one run; of a cross-validation the mean over its parts, for scores of several models are no ranking."""
    score_N, own_N, folds_N = log_odds(run.logits_NK, c), run.labels_N == c, run.design.folds_N
    parts = [slice(None)] if folds_N is None else [folds_N == fold for fold in np.unique(folds_N)]
    known = [curve(score_N[part], own_N[part]) for part in parts if 0 < own_N[part].sum() < len(own_N[part])]
    return np.asarray(np.mean(known, axis=0))


def _level(value: float, scale: alt.Scale, title: Any) -> Chart:
    """A dashed line at the height that needs no skill."""
    line = alt.Chart(alt.Data(values=[{"y": value}])).mark_rule(strokeDash=[4, 3], color="#8a8a8a")
    return line.encode(y=alt.Y("y:Q", title=title, scale=scale))


def _diagonal(domain: Sequence[float], scale: alt.Scale, title: Any = alt.Undefined) -> Chart:
    """The dashed line on which both axes say the same."""
    line = alt.Chart(alt.Data(values=[{"x": x} for x in domain])).mark_line(strokeDash=[4, 3], color="#8a8a8a")
    return line.encode(x=alt.X("x:Q", scale=scale), y=alt.Y("x:Q", title=title, scale=scale))


def cost(story: Story, against: str) -> Chart:
    """The score (with its interval) over a cost: "flops", "train_s", "latency_1_s" or "peak_memory_bytes". Logarithmic."""
    metric = story.comparison.by
    titles = {
        "flops": ("FLOPs of one prediction", 1),
        "train_s": ("training seconds of one run", 1),
        "latency_1_s": ("milliseconds for one image", 1e3),
        "peak_memory_bytes": ("MB of memory in training", 1e-6),
    }
    title, factor = titles[against]
    known = [(r, factor * c) for r in story.comparison.rows if (c := cost_of(r, against)) is not None]
    rows = [
        {
            "recipe": r.recipe,
            "cost": value,
            "mean": metric.scale * r.score,
            "low": metric.scale * r.score_low,
            "high": metric.scale * r.score_high,
        }
        for r, value in known
    ]
    costs = [value for _, value in known] or [1.0]
    domain = [min(costs) / 2, max(costs) * 2]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X(
            "cost:Q",
            title=title + " (log scale)",
            scale=alt.Scale(type="log", domain=domain, nice=False),
            axis=alt.Axis(format="~s" if against == "flops" else "~g", tickCount=5, grid=False),
        ),
        color=_colour(_recipes(story)).legend(alt.Legend(orient="bottom", columns=3)),
    )
    bars = base.mark_rule(strokeWidth=2).encode(
        y=alt.Y("low:Q", title=_title(metric), scale=alt.Scale(zero=False)), y2="high:Q"
    )
    points = base.mark_point(filled=True, size=120, opacity=1).encode(y="mean:Q", shape=_shape(story))
    return (bars + points).properties(width=WIDTH, height=240)


def cost_of(row: Row, against: str) -> float | None:
    """A recipe's cost by its name, where it is known."""
    return getattr(row if hasattr(row, against) else row.cost, against, None)


# ---------------------------------------------------------------- mistakes


def confusion(counts_KK: np.ndarray, classes: Sequence[str], number: str) -> Chart:
    """True classes down, predictions across; the colour is the share of the true class.

    The `number` in a cell is the mean "count" or that "share" in percent.
    """
    shares = counts_KK / np.maximum(counts_KK.sum(1, keepdims=True), 1)
    rows = [
        {"true": i, "predicted": j, "count": float(counts_KK[i, j]), "share": 100 * float(shares[i, j])}
        for i in range(len(classes))
        for j in range(len(classes))
    ]
    names = json.dumps([c if len(c) <= 16 else c[:15] + "…" for c in classes])
    label = f"{names}[datum.value]"
    order = list(range(len(classes)))
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X(
            "predicted:O", title="predicted", sort=order, axis=alt.Axis(labelExpr=label, labelAngle=-45, orient="top")
        ),
        y=alt.Y("true:O", title="true", sort=order, axis=alt.Axis(labelExpr=label)),
    )
    ends = [f"rgb({r}, {g}, {b})" for r, g, b in (EMPTY, FULL)]
    cells = base.mark_rect().encode(
        color=alt.Color(
            "share:Q",
            title="% of the true class",
            scale=alt.Scale(type="sqrt", domain=[0, 100], range=ends, interpolate="rgb"),
            legend=alt.Legend(orient="bottom", gradientLength=180, format=".0f", values=[0, 5, 25, 50, 100]),
        )
    )
    threshold, digits = (0.5, ",.0f") if number == "count" else (0.05, ".1f")
    text = base.transform_filter(f"datum.{number} >= {threshold}").mark_text(fontSize=10)
    numbers = text.encode(
        text=alt.Text(f"{number}:Q", format=digits),
        color=alt.condition("datum.share > 30", alt.value(ON_FULL), alt.value(INK)),
    )
    step = 32 if len(classes) <= 12 else 22
    return (cells + numbers).properties(width=alt.Step(step), height=alt.Step(step * 0.8))


# ---------------------------------------------------------------- robustness


def robustness(story: Story) -> Chart:
    """Accuracy at each severity, a small plot for each kind of corruption; severity 0 is the clean test set."""
    assert story.robust
    rows, names = story.robust[0], _recipes(story)  # colours as in the other figures
    values = [
        {"recipe": row.recipe, "kind": kind, "severity": severity, "accuracy": 100 * accuracy}
        for row in rows
        for kind, by_severity in row.by_kind.items()
        for severity, accuracy in enumerate((row.clean, *by_severity))
    ]
    base = alt.Chart(alt.Data(values=values)).encode(
        x=alt.X("severity:Q", title="severity", axis=alt.Axis(tickCount=6, format="d", grid=False)),
        y=alt.Y("accuracy:Q", title="accuracy (%)", scale=alt.Scale(domain=[0, 100])),
        color=alt.Color(
            "recipe:N", sort=names, title=None, scale=alt.Scale(domain=names),
            legend=alt.Legend(orient="bottom", columns=3, symbolType="stroke", symbolOpacity=1),
        ),
        strokeDash=alt.StrokeDash("recipe:N", sort=names, title=None, scale=alt.Scale(domain=names)),
    )  # fmt: skip
    kinds = list(rows[0].by_kind)
    drawn = base.mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=22)).properties(width=170, height=110)
    return drawn.facet(facet=alt.Facet("kind:N", sort=kinds, title=None), columns=4, spacing=14).resolve_axis(
        x="independent"
    )


def transfer(steps: Sequence[Step]) -> Chart:
    """The score (with its interval) over the number of training images, from scratch and from trained weights."""
    metric = steps[0].comparison.by
    names = ["from scratch", "from trained weights"]
    rows = [
        {
            "start": name,
            "images": s.images * (0.97 if name == names[0] else 1.03),  # beside each other
            "mean": metric.scale * row.score,
            "low": metric.scale * row.score_low,
            "high": metric.scale * row.score_high,
        }
        for s in steps
        for name, row in zip(names, (s.scratch, s.tuned), strict=True)
    ]
    colour = alt.Color(
        "start:N", sort=names, title=None, scale=alt.Scale(domain=names), legend=alt.Legend(orient="bottom")
    )
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X(
            "images:Q",
            title="training images (log scale)",
            scale=alt.Scale(type="log", nice=False, padding=16),
            axis=alt.Axis(values=[s.images for s in steps], format=",", grid=False),
        ),
        color=colour,
    )
    bars = base.mark_rule(strokeWidth=2).encode(
        y=alt.Y("low:Q", title=_title(metric), scale=alt.Scale(zero=False)), y2="high:Q"
    )
    line = base.mark_line(strokeWidth=1.5).encode(
        y="mean:Q", strokeDash=alt.StrokeDash("start:N", sort=names, legend=None)
    )
    points = base.mark_point(filled=True, size=70, opacity=1).encode(
        y="mean:Q", shape=alt.Shape("start:N", sort=names, legend=None)
    )
    return (bars + line + points).properties(width=WIDTH + 160, height=260)


# ---------------------------------------------------------------- explanations


def deletion(curve: Mapping[str, Any]) -> Chart:
    """Confidence while pixels are deleted, those first that matter most, or in random order."""
    names = {"attributed": "most important first", "random": "in random order"}
    values = [
        {"order": words, "share": 100 * share, "p": 100 * p}
        for key, words in names.items()
        for share, p in zip(curve["share"], curve[key], strict=True)
    ]
    return (
        alt.Chart(alt.Data(values=values))
        .mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=30))
        .encode(
            x=alt.X("share:Q", title="pixels blackened (% of all)", axis=alt.Axis(grid=False)),
            y=alt.Y("p:Q", title="confidence (%)", scale=alt.Scale(domain=[0, 100])),
            color=alt.Color(
                "order:N",
                sort=list(names.values()),
                title=None,
                legend=alt.Legend(orient="bottom", symbolType="stroke", symbolOpacity=1),
            ),
            strokeDash=alt.StrokeDash("order:N", sort=list(names.values()), legend=None),
        )
        .properties(width=WIDTH, height=220)
    )


def embedding(
    points_N2: np.ndarray, labels_N: np.ndarray, wrong_N: np.ndarray, classes: Sequence[str], chosen: Sequence[int] = ()
) -> Chart:
    """The 2-D map of images, coloured by class, mistakes as crosses, the `chosen` rows ringed. Drawn by `raster`."""
    names = [f"{i} {c}" if len(c) > 1 else c for i, c in enumerate(classes)]
    values = [
        {"x": round(float(x), 2), "y": round(float(y), 2), "class": names[label], "wrong": bool(wrong)}
        for (x, y), label, wrong in zip(points_N2, labels_N, wrong_N, strict=True)
    ]
    palette = [*COLOURS, "#b3243f", "#7b5ea7"] if len(names) <= 10 else None
    colour = alt.Color(
        "class:N", sort=names, title=None, legend=alt.Legend(symbolOpacity=1, symbolSize=70),
        scale=alt.Scale(domain=names, range=palette) if palette else alt.Scale(domain=names, scheme="category20"),
    )  # fmt: skip
    base = alt.Chart(alt.Data(values=values)).encode(
        x=alt.X("x:Q", axis=None, scale=alt.Scale(zero=False)),
        y=alt.Y("y:Q", axis=None, scale=alt.Scale(zero=False)),
        color=colour,
    )
    right = base.transform_filter("!datum.wrong").mark_circle(size=7, opacity=0.55)
    wrong = base.transform_filter("datum.wrong").mark_point(
        shape="cross", size=34, opacity=1, filled=True, stroke="#8a8a8a", strokeWidth=0.4
    )
    middles = [
        {"x": float(np.median(mine[:, 0])), "y": float(np.median(mine[:, 1])), "text": name}
        for k, name in enumerate(names)
        if len(mine := points_N2[(labels_N == k) & ~wrong_N])
    ]
    asked = [values[row] | {"text": f"#{row}"} for row in chosen]
    marks: list[Chart] = []
    for ink, width in (("#fffffe", 5), ("#111111", 2)):  # dark in a light rim: seen on every colour and in both modes
        for spots, lift in ((middles, 0), (asked, -17)) if asked else ((middles, 0),):
            at = base.properties(data=alt.Data(values=spots)).encode(color=alt.value(ink), text="text:N")
            marks.append(at.mark_text(dy=lift, fontSize=14, fontWeight="bold", stroke=ink, strokeWidth=width - 2))
            if lift:
                marks.append(at.mark_point(size=220, filled=False, strokeWidth=width, opacity=1))
    return alt.layer(right, wrong, *marks).properties(width=620, height=520)


# ---------------------------------------------------------------- structure


def structure(built: Structure, data: DataFacts) -> Chart:
    """The model as a picture: a bar for each layer, as wide as its output is large, with shape and parameters."""
    layers = [("input", tuple(data.shape), 0, "input")]
    layers += [(f"{x.name} {x.kind}", x.shape, x.parameters, _family(x.kind)) for x in built.layers]
    names = json.dumps([name for name, *_ in layers])
    most = max(math.prod(shape) for _, shape, *_ in layers)
    rows = [
        {
            "order": i,
            "kind": kind,
            "values": math.prod(shape),
            "label": "×".join(map(str, shape)) + (f", {human(parameters)} weights" if parameters else ""),
        }
        for i, (_, shape, parameters, kind) in enumerate(layers)
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y("order:O", title=None, axis=alt.Axis(labelExpr=f"{names}[datum.value]", ticks=False, domain=False)),
    )
    bars = base.mark_bar(cornerRadius=2).encode(
        x=alt.X(
            "values:Q",
            title="values that leave the layer (log scale)",
            scale=alt.Scale(type="log", domain=[1, most * 400], nice=False),
            axis=alt.Axis(values=[10.0**k for k in range(1, len(str(most)) + 1)], format="~s"),
        ),
        x2=alt.datum(1),
        color=alt.Color(
            "kind:N",
            title=None,
            scale=alt.Scale(domain=list(_FAMILIES), range=list(_FAMILIES.values())),
            legend=alt.Legend(orient="bottom", columns=4),
        ),
    )
    labels = base.mark_text(align="left", dx=6, fontSize=11).encode(x="values:Q", text="label:N")
    return (bars + labels).properties(width=WIDTH, height=alt.Step(20))


_FAMILIES = {
    "input": "#7a7a7a",
    "convolution": COLOURS[0],
    "dense": COLOURS[1],
    "normalisation": COLOURS[2],
    "pooling": COLOURS[4],
    "activation": COLOURS[3],
    "dropout": COLOURS[5],
    "other": COLOURS[6],
}


def _family(kind: str) -> str:
    for part, family in (
        ("Conv", "convolution"), ("Linear", "dense"), ("Norm", "normalisation"), ("Pool", "pooling"), ("Drop", "dropout"),
        ("LU", "activation"), ("Tanh", "activation"), ("Sigmoid", "activation"),
    ):  # fmt: skip
        if part in kind:
            return family
    return "other"


# ---------------------------------------------------------------- data


def balance(counts: dict[str, np.ndarray], classes: Sequence[str]) -> Chart:
    """Images of each class in each split."""
    rows = [
        {"class": i, "split": split, "images": int(n)} for split, values in counts.items() for i, n in enumerate(values)
    ]
    names = json.dumps(list(classes))
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_bar()
        .encode(
            x=alt.X("images:Q", title="images"),
            y=alt.Y("class:O", title=None, axis=alt.Axis(labelExpr=f"{names}[datum.value]")),
            yOffset=alt.YOffset("split:N", sort=list(counts)),
            color=alt.Color("split:N", title=None, sort=list(counts), legend=alt.Legend(orient="bottom")),
        )
        .properties(width=WIDTH, height=alt.Step(14))
    )


def pixels(histogram: dict[str, np.ndarray]) -> Chart:
    """Share of pixels at each grey level, by split; 32 bins."""
    rows = [
        {"split": split, "level": 8 * i, "end": 8 * i + 8, "share": 100 * float(share)}
        for split, shares in histogram.items()
        for i, share in enumerate(shares)
    ]
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_line(interpolate="step-after", strokeWidth=2)
        .encode(
            x=alt.X("level:Q", title="pixel value", scale=alt.Scale(domain=[0, 255], nice=False)),
            y=alt.Y("share:Q", title="share of pixels (%, log scale)", scale=alt.Scale(type="log")),
            color=alt.Color("split:N", title=None, sort=list(histogram), legend=alt.Legend(orient="bottom")),
            strokeDash=alt.StrokeDash("split:N", sort=list(histogram), legend=None),
        )
        .transform_filter("datum.share > 0")
        .properties(width=WIDTH, height=200)
    )


def bars(values: Mapping[str, float], title: str) -> Chart:
    """One bar for each name."""
    rows = [{"name": name, "value": value} for name, value in values.items()]
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_bar()
        .encode(x=alt.X("value:Q", title=title), y=alt.Y("name:N", sort=list(values), title=None))
        .properties(width=WIDTH, height=alt.Step(24))
    )
