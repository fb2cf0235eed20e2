"""The table of runs, and each run's page: watched while it trains, resumed, exported."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import FastAPI, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from fittingroom.spec.errors import FittingroomError
from fittingroom.store import RunFolder
from fittingroom.ui.again import refuse_own_code, resuming
from fittingroom.ui.frame import First, curves, page
from fittingroom.ui.index import Line
from fittingroom.ui.opaque import opaque
from fittingroom.ui.rooms import Rooms

PER_PAGE = 100
Words = Annotated[str, Query(max_length=200)]


def add(app: FastAPI, rooms: Rooms) -> None:
    """The addresses of runs."""

    @app.get("/")
    def runs(q: Words = "", sort: str = "started", down: bool = True, first: First = 0) -> HTMLResponse:
        studies = [(opaque(name), name) for name in rooms.runs.studies()]
        return page("runs.html", "runs", studies=studies, folder=rooms.runs.path, **_table(rooms, q, sort, down, first))

    @app.get("/rows")
    def rows(q: Words = "", sort: str = "started", down: bool = True, first: First = 0) -> HTMLResponse:
        return page("rows.html", "runs", **_table(rooms, q, sort, down, first))

    @app.get("/runs/{run}")
    def one(run: str) -> HTMLResponse:
        return page("run.html", "runs", **_about(*rooms.one(run), rooms))

    @app.get("/runs/{run}/live")
    def live(run: str) -> HTMLResponse:
        return page("run_live.html", "runs", **_about(*rooms.one(run), rooms))

    @app.post("/runs/{run}/resume")
    def resume(run: str) -> Response:
        line, folder = rooms.one(run)
        words = resuming(line, folder)
        job = rooms.jobs.start([*words, *rooms.places], f"{line.recipe} on {line.dataset}, resumed")
        return RedirectResponse(f"/jobs/{job.id}", 303)

    @app.post("/runs/{run}/export")
    def export(run: str) -> Response:
        line, folder = rooms.one(run)
        words = ["export", str(folder.path)]
        refuse_own_code(folder, words)
        job = rooms.jobs.start([*words, *rooms.places], f"exporting {line.recipe}")
        return RedirectResponse(f"/jobs/{job.id}", 303)


def _table(rooms: Rooms, q: str, sort: str, down: bool, first: int) -> dict[str, Any]:
    lines, count = rooms.index.page(q, sort, down, first, PER_PAGE)
    if count and not lines:  # beyond the end: runs were deleted since
        first = (count - 1) // PER_PAGE * PER_PAGE
        lines, count = rooms.index.page(q, sort, down, first, PER_PAGE)
    return {
        "lines": lines, "count": count, "q": q, "sort": sort, "down": down, "first": first, "most": PER_PAGE,
        "waiting": rooms.index.waiting, "jobs": rooms.jobs.running(),
        "link": lambda **change: "/?" + urlencode({"q": q, "sort": sort, "down": int(down), "first": first} | change),
    }  # fmt: skip


def _about(line: Line, folder: RunFolder, rooms: Rooms) -> dict[str, Any]:
    damaged = line.state == "damaged"
    refusal = ""
    if line.state == "stopped":
        try:
            resuming(line, folder)
        except FittingroomError as error:
            refusal = str(error)
    epochs = [] if damaged else folder.epochs
    return {
        "line": line,
        "epochs": epochs,
        "chart": curves(epochs),
        "toml": "" if damaged else (folder.path / "recipe.toml").read_text(encoding="utf-8"),
        "data": None if damaged else folder.data,
        "structure": None if damaged else folder.structure,
        "environment": None if damaged else folder.environment,
        "metrics": folder.metrics if folder.done else None,
        "bundle": folder.bundle.there,
        "refusal": refusal,
        "job": next((seen for seen in rooms.jobs.running() if seen.run == line.name), None),
    }
