"""The verdict and the report of chosen runs, the images behind a confusion, and what two models disagree about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from fittingroom.metrics.metric import METRICS
from fittingroom.metrics.story import Story
from fittingroom.metrics.verdict import Question
from fittingroom.store import RunFolder
from fittingroom.ui import stories
from fittingroom.ui.frame import page
from fittingroom.ui.opaque import opaque
from fittingroom.ui.originals import Originals
from fittingroom.ui.rooms import Rooms

DRAWN_S = 0.5  # that a comparison waits for its figures; then it is shown without, and again when they are drawn


@dataclass(frozen=True)
class Chosen:
    """The runs that an address names: those that can be compared, those that cannot (yet), and the address's part."""

    done: list[RunFolder]
    others: list[RunFolder]
    query: str
    study: str = ""  # that they are, whole
    question: Question = field(default_factory=Question)  # what decides


def add(app: FastAPI, rooms: Rooms) -> None:
    """The addresses of comparisons."""

    @app.get("/compare")
    def compare(request: Request) -> HTMLResponse:
        chosen = _chosen(request, rooms)
        others = _others(chosen, rooms, len(chosen.done))
        if not chosen.done:
            return page("waiting.html", "compare", **others)
        comparison = rooms.stories.of(chosen.done, chosen.study, chosen.question)
        matrices = [
            [{"recipe": recipe, "number": i, "lines": stories.cells(s, recipe)} for i, recipe in enumerate(s.runs)]
            for s in comparison.stories
        ]
        return page(
            "compare.html", "compare", **others, originals=lambda digest: Originals(digest, rooms.home_dir), matrices=matrices,
            recipes=[list(s.runs) for s in comparison.stories],
            titles=[s.data.title for s in comparison.stories],
            verdicts=[(s.data.title, s.comparison.sentences) for s in comparison.stories],
            question=chosen.question, metrics=list(METRICS), given=request.query_params.multi_items(),
            classes=comparison.stories[0].data.classes, script="", script_hash="",
            **(comparison.context(DRAWN_S) or {"title": "comparison", "failed": comparison.failed}),
        )  # fmt: skip

    @app.get("/compare/others")
    def others(request: Request, done: int = 0) -> HTMLResponse:
        """What is not in a comparison yet; with word that it is time to look again once more runs than `done` are."""
        chosen = _chosen(request, rooms)
        return page("others.html", "compare", **_others(chosen, rooms, done))

    @app.get("/images")
    def images(request: Request, recipe: int = 0, true: int = 0, said: int = 0) -> HTMLResponse:
        s, query, _ = _story(request, rooms)
        name = list(s.runs)[_below(len(s.runs), recipe)]
        k = len(s.data.classes)
        rows = stories.behind(s, name, _below(k, true), _below(k, said))
        shown = [
            {
                "row": row,
                "called": s.called(row),
                "seeds": n,
                "image": stories.image(s, row),
                "bars": stories.bars(s, name, row, 3),
            }
            for row, n in rows[: stories.GALLERY]
        ]
        return page(
            "images.html", "compare", original=Originals(s.data.digest, rooms.home_dir).address,
            recipe=name, given=s.data.classes[true], said=s.data.classes[said], right=true == said,
            shown=shown, count=len(rows), seeds=len(s.runs[name]), query=query, title=s.data.title,
        )  # fmt: skip

    @app.get("/flip")
    def flip(request: Request, a: int = 0, b: int = 1, only: str = "any", at: int = 0) -> HTMLResponse:
        s, query, number = _story(request, rooms)
        names = list(s.runs)
        if len(names) < 2:
            raise HTTPException(400, "two models are needed to disagree")
        one, other = names[_below(len(names), a)], names[_below(len(names), b)]
        rows = stories.apart(s, one, other, only)
        at = min(max(0, at), max(0, len(rows) - 1))
        shown = None
        if rows:
            row = rows[at]
            sides = [{"recipe": n, "bars": stories.bars(s, n, row)} for n in (one, other)]
            shown = {
                "row": row,
                "called": s.called(row),
                "image": stories.image(s, row),
                "true": s.data.classes[s.labels_N[row]],
                "sides": sides,
            }
        return page(
            "flip.html", "compare", original=Originals(s.data.digest, rooms.home_dir).address,
            shown=shown, names=names, a=a, b=b, one=one, other=other, only=only, at=at, count=len(rows),
            title=s.data.title, query=query,
            link=lambda **c: f"/flip?{query}&" + urlencode({"on": number, "a": a, "b": b, "only": only, "at": at} | c),
        )  # fmt: skip


def _chosen(request: Request, rooms: Rooms) -> Chosen:
    asked = request.query_params
    folders, query = [], ""
    name: str | None = ""
    for wanted in asked.getlist("study")[:1]:
        name = next((name for name in rooms.runs.studies() if opaque(name) == wanted), None)
        if name is None:
            raise HTTPException(404, "there is no such study here (any more)")
        study = rooms.runs.study(name)
        folders, query = list(rooms.runs.runs_of(study) if study else ()), urlencode({"study": wanted})
    if not folders:
        ids = asked.getlist("run")
        if not ids:
            raise HTTPException(400, "choose runs to compare, in the table")
        folders, query = [folder for _, folder in rooms.found(ids)], urlencode([("run", i) for i in ids])
    metric, aim, positive, same = (asked.get(key, "").strip() for key in ("metric", "aim", "positive", "same"))
    question = Question(metric=metric, at=aim, positive=positive, same=_points(same))
    more = {"metric": metric, "aim": aim, "positive": positive, "same": same}
    query += "".join(f"&{urlencode({key: value})}" for key, value in more.items() if value)
    done = [f for f in folders if f.done and f.metrics.test]
    others = [f for f in folders if f not in done]
    return Chosen(done, others, query, "" if others else name or "", question)


def _points(text: str) -> float | None:
    """A margin that was typed. Raises a 400 for what is no number."""
    try:
        return float(text.replace(",", ".")) if text else None
    except ValueError:
        raise HTTPException(400, f"no matter below: {text[:40]!r} is no number; give points, like 0.3") from None


def _others(chosen: Chosen, rooms: Rooms, seen: int) -> dict[str, Any]:
    lines = rooms.index.find([opaque(f.name) for f in chosen.others])
    return {
        "lines": lines,
        "query": chosen.query,
        "done": len(chosen.done),
        "more": len(chosen.done) != seen,
        "live": any(line.state == "training" for line in lines),
    }


def _story(request: Request, rooms: Rooms) -> tuple[Story, str, int]:
    """The story that an address is about, of those of its runs; the address's part, and the story's number."""
    chosen = _chosen(request, rooms)
    if not chosen.done:
        raise HTTPException(404, "none of these runs is finished and scored")
    found = rooms.stories.of(chosen.done, chosen.study, chosen.question).stories
    on = request.query_params.get("on", "0")
    number = _below(len(found), int(on) if on.isdecimal() and len(on) < 5 else -1)
    return found[number], chosen.query, number


def _below(most: int, number: int) -> int:
    """`number`, if it is one of `most`. Raises `HTTPException` 404."""
    if not 0 <= number < most:
        raise HTTPException(404, "there is nothing here")
    return number
