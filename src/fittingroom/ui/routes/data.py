"""The data sets, looked through: samples, duplicates, suspect labels, and what a person decides about them."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from fittingroom.data.decisions import DECISIONS
from fittingroom.data.own.decode import Unreadable
from fittingroom.ui.collection import SAMPLES
from fittingroom.ui.frame import First, page
from fittingroom.ui.originals import Originals
from fittingroom.ui.rooms import Rooms


def add(app: FastAPI, rooms: Rooms) -> None:
    """The addresses of data."""

    @app.get("/data")
    def sets() -> HTMLResponse:
        return page("data_list.html", "data", sets=rooms.data.all())

    @app.get("/original")
    def original(data: str, called: str) -> Response:
        """A picture of one's own at its own size."""
        try:
            content, kind = Originals(data, rooms.home_dir).read(called)
        except (Unreadable, OSError) as reason:
            raise HTTPException(404, f"this picture {reason}") from None
        return Response(content, media_type=kind, headers={"cache-control": "no-store"})

    @app.get("/data/{wanted}")
    def one(wanted: str, show: str = "samples", c: int = -1, first: First = 0, split: str = "train") -> HTMLResponse:
        about = rooms.data.find(wanted)
        data = rooms.data.data(about)
        c = c if 0 <= c < len(data.classes) else -1
        context: dict[str, Any] = {}
        match show:
            case "twins":
                context = {"twins": rooms.data.twins(data)}
            case "suspects":
                split = "test" if split == "test" else "train"
                audit, suspects = rooms.data.suspects(data, split)
                context = {"audit": audit, "suspects": suspects, "split": split, "decisions": DECISIONS}
            case _:
                show = "samples"
                found, count = rooms.data.samples(data, None if c < 0 else c, first)
                context = {"samples": found, "count": count, "first": first, "most": SAMPLES}
        decided = rooms.data.decided(data)
        return page(
            "data.html", "data", about=about, data=data, show=show, c=c, decided=len(decided),
            file=rooms.runs.decisions_file(data.name), original=Originals(data.digest, rooms.home_dir).address, **context,
        )  # fmt: skip

    @app.post("/data/{wanted}/decide")
    async def decide(wanted: str, request: Request) -> Response:
        sent = await request.form()
        row, split, decision = (str(sent.get(key, "")) for key in ("row", "split", "decision"))
        if not row.isdecimal() or len(row) > 9:
            raise HTTPException(400, "row: a number")

        def keep() -> None:
            rooms.data.decide(rooms.data.data(rooms.data.find(wanted)), split, int(row), decision)

        await run_in_threadpool(keep)
        if request.headers.get("accept", "").startswith("application/json"):
            return JSONResponse({"decision": decision})
        return RedirectResponse(f"/data/{wanted}?show=suspects&split={'test' if split == 'test' else 'train'}", 303)
