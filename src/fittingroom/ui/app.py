"""The pages' addresses: each reads what it needs, and renders one template. No script is inline, no id is a path."""

from __future__ import annotations

import contextlib
import datetime
import threading
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from fittingroom.data.decisions import DECISIONS, left_out
from fittingroom.data.framing import Unreadable
from fittingroom.metrics.words import human, percent
from fittingroom.report.gather import Story
from fittingroom.report.render import assets, render
from fittingroom.serve.guard import App, Guard
from fittingroom.serve.settings import Limits
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.read import read_recipe
from fittingroom.store import RunFolder, Runs
from fittingroom.ui import stories as told
from fittingroom.ui.attempts import Attempts
from fittingroom.ui.collection import SAMPLES, Collection
from fittingroom.ui.forms import Wrong, fields, offered, read_form
from fittingroom.ui.index import Line, RunIndex, run_id
from fittingroom.ui.jobs import Jobs, Seen

PER_PAGE = 100
DRAWN_S = 0.5  # that a comparison waits for its figures; then it is shown without, and again when they are drawn
PAGES = Path(__file__).parent / "pages"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Rooms:
    """What the pages draw from."""

    runs: Runs
    home_dir: Path
    index: RunIndex
    jobs: Jobs
    stories: told.Stories
    data: Collection
    attempts: Attempts

    def folders(self, ids: Sequence[str]) -> list[RunFolder]:
        """The run folders with these ids. Raises `HTTPException` 404 for none."""
        found = [self.index.folder(line) for line in self.index.find(ids)]
        if not found:
            raise HTTPException(404, "there is no such run here (any more)")
        return found


def create_ui(
    runs: Runs, home_dir: Path, *, host: str = "127.0.0.1", token: str = "", names: tuple[str, ...] = ()
) -> App:
    """The application. Its index is kept in step with the folders by a thread while it runs."""
    rooms = Rooms(
        runs, home_dir, RunIndex(runs), Jobs(runs), told.Stories(runs), Collection(runs, home_dir), Attempts(home_dir)
    )

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
    for add in (_runs, _starting, _comparing, _data, _trying, _static, _errors):
        add(app, rooms)
    return Guard(app, host=host, token=token, most_body_bytes=Limits().body_bytes, names=names, pages=True)


def page(template: str, here: str, status: int = 200, **context: Any) -> HTMLResponse:
    """A page inside the frame; `here` is the part of the navigation that it belongs to."""
    html = render(
        template, folders=(PAGES,), frame="frame.html", here=here, percent=percent, human=human, ago=ago, duration=duration,
        spark=spark, now=time.time, **context,
    )  # fmt: skip
    return HTMLResponse(html, status, headers={"content-security-policy": POLICY, "cache-control": "no-store"})


# ---------------------------------------------------------------- runs


def _runs(app: FastAPI, rooms: Rooms) -> None:
    def table(q: str, sort: str, down: bool, first: int) -> dict[str, Any]:
        lines, count = rooms.index.page(q, sort, down, max(0, first), PER_PAGE)
        return {
            "lines": lines, "count": count, "q": q, "sort": sort, "down": down, "first": first, "most": PER_PAGE,
            "waiting": rooms.index.waiting, "jobs": [job for job in rooms.jobs.list(8) if job.running],
            "link": lambda **change: "/?" + urlencode({"q": q, "sort": sort, "down": int(down), "first": first} | change),
        }  # fmt: skip

    @app.get("/")
    def runs_page(q: str = "", sort: str = "started", down: bool = True, first: int = 0) -> HTMLResponse:
        studies = [(run_id(name), name) for name in rooms.runs.studies()]
        return page("runs.html", "runs", studies=studies, folder=rooms.runs.path, **table(q, sort, down, first))

    @app.get("/rows")
    def rows(q: str = "", sort: str = "started", down: bool = True, first: int = 0) -> HTMLResponse:
        return page("rows.html", "runs", **table(q, sort, down, first))

    @app.get("/runs/{run}")
    def run_page(run: str) -> HTMLResponse:
        line, folder = _one(rooms, run)
        return page("run.html", "runs", **_run_context(line, folder, rooms))

    @app.get("/runs/{run}/live")
    def live(run: str) -> HTMLResponse:
        line, folder = _one(rooms, run)
        return page("run_live.html", "runs", **_run_context(line, folder, rooms))

    @app.post("/runs/{run}/resume")
    def resume(run: str) -> Response:
        line, folder = _one(rooms, run)
        if folder.recipe.model.kind == "python":
            raise HTTPException(400, "a model of one's own is not started from here; resume it where it was started")
        words = [
            "train",
            str(folder.path / "recipe.toml"),
            "--data",
            line.dataset,
            "--seed",
            str(line.seed),
            "--resume",
        ]
        job = rooms.jobs.start([*words, *_places(rooms)], f"{line.recipe} on {line.dataset}, resumed")
        return RedirectResponse(f"/jobs/{job.id}", 303)

    @app.post("/runs/{run}/export")
    def export(run: str) -> Response:
        line, folder = _one(rooms, run)
        job = rooms.jobs.start(["export", str(folder.path), *_places(rooms)], f"exporting {line.recipe}")
        return RedirectResponse(f"/jobs/{job.id}", 303)


