"""The pages' application: its rooms, its routes, the files that it serves, and how errors are told."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from fittingroom.report.render import assets
from fittingroom.serve.guard import App, Guard
from fittingroom.serve.settings import Door, Limits
from fittingroom.spec.errors import FittingroomError
from fittingroom.store import Runs
from fittingroom.ui.frame import PAGES, page
from fittingroom.ui.rooms import Rooms
from fittingroom.ui.routes import collecting, comparing, data, runs, starting, trying

KINDS = {".js": "text/javascript", ".css": "text/css"}


def create_ui(runs_folder: Runs, home_dir: Path, door: Door = Door()) -> App:
    """The application. Its index is kept in step with the folders by a thread while it runs."""
    rooms = Rooms.over(runs_folder, home_dir)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=rooms.index.keep, args=(stop,), daemon=True)
        thread.start()
        yield
        stop.set()
        await run_in_threadpool(thread.join)
        rooms.index.close()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    for part in (runs, starting, collecting, comparing, data, trying):
        part.add(app, rooms)
    _add_files(app)
    _add_errors(app)
    return Guard(app, door, most_body_bytes=Limits().body_bytes, pages=True)


def _add_files(app: FastAPI) -> None:
    web = Path(str(resources.files("fittingroom") / "web"))
    files = {path.name: path for folder in (assets(), web, PAGES) for path in folder.iterdir() if path.suffix in KINDS}

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        if name not in files:
            raise HTTPException(404, "there is no such file")
        kind = KINDS[files[name].suffix]
        return FileResponse(files[name], media_type=kind, headers={"cache-control": "no-cache"})

    @app.get("/favicon.ico")
    def icon() -> Response:
        return Response(status_code=204)


def _add_errors(app: FastAPI) -> None:
    def told(request: Request, status: int, reason: str) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            return page("error.html", "", status, reason=reason)
        return JSONResponse({"error": reason}, status)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        return told(request, error.status_code, str(error.detail))

    @app.exception_handler(FittingroomError)
    async def ours(request: Request, error: FittingroomError) -> Response:
        return told(request, 400, str(error))

    @app.exception_handler(RequestValidationError)
    async def wrong(request: Request, error: RequestValidationError) -> Response:
        return told(request, 400, "the address is not one that this server makes")
