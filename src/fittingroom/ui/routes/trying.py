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

MOST = 8  # models side by side
LATEST = 500  # runs that are looked through for models


def add(app: FastAPI, rooms: Rooms) -> None:
    """The addresses of trying."""

    @app.get("/try")
    def try_page(request: Request) -> HTMLResponse:
        asked = [line for line in rooms.index.find(request.query_params.getlist("run")) if line.state != "damaged"]
        latest, _ = rooms.index.page("finished", sort="started", most=LATEST)
        known = {line.id: line for line in [*asked, *latest] if line.state == "finished"}.values()
        ready = [line for line in known if rooms.index.folder(line).bundle.there]
        others = [line for line in known if line not in ready]
        chosen = [line for line in asked if line in ready] or ready[: 0 if asked else 1]
        return page(
            "try.html", "try", ready=ready, others=[line for line in others if line not in asked][:20], most=MOST,
            chosen=[line.id for line in chosen[:MOST]], missing=[line for line in asked if line not in ready],
            too_many=len(chosen) > MOST,
        )  # fmt: skip

    @app.post("/try")
    async def ask(request: Request) -> Response:
        async with request.form(max_files=1, max_fields=40) as sent:
            picture = sent.get("image")
            if not isinstance(picture, UploadFile):
                raise HTTPException(400, "send one picture, as image")
            content = await picture.read()
            ids, heat = [str(v) for v in sent.getlist("run")], bool(sent.get("heat"))
        if len(ids) > MOST:
            raise HTTPException(400, f"at most {MOST} models at once")
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