def _one(rooms: Rooms, run: str) -> tuple[Line, RunFolder]:
    found = rooms.index.find([run])
    if not found:
        raise HTTPException(404, "there is no such run here (any more)")
    return found[0], rooms.index.folder(found[0])


def _run_context(line: Line, folder: RunFolder, rooms: Rooms) -> dict[str, Any]:
    damaged = line.state == "damaged"
    epochs = [] if damaged else folder.epochs
    job = next((seen for seen in rooms.jobs.list() if seen.running and seen.run == line.name), None)
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
        "job": job,
    }


# ---------------------------------------------------------------- starting and stopping


def _starting(app: FastAPI, rooms: Rooms) -> None:
    def form(given: dict[str, list[str]], faults: dict[str, str], status: int = 200) -> HTMLResponse:
        recipes, sets = offered(rooms.home_dir)
        name = (given.get("recipe") or ["fast-fashion"])[0]
        chosen = next((r for r in recipes if r.name == name), recipes[0])
        flat = {key: values[-1] for key, values in given.items()}
        entries = fields(chosen, flat, faults)
        return page(
            "new.html", "new", status, recipes=recipes, sets=sets, chosen=chosen, given=flat, withs=given.get("with", []),
            first=[f for f in entries if f.first], more=[f for f in entries if not f.first], faults=faults,
            more_faulty=any(f.fault for f in entries if not f.first),
            decided=left_out(rooms.runs.decisions_file(flat.get("data") or chosen.data.name)),
        )  # fmt: skip

    @app.get("/new")
    def new(recipe: str = "") -> HTMLResponse:
        return form({"recipe": [recipe]} if recipe else {}, {})

    @app.post("/new")
    async def start(request: Request) -> Response:
        sent = await request.form()
        given: dict[str, list[str]] = {}
        for key, value in sent.multi_items():
            if isinstance(value, str):
                given.setdefault(key, []).append(value)
        return await run_in_threadpool(begin, given)

    def begin(given: dict[str, list[str]]) -> Response:
        try:
            name = (given.get("data") or [""])[0] or read_recipe((given.get("recipe") or [""])[0]).data.name
            wish = read_form(given, rooms.home_dir, rooms.runs.decisions_file(name))
        except Wrong as wrong:
            return form(given, wrong.faults, 400)
        except FittingroomError as error:
            return form(given, {"": str(error)}, 400)
        job = rooms.jobs.start([*wish.words, *_places(rooms)], wish.title)
        return RedirectResponse(f"/jobs/{job.id}", 303)

    @app.get("/jobs")
    def jobs() -> HTMLResponse:
        return page("jobs.html", "new", jobs=rooms.jobs.list(50))

    @app.get("/jobs/{name}")
    def job(name: str) -> HTMLResponse:
        return page("job.html", "new", **_job_context(_job(rooms, name), rooms))

    @app.get("/jobs/{name}/live")
    def live(name: str) -> HTMLResponse:
        return page("job_live.html", "new", **_job_context(_job(rooms, name), rooms))

    @app.post("/jobs/{name}/stop")
    def stop(name: str) -> Response:
        _job(rooms, name)
        rooms.jobs.stop(name)
        return RedirectResponse(f"/jobs/{name}", 303)


def _job(rooms: Rooms, name: str) -> Seen:
    seen = rooms.jobs.find(name)
    if seen is None:
        raise HTTPException(404, "there is no such job")
    return seen


def _job_context(seen: Seen, rooms: Rooms) -> dict[str, Any]:
    run = rooms.index.find([run_id(seen.run)]) if seen.run else []
    study = seen.study if seen.study and rooms.runs.study(seen.study) is not None else ""
    return {"seen": seen, "run": run[0] if run else None, "study": run_id(study) if study else "", "name": study}


def _places(rooms: Rooms) -> list[str]:
    return ["--runs", str(rooms.runs.path), "--home", str(rooms.home_dir)]


