"""Pictures that a person collects here, with a camera or from a folder, and the question which classifier is best for them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from fittingroom.data.framing import Unreadable, format_of
from fittingroom.serve.settings import Limits
from fittingroom.store.collected import SUFFIXES, Collected
from fittingroom.ui.again import FIRST_ANSWER, RECORDED
from fittingroom.ui.frame import page
from fittingroom.ui.opaque import opaque
from fittingroom.ui.rooms import Rooms

MOST = 32  # pictures of one request
ALONE = "alone"  # instead of a recording: each picture is one by itself
LEAST = 5  # pictures of each of two classes, to ask for an answer
SHOWN = 12  # pictures of a class on the page


def add(app: FastAPI, rooms: Rooms) -> None:
    """The addresses of collecting."""
    collected = Collected(rooms.home_dir)

    @app.get("/collect")
    def begin() -> HTMLResponse:
        sets = [(name, collected.classes(name)) for name in collected.sets()]
        return page("collect_begin.html", "collect", sets=sets)

    @app.post("/collect")
    async def named(request: Request) -> Response:
        async with request.form(max_files=0, max_fields=2) as sent:
            name = str(sent.get("name", "")).strip()
        collected.path(name)
        return RedirectResponse(f"/collect/{name}", 303)

    @app.get("/collect/{name}")
    def collect(name: str) -> HTMLResponse:
        return page("collect.html", "collect", name=name, facts=_facts(collected, name), least=LEAST)

    @app.get("/collect/{name}/facts")
    def facts(name: str) -> JSONResponse:
        return JSONResponse(_facts(collected, name))

    @app.get("/collect/{name}/pictures/{label}/{recording}/{picture}")
    def picture(name: str, label: str, recording: str, picture: str) -> Response:
        file = collected.file(name, label, recording, picture)
        if not file.is_file():
            raise HTTPException(404, "there is no such picture")
        return FileResponse(file, headers={"cache-control": "max-age=3600"})

    @app.post("/collect/{name}/pictures/{label}/{recording}")
    async def bring(request: Request, name: str, label: str, recording: str) -> Response:
        async with request.form(max_files=MOST, max_fields=0) as sent:
            pictures = [await one.read() for one in sent.getlist("image") if isinstance(one, UploadFile)]

        def keep() -> list[str]:
            refused = []
            for i, content in enumerate(pictures):
                try:
                    kind = format_of(content, Limits().pixels)
                except Unreadable as reason:
                    refused.append(str(reason))
                    continue
                if kind not in SUFFIXES:
                    refused.append(f"is a {kind}, and none of {', '.join(SUFFIXES)}")
                    continue
                own = f"{time.time_ns() // 10**6:x}-f{i:02}-{secrets.token_hex(2)}"  # by itself; sorted by time
                collected.add(name, label, own if recording == ALONE else recording, content, SUFFIXES[kind])
            return refused

        return JSONResponse({"refused": await run_in_threadpool(keep)})

    @app.post("/collect/{name}/forget/{label}/{recording}")
    def forget(name: str, label: str, recording: str) -> JSONResponse:
        collected.remove(name, label, recording)
        return JSONResponse(_facts(collected, name))

    @app.post("/collect/{name}/ask")
    async def ask(request: Request, name: str) -> Response:
        quick = bool(request.query_params.get("quick"))
        classes = collected.classes(name)
        if sum(one.pictures >= LEAST for one in classes) < 2:
            raise HTTPException(400, f"an answer takes two classes of at least {LEAST} pictures")
        if min(len(one.recordings) for one in classes) < 2:
            raise HTTPException(400, "record each class at least twice: one recording cannot be judged by itself")
        recorded = any(len(pictures) > 1 for one in classes for pictures in one.recordings.values())
        words = ["best", str(collected.path(name)), *(RECORDED * recorded), *(FIRST_ANSWER * quick)]
        begun = rooms.commands.start([*words, *rooms.places], f"which classifier for {name}?")
        return JSONResponse({"command": begun.id})

    @app.get("/collect/{name}/answer/{command}")
    def answer(name: str, command: str) -> JSONResponse:
        return JSONResponse(_answer(rooms, command))


def _facts(collected: Collected, name: str) -> dict[str, Any]:
    """The classes of a set, as the page's script shows them."""
    return {
        "name": name,
        "classes": [
            {
                "name": one.name,
                "pictures": one.pictures,
                "recordings": list(one.recordings),
                "several": sum(len(pictures) > 1 for pictures in one.recordings.values()),
                "latest": [
                    f"/collect/{name}/pictures/{one.name}/{recording}/{picture}"
                    for recording, pictures in one.recordings.items()
                    for picture in pictures
                ][-SHOWN:],
            }
            for one in collected.classes(name)
        ],
    }


def _answer(rooms: Rooms, command: str) -> Mapping[str, Any]:
    """How far the question is: its sentences when it has ended, else what it said last; the run to try."""
    state = rooms.command(command)
    progress = rooms.commands.progress(state.command)
    log = rooms.commands.log(state.command).strip().splitlines()
    told: dict[str, Any] = {"status": state.status, "said": log[-1] if log else "", "sentences": []}
    if progress.failed:
        told["said"] = progress.failed.message
    if progress.answer:
        told["sentences"] = list(progress.answer.sentences)
        study = rooms.runs.study(progress.answer.subject)
        final = str(study.settings.get("final", "")) if study else ""
        rooms.index.sync()
        line = next(iter(rooms.index.find([opaque(final)])), None)
        told |= {"run": line.id if line else "", "study": rooms.study(progress.answer.subject)}
    return told
