"""The form that starts a command, and the commands that were started: watched, stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from fittingroom.data.catalog import count_test_images
from fittingroom.data.decisions import left_out
from fittingroom.metrics.reported import weigh
from fittingroom.report.reported_page import Weighed
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.reported import reported
from fittingroom.ui.again import once_more
from fittingroom.ui.commands import CommandState
from fittingroom.ui.forms import MOST_SIGNS, Wish, Wrong, fields, offered, own_sets, read_form, read_question
from fittingroom.ui.frame import page
from fittingroom.ui.opaque import opaque
from fittingroom.ui.rooms import Rooms

Given = dict[str, list[str]]
SENTENCES = 12  # of an answer that are shown; its output has all


def add(app: FastAPI, rooms: Rooms) -> None:
    """The addresses of the form and of commands."""

    @app.get("/new")
    def new(recipe: str = "") -> HTMLResponse:
        return _form({"recipe": [recipe]} if recipe else {}, {}, rooms)

    @app.post("/new")
    async def start(request: Request) -> Response:
        return await run_in_threadpool(_begin, await _sent(request), rooms, read)

    @app.post("/new/best")
    async def ask(request: Request) -> Response:
        return await run_in_threadpool(_begin, await _sent(request), rooms, read_question)

    def read(given: Given, home_dir: Path) -> Wish:
        return read_form(given, home_dir, rooms.data.exclusion)

    @app.get("/claims")
    def claims(figures: str = "") -> HTMLResponse:
        return _claims(figures, rooms)

    @app.get("/commands")
    def commands() -> HTMLResponse:
        return page("commands.html", "new", states=rooms.commands.list(50))

    @app.get("/commands/{name}")
    def command(name: str) -> HTMLResponse:
        return page("command.html", "new", **_about(rooms.command(name), rooms))

    @app.get("/commands/{name}/live")
    def live(name: str) -> HTMLResponse:
        return page("command_live.html", "new", **_about(rooms.command(name), rooms))

    @app.post("/commands/{name}/stop")
    def stop(name: str) -> Response:
        rooms.command(name)
        rooms.commands.stop(name)
        return RedirectResponse(f"/commands/{name}", 303)

    @app.post("/commands/{name}/again")
    def again(name: str) -> Response:
        state = rooms.command(name)
        words = once_more(state, rooms.runs, rooms.home_dir)
        if not words:
            raise HTTPException(400, "this command has ended for good, or was not begun by the form; begin a new one")
        begun = rooms.commands.start([*words, *rooms.places], state.command.title)
        return RedirectResponse(f"/commands/{begun.id}", 303)


async def _sent(request: Request) -> Given:
    given: Given = {}
    for key, value in (await request.form()).multi_items():
        if isinstance(value, str):
            given.setdefault(key, []).append(value)
    return given


def _form(given: Given, faults: dict[str, str], rooms: Rooms, status: int = 200) -> HTMLResponse:
    recipes, sets = offered(rooms.home_dir)
    name = (given.get("recipe") or ["fast-fashion"])[0]
    chosen = next((r for r in recipes if r.name == name), recipes[0])
    flat = {key: values[-1] for key, values in given.items()}
    entries = fields(chosen, flat, faults)
    return page(
        "new.html", "new", status, recipes=recipes, sets=sets, own=own_sets(rooms.home_dir),
        chosen=chosen, given=flat, withs=given.get("with", []),
        first=[f for f in entries if f.first], more=[f for f in entries if not f.first], faults=faults,
        more_faulty=any(f.fault for f in entries if not f.first),
        decided={name: n for name in sets if (n := left_out(rooms.runs.decisions_file(name)))},
    )  # fmt: skip


def _claims(figures: str, rooms: Rooms) -> HTMLResponse:
    """What figures alone say. What was sent is read as figures, and never as a file's name."""
    found, fault = None, ""
    if figures:
        try:
            if len(figures) > MOST_SIGNS:
                raise FittingroomError(f"at most {MOST_SIGNS} signs")
            claim = reported(figures)
            found = Weighed(*weigh([(claim, count_test_images(claim.on, rooms.home_dir))]), "", rooms.runs.path)
        except FittingroomError as error:
            fault = str(error)
    return page("claims.html", "new", 400 if fault else 200, figures=figures, found=found, fault=fault)


def _begin(given: Given, rooms: Rooms, read: Callable[[Given, Path], Wish]) -> Response:
    try:
        wish = read(given, rooms.home_dir)
    except Wrong as wrong:
        return _form(given, wrong.faults, rooms, 400)
    begun = rooms.commands.start([*wish.words, *rooms.places], wish.title)
    return RedirectResponse(f"/commands/{begun.id}", 303)


def _about(state: CommandState, rooms: Rooms) -> dict[str, Any]:
    command, progress = state.command, rooms.commands.progress(state.command)
    name = rooms.commands.run(command)
    run = next(iter(rooms.index.find([opaque(name)])), None) if name else None  # which has a Resume of its own
    exported = command.kind == "export" and state.status == "finished"
    faulty = progress.failed is not None and progress.failed.faults  # the same words would fail again
    several = progress.planned is not None and progress.planned.runs > 1
    under_way = progress.under_way if several and state.running else []
    return {
        "command": command,
        "state": state,
        "progress": progress,
        "several": several,
        "training": rooms.index.find([opaque(name) for name in under_way]),
        "run": run,
        "ready": exported and run is not None and rooms.index.folder(run).bundle.there,
        "study": rooms.study(progress.study) if progress.study else "",
        "again": run is None and not faulty and bool(once_more(state, rooms.runs, rooms.home_dir)),
        "log": rooms.commands.log(command),
        "most": SENTENCES,
    }
