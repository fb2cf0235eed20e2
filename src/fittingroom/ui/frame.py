"""Every page's frame: one template inside another, the policy for what may run in it, and the small things that pages show."""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from fastapi import Query
from fastapi.responses import HTMLResponse

from fittingroom.metrics.words import human, percent
from fittingroom.report.render import render
from fittingroom.spec.records import Epoch

First = Annotated[int, Query(ge=0, le=10**9)]  # of a list: where its page begins
PAGES = Path(__file__).parent / "pages"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def page(template: str, here: str, status: int = 200, **context: Any) -> HTMLResponse:
    """A page inside the frame; `here` is the part of the navigation that it belongs to."""
    html = render(
        template, folders=(PAGES,), frame="frame.html", here=here, percent=percent, human=human, ago=ago, duration=duration,
        spark=spark, now=time.time, **context,
    )  # fmt: skip
    text = html.encode("utf-8", "replace")  # a file's name may hold bytes that are no text
    return HTMLResponse(text, status, headers={"content-security-policy": POLICY, "cache-control": "no-store"})


def polyline(values: Sequence[float], low: float, high: float, width: float, height: float) -> str:
    """The points of an SVG polyline through `values`, from the left edge to the right; `low` lies at the bottom.

    >>> polyline([0.0, 1.0, 0.5], 0.0, 1.0, 90, 18)
    '0.0,18.0 45.0,0.0 90.0,9.0'
    """
    step = width / max(1, len(values) - 1)
    shares = [(v - low) / (high - low) if high > low else 0.5 for v in values]
    return " ".join(f"{i * step:.1f},{(1 - share) * height:.1f}" for i, share in enumerate(shares))


def spark(values: Sequence[float], width: float = 90, height: float = 18) -> str:
    """The polyline of a curve in a table, over its own range."""
    return polyline(values, min(values), max(values), width, height)


def curves(epochs: Sequence[Epoch], width: float = 560, height: float = 200) -> dict[str, Any] | None:
    """What the chart of a run's epochs needs: polylines of validation and training accuracy, and the ends of its axis."""
    if not epochs:
        return None
    validation = [e.val_accuracy for e in epochs if e.val_accuracy is not None]
    series = {"training": [e.clean_accuracy for e in epochs]} | ({"validation": validation} if validation else {})
    every = [v for values in series.values() for v in values]
    low, high = min(every), max(every)
    lines = {name: polyline(values, low, high, width, height) for name, values in series.items()}
    return {"lines": lines, "low": low, "high": high, "width": width, "height": height, "epochs": len(epochs)}


def ago(started: str) -> str:
    """An ISO time as "3 min ago"."""
    try:
        then = datetime.datetime.fromisoformat(started)
    except ValueError:
        return ""
    passed = (datetime.datetime.now(datetime.UTC) - then).total_seconds()
    steps: list[tuple[float, str]] = [(86400, "d"), (3600, "h"), (60, "min")]
    return next((f"{passed // size:.0f} {unit} ago" for size, unit in steps if passed >= size), "just now")


def duration(seconds: float | None) -> str:
    """Seconds as a person says them.

    >>> duration(75.0), duration(4.2), duration(None)
    ('1 min 15 s', '4.2 s', '–')
    """
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