# ---------------------------------------------------------------- comparing


def _comparing(app: FastAPI, rooms: Rooms) -> None:
    def chosen(request: Request) -> tuple[list[RunFolder], list[RunFolder], str]:
        """The runs that an address names: those that can be compared, those that cannot yet, and the address's part."""
        asked = request.query_params
        folders, query = [], ""
        for study in asked.getlist("study")[:1]:
            name = next((name for name in rooms.runs.studies() if run_id(name) == study), None)
            if name is None:
                raise HTTPException(404, "there is no such study here (any more)")
            folders, query = list(rooms.runs.study(name) or ()), urlencode({"study": study})
        if not folders:
            ids = asked.getlist("run")
            if not ids:
                raise HTTPException(400, "choose runs to compare, in the table")
            folders, query = rooms.folders(ids), urlencode([("run", i) for i in ids])
        done = [f for f in folders if f.done and f.metrics.test]
        return done, [f for f in folders if f not in done], query

    def story(request: Request) -> tuple[Story, str, int]:
        done, _, query = chosen(request)
        if not done:
            raise HTTPException(404, "none of these runs is finished and scored")
        found = rooms.stories.of(done).stories
        number = _whole(request.query_params.get("on", "0"), len(found))
        return found[number], query, number

    @app.get("/compare")
    def compare(request: Request) -> HTMLResponse:
        done, others, query = chosen(request)
        lines = rooms.index.find([run_id(f.name) for f in others])
        if not done:
            return page("waiting.html", "compare", lines=lines, query=query)
        comparison = rooms.stories.of(done)
        matrices = [
            [{"recipe": recipe, "number": i, "lines": told.cells(s, recipe)} for i, recipe in enumerate(s.runs)]
            for s in comparison.stories
        ]
        recipes = [list(s.runs) for s in comparison.stories]
        return page(
            "compare.html", "compare", lines=lines, query=query, matrices=matrices, recipes=recipes,
            titles=[s.data.title for s in comparison.stories],
            verdicts=[(s.data.title, s.comparison.sentences) for s in comparison.stories],
            script="", script_hash="", **(comparison.context(DRAWN_S) or {"title": "comparison"}),
        )  # fmt: skip

    @app.get("/images")
    def images(request: Request, recipe: int = 0, true: int = 0, said: int = 0) -> HTMLResponse:
        s, query, number = story(request)
        name = list(s.runs)[_whole(str(recipe), len(s.runs))]
        k = len(s.data.classes)
        rows = told.behind(s, name, _whole(str(true), k), _whole(str(said), k))
        shown = [{"row": r, "image": told.image(s, r), "bars": told.bars(s, name, r, 3)} for r in rows[: told.GALLERY]]
        return page(
            "images.html", "compare", recipe=name, given=s.data.classes[true], said=s.data.classes[said], right=true == said,
            shown=shown, count=len(rows), query=query, number=number, title=s.data.title,
        )  # fmt: skip

    @app.get("/flip")
    def flip(request: Request, a: int = 0, b: int = 1, only: str = "any", at: int = 0) -> HTMLResponse:
        s, query, number = story(request)
        names = list(s.runs)
        if len(names) < 2:
            raise HTTPException(400, "two models are needed to disagree")
        one, other = names[_whole(str(a), len(names))], names[_whole(str(b), len(names))]
        rows = told.apart(s, one, other, only)
        at = min(max(0, at), max(0, len(rows) - 1))
        shown = None
        if rows:
            sides = [{"recipe": n, "bars": told.bars(s, n, rows[at])} for n in (one, other)]
            shown = {
                "row": rows[at],
                "image": told.image(s, rows[at]),
                "true": s.data.classes[s.labels_N[rows[at]]],
                "sides": sides,
            }
        return page(
            "flip.html", "compare", shown=shown, names=names, a=a, b=b, one=one, other=other, only=only, at=at, count=len(rows),
            number=number, title=s.data.title, query=query,
            link=lambda **c: f"/flip?{query}&" + urlencode({"on": number, "a": a, "b": b, "only": only, "at": at} | c),
        )  # fmt: skip


def _whole(text: str, below: int) -> int:
    """A number from 0 to below `below`. Raises `HTTPException` 404."""
    if not text.isdecimal() or int(text) >= below:
        raise HTTPException(404, "there is nothing here")
    return int(text)


# ---------------------------------------------------------------- data


