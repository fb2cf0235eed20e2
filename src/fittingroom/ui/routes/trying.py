"""A picture that a person draws or brings, and what several models say of it."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from fittingroom.data.framing import Unreadable
from fittingroom.spec.errors import FittingroomError
from fittingroom.ui.frame import page
from fittingroom.ui.rooms import Rooms


def add(app: FastAPI, rooms: Rooms) -> None:
    """The addresses of trying."""

    @app.get("/try")
    def try_page(request: Request) -> HTMLResponse:
        lines, _ = rooms.index.page(sort="started", most=500)
        ready = [line for line in lines if line.state == "finished" and rooms.index.folder(line).bundle.there]
        others = [line for line in lines if line.state == "finished" and line not in ready]
        asked = request.query_params.getlist("run")
        chosen = [line.id for line in ready if line.id in asked] or [line.id for line in ready[:1]]
        return page("try.html", "try", ready=ready, others=others[:20], chosen=chosen)

    @app.post("/try")
    async def ask(request: Request) -> Response:
        async with request.form(max_files=1, max_fields=40) as sent:
            picture = sent.get("image")
            if not isinstance(picture, UploadFile):
                raise HTTPException(400, "send one picture, as image")
            content = await picture.read()
            ids, heat = [str(v) for v in sent.getlist("run")][:8], bool(sent.get("heat"))
        return await run_in_threadpool(_answers, content, ids, heat, rooms)


def _answers(content: bytes, ids: list[str], heat: bool, rooms: Rooms) -> Response:
    models = []
    for line in rooms.index.find(ids):
        try:
            said = rooms.attempts.ask(rooms.index.folder(line), content, heat)
        except (Unreadable, FittingroomError) as error:
            said = {"error": str(error)}
        models.append({"id": line.id, "recipe": line.recipe, "dataset": line.dataset, "seed": line.seed} | said)
    return JSONResponse({"models": models})
