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
    def runs(
        q: Words = "", sort: str = "started", down: bool = True, first: First = 0, parts: bool = False
    ) -> HTMLResponse:
        studies = [(opaque(name), name) for name in rooms.runs.studies()]
        return page(
            "runs.html", "runs", studies=studies, folder=rooms.runs.path, **_table(rooms, q, sort, down, first, parts)
        )

    @app.get("/rows")
    def rows(
        q: Words = "", sort: str = "started", down: bool = True, first: First = 0, parts: bool = False
    ) -> HTMLResponse:
        return page("rows.html", "runs", **_table(rooms, q, sort, down, first, parts))

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
        return _begun(words, f"{line.recipe} on {line.dataset}, resumed", line)

    @app.post("/runs/{run}/export")
    def export(run: str) -> Response:
        line, folder = rooms.one(run)
        words = ["export", str(folder.path)]
        refuse_own_code(folder, words)
        return _begun(words, f"exporting {line.recipe}", line)

    def _begun(words: list[str], title: str, line: Line) -> Response:
        command = rooms.commands.start([*words, *rooms.places], title, line.name)
        return RedirectResponse(f"/commands/{command.id}", 303)


def _table(rooms: Rooms, q: str, sort: str, down: bool, first: int, parts: bool) -> dict[str, Any]:
    lines, count = rooms.index.page(q, sort, down, first, PER_PAGE, parts)
    if count and not lines:  # beyond the end: runs were deleted since
        first = (count - 1) // PER_PAGE * PER_PAGE
        lines, count = rooms.index.page(q, sort, down, first, PER_PAGE, parts)
    now = {"q": q, "sort": sort, "down": int(down), "first": first, "parts": int(parts)}
    return {
        **now, "lines": lines, "count": count, "most": PER_PAGE, "parts_count": rooms.index.parts(q),
        "waiting": rooms.index.waiting, "commands": [state.command for state in rooms.commands.running()],
        "link": lambda **change: "/?" + urlencode(now | change),
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
    study = str(folder.identity.get("study") or "") if line.part else ""
    return {
        "line": line,
        "epochs": epochs,
        "chart": curves(epochs),
        "toml": "" if damaged else folder.toml,
        "data": None if damaged else folder.data,
        "structure": None if damaged else folder.structure,
        "environment": None if damaged else folder.environment,
        "metrics": folder.metrics if folder.done else None,
        "bundle": folder.bundle.there,
        "refusal": refusal,
        "study": study,
        "study_id": rooms.study(study) if study else "",
        **_command(line.name, rooms),
    }


def _command(run: str, rooms: Rooms) -> dict[str, Any]:
    """The command that runs for this run now, and whether it is about no other."""
    for state in rooms.commands.running():
        alone = rooms.commands.run(state.command) == run
        if alone or run in rooms.commands.progress(state.command).under_way:
            return {"command": state.command, "alone": alone}
    return {"command": None, "alone": False}