def _data(app: FastAPI, rooms: Rooms) -> None:
    @app.get("/data")
    def sets() -> HTMLResponse:
        return page("data_list.html", "data", sets=rooms.data.all())

    @app.get("/data/{wanted}")
    def one(wanted: str, show: str = "samples", c: int = -1, first: int = 0, split: str = "train") -> HTMLResponse:
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
                found, count = rooms.data.samples(data, None if c < 0 else c, max(0, first))
                context = {"samples": found, "count": count, "first": first, "most": SAMPLES}
        decided = rooms.data.decided(data)
        return page(
            "data.html", "data", about=about, data=data, show=show, c=c, decided=len(decided),
            file=rooms.runs.decisions_file(data.name), **context,
        )  # fmt: skip

    @app.post("/data/{wanted}/decide")
    async def decide(wanted: str, request: Request) -> Response:
        sent = await request.form()
        row = str(sent.get("row", ""))
        if not row.isdecimal():
            raise HTTPException(400, "row: a number")

        def keep() -> None:
            data = rooms.data.data(rooms.data.find(wanted))
            rooms.data.decide(data, str(sent.get("split", "")), int(row), str(sent.get("decision", "")))

        await run_in_threadpool(keep)
        if request.headers.get("accept", "").startswith("application/json"):
            return JSONResponse({"decision": str(sent.get("decision", ""))})
        return RedirectResponse(
            f"/data/{wanted}?show=suspects&split={'test' if sent.get('split') == 'test' else 'train'}", 303
        )


# ---------------------------------------------------------------- trying


def _trying(app: FastAPI, rooms: Rooms) -> None:
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
        return await run_in_threadpool(answers, content, ids, heat)

    def answers(content: bytes, ids: list[str], heat: bool) -> Response:
        told_by = []
        for line in rooms.index.find(ids):
            try:
                said = rooms.attempts.ask(rooms.index.folder(line), content, heat)
            except (Unreadable, FittingroomError) as error:
                said = {"error": str(error)}
            told_by.append({"id": line.id, "recipe": line.recipe, "dataset": line.dataset, "seed": line.seed} | said)
        return JSONResponse({"models": told_by})


# ---------------------------------------------------------------- files and errors


def _static(app: FastAPI, rooms: Rooms) -> None:
    web = Path(str(resources.files("fittingroom") / "web"))
    files = {
        path.name: path
        for folder in (assets(), web, PAGES)
        for path in folder.iterdir()
        if path.suffix in (".js", ".css")
    }

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        if name not in files:
            raise HTTPException(404, "there is no such file")
        kind = {".js": "text/javascript", ".css": "text/css"}[files[name].suffix]
        return FileResponse(files[name], media_type=kind, headers={"cache-control": "no-cache"})

    @app.get("/favicon.ico")
    def icon() -> Response:
        return Response(status_code=204)


def _errors(app: FastAPI, rooms: Rooms) -> None:
    def told_as(request: Request, status: int, reason: str) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            return page("error.html", "", status, reason=reason)
        return JSONResponse({"error": reason}, status)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        return told_as(request, error.status_code, str(error.detail))

    @app.exception_handler(FittingroomError)
    async def ours(request: Request, error: FittingroomError) -> Response:
        return told_as(request, 400, str(error))

    @app.exception_handler(RequestValidationError)
    async def wrong(request: Request, error: RequestValidationError) -> Response:
        return told_as(request, 400, "the address is not one that this server makes")


# ---------------------------------------------------------------- small things that pages show


def spark(values: Sequence[float], width: int = 90, height: int = 22) -> str:
    """The points of a polyline through `values`, for an SVG of this size."""
    if not values:
        return ""
    low, high = min(values), max(values)
    step = width / max(1, len(values) - 1)
    shares = [(v - low) / (high - low) if high > low else 0.5 for v in values]
    return " ".join(f"{i * step:.1f},{height - 2 - share * (height - 4):.1f}" for i, share in enumerate(shares))


def curves(epochs: Sequence[Any]) -> dict[str, Any] | None:
    """What the chart of a run's epochs needs: polylines of validation and training accuracy, and the ends of its axis."""
    if not epochs:
        return None
    series = {"training": [e.clean_accuracy for e in epochs], "validation": [e.val_accuracy for e in epochs]}
    known = {name: values for name, values in series.items() if None not in values}
    every = [v for values in known.values() for v in values]
    low, high = min(every), max(every)
    span = (high - low) or 0.01
    width, height = 560, 200
    step = width / max(1, len(epochs) - 1)
    lines = {
        name: " ".join(f"{i * step:.1f},{height - (v - low) / span * height:.1f}" for i, v in enumerate(values))
        for name, values in known.items()
    }
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
