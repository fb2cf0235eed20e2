"""The form that starts a command, and the jobs that came of it: watched, stopped."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from fittingroom.data.decisions import left_out
from fittingroom.ui.again import once_more
from fittingroom.ui.forms import Wrong, fields, offered, read_form
from fittingroom.ui.frame import page
from fittingroom.ui.jobs import Seen
from fittingroom.ui.opaque import opaque
from fittingroom.ui.rooms import Rooms

Given = dict[str, list[str]]


def add(app: FastAPI, rooms: Rooms) -> None:
    """The addresses of the form and of jobs."""

    @app.get("/new")
    def new(recipe: str = "") -> HTMLResponse:
        return _form({"recipe": [recipe]} if recipe else {}, {}, rooms)

    @app.post("/new")
    async def start(request: Request) -> Response:
        sent = await request.form()
        given: Given = {}
        for key, value in sent.multi_items():
            if isinstance(value, str):
                given.setdefault(key, []).append(value)
        return await run_in_threadpool(_begin, given, rooms)

    @app.get("/jobs")
    def jobs() -> HTMLResponse:
        return page("jobs.html", "new", jobs=rooms.jobs.list(50))

    @app.get("/jobs/{name}")
    def job(name: str) -> HTMLResponse:
        return page("job.html", "new", **_about(rooms.job(name), rooms))

    @app.get("/jobs/{name}/live")
    def live(name: str) -> HTMLResponse:
        return page("job_live.html", "new", **_about(rooms.job(name), rooms))

    @app.post("/jobs/{name}/stop")
    def stop(name: str) -> Response:
        rooms.job(name)
        rooms.jobs.stop(name)
        return RedirectResponse(f"/jobs/{name}", 303)

    @app.post("/jobs/{name}/again")
    def again(name: str) -> Response:
        seen = rooms.job(name)
        words = once_more(seen, rooms.runs, rooms.home_dir)
        if not words:
            raise HTTPException(400, "this command has ended for good, or was not begun by the form; begin a new one")
        job = rooms.jobs.start([*words, *rooms.places], seen.job.title)
        return RedirectResponse(f"/jobs/{job.id}", 303)


def _form(given: Given, faults: dict[str, str], rooms: Rooms, status: int = 200) -> HTMLResponse:
    recipes, sets = offered(rooms.home_dir)
    name = (given.get("recipe") or ["fast-fashion"])[0]
    chosen = next((r for r in recipes if r.name == name), recipes[0])
    flat = {key: values[-1] for key, values in given.items()}
    entries = fields(chosen, flat, faults)
    return page(
        "new.html", "new", status, recipes=recipes, sets=sets, chosen=chosen, given=flat, withs=given.get("with", []),
        first=[f for f in entries if f.first], more=[f for f in entries if not f.first], faults=faults,
        more_faulty=any(f.fault for f in entries if not f.first),
        decided={name: n for name in sets if (n := left_out(rooms.runs.decisions_file(name)))},
    )  # fmt: skip


def _begin(given: Given, rooms: Rooms) -> Response:
    try:
        wish = read_form(given, rooms.home_dir, rooms.data.exclusion)
    except Wrong as wrong:
        return _form(given, wrong.faults, rooms, 400)
    job = rooms.jobs.start([*wish.words, *rooms.places], wish.title)
    return RedirectResponse(f"/jobs/{job.id}", 303)


def _about(seen: Seen, rooms: Rooms) -> dict[str, Any]:
    run = next(iter(rooms.index.find([opaque(seen.run)])), None) if seen.run else None
    study = seen.study if seen.study and rooms.runs.study(seen.study) is not None else ""
    exported = run is not None and seen.job.kind == "export" and seen.state == "finished"
    return {
        "seen": seen,
        "run": run,
        "ready": exported and run is not None and rooms.index.folder(run).bundle.there,
        "study": opaque(study) if study else "",
        "again": run is None and bool(once_more(seen, rooms.runs, rooms.home_dir)),  # a run has a Resume of its own
    }
