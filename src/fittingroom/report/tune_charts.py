"""A search as pictures: its history, what mattered, each part by itself, all parts together, accuracy against a cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import altair as alt

from fittingroom.metrics.search import Searched, shown
from fittingroom.report.theme import COLOURS, WIDTH, Chart
from fittingroom.spec.space import Choice, Range

MOST_LETTERS = 34  # of a path or a value in a chart


def history(found: Searched) -> Chart:
    """Each completed trial in the order of trying, and the best so far."""
    by, best = found.metric, None
    rows = []
    for trial in found.trials:
        if trial.state == "complete":
            value = by.scale * trial.values[0]
            better = best is None or (value > best if by.larger_is_better else value < best)
            best = value if better else best
            rows.append({"trial": trial.number, "value": value, "best": best})
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("trial:Q", title="trial", axis=alt.Axis(format="d", grid=False))
    )
    y = alt.Y("value:Q", title=_title(found), scale=alt.Scale(zero=False))
    points = base.mark_point(filled=True, size=50, opacity=0.8, color=COLOURS[0]).encode(y=y)
    line = base.mark_line(interpolate="step-after", strokeWidth=2, color=COLOURS[1]).encode(y="best:Q")
    return (line + points).properties(width=WIDTH + 40, height=230)


def importance(shares: Mapping[str, float]) -> Chart:
    """How much each part explains of the score."""
    rows = [{"part": _short(path), "share": 100 * share} for path, share in shares.items()]
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_bar(color=COLOURS[0])
        .encode(
            x=alt.X("share:Q", title="importance (%)"),
            y=alt.Y("part:N", sort=None, title=None, axis=alt.Axis(labelLimit=260)),
        )
        .properties(width=WIDTH - 60, height=max(90, 24 * len(rows)))
    )


def slices(found: Searched) -> Chart:
    """The score over each part by itself."""
    charts = []
    for path, dimension in found.dimensions.items():
        rows = [
            {"x": _plain(t.params[path]), "y": found.metric.scale * t.values[0]}
            for t in found.trials
            if t.state == "complete" and path in t.params
        ]
        if isinstance(dimension, Choice):
            x = alt.X(
                "x:N", title=_short(path), sort=[_plain(v) for v in dimension.values], axis=alt.Axis(labelAngle=-25)
            )
        else:
            scale = alt.Scale(
                type="log" if dimension.log else "linear", domain=[dimension.low, dimension.high], nice=False
            )
            x = alt.X("x:Q", title=_short(path), scale=scale, axis=alt.Axis(grid=False, tickCount=4, format="~g"))
        y = alt.Y("y:Q", title=_title(found), scale=alt.Scale(zero=False))
        charts.append(
            alt.Chart(alt.Data(values=rows))
            .mark_point(filled=True, size=40, opacity=0.7, color=COLOURS[0])
            .encode(x=x, y=y)
            .properties(width=190, height=130)
        )
    return alt.concat(*charts, columns=4, spacing=18)


def parallel(found: Searched) -> Chart:
    """Each completed trial as a line through its values; the better, the darker."""
    paths = list(found.dimensions)
    done = list(reversed(found.ranked))
    axes = [*paths, "score"]
    values = [found.metric.scale * t.values[0] for t in done]
    low, high = min(values), max(values)
    rows = []
    for rank, trial in enumerate(done):
        places = {p: _place(found.dimensions[p], trial.params.get(p)) for p in paths}
        places["score"] = (values[rank] - low) / (high - low) if high > low else 0.5
        rows += [
            {"trial": trial.number, "axis": _short(axis), "place": place, "rank": (rank + 1) / len(done)}
            for axis, place in places.items()
            if place is not None
        ]
    ends = alt.Axis(values=[0, 1], labelExpr="datum.value == 0 ? 'least' : 'most'", grid=False)
    lines = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(strokeWidth=1.6, color=COLOURS[0])
        .encode(
            x=alt.X(
                "axis:N", sort=[_short(a) for a in axes], title=None, axis=alt.Axis(labelAngle=-20, labelLimit=260)
            ),
            y=alt.Y("place:Q", title=None, axis=ends),
            detail="trial:N",
            opacity=alt.Opacity("rank:Q", scale=alt.Scale(range=[0.12, 1]), legend=None),
        )
    )
    best = rows and lines.transform_filter("datum.rank == 1").mark_line(strokeWidth=3, color=COLOURS[1])
    return (lines + best).properties(width=150 * len(axes), height=230)


def pareto(found: Searched) -> Chart:
    """The score against each cost; the front is what no other trial beats in all objectives."""
    charts = []
    for i, cost in enumerate(found.objectives[1:], 1):
        rows = [
            {
                "cost": t.values[i],
                "score": found.metric.scale * t.values[0],
                "front": "front" if t.number in found.front else "other",
            }
            for t in found.trials
            if t.state == "complete"
        ]
        costs = [t.values[i] for t in found.trials if t.state == "complete"] or [1.0]
        base = alt.Chart(alt.Data(values=rows)).encode(
            x=alt.X(
                "cost:Q",
                title=f"{cost} (log scale)",
                scale=alt.Scale(type="log", domain=[min(costs) / 1.3, max(costs) * 1.3], nice=False),
                axis=alt.Axis(format="~s", tickCount=5, grid=False),
            ),
            y=alt.Y("score:Q", title=_title(found), scale=alt.Scale(zero=False)),
        )
        points = base.mark_point(filled=True, size=70, opacity=0.9).encode(
            color=alt.Color(
                "front:N", title=None, scale=alt.Scale(domain=["front", "other"], range=[COLOURS[1], "#8a8a8a"])
            )
        )
        line = base.transform_filter("datum.front == 'front'").mark_line(color=COLOURS[1], strokeWidth=1.5)
        charts.append((line + points).properties(width=WIDTH, height=230))
    return alt.concat(*charts, columns=2)


def _title(found: Searched) -> str:
    by = found.metric
    return f"validation {by.name.replace('_', ' ')}{by.unit and f' ({by.unit.strip()})'}"


def _short(path: str) -> str:
    """Long names lose their middle: they tend to begin alike."""
    half = MOST_LETTERS // 2
    return path if len(path) <= MOST_LETTERS else f"{path[: half - 1]}…{path[-half:]}"


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else _short(shown(value))


def _place(dimension: Choice | Range, value: Any) -> float | None:
    """Where a value lies between the least and the most, 0 … 1."""
    if isinstance(dimension, Choice):
        return list(dimension.values).index(value) / (len(dimension.values) - 1) if value in dimension.values else None
    if value is None:
        return None
    low, high = dimension.low, dimension.high
    number = float(value)
    return math.log(number / low) / math.log(high / low) if dimension.log else (number - low) / (high - low)
