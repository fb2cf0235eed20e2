"""The server's addresses. Each handler reads, asks a model, writes; what may go wrong is a `Refused`."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
import warnings
from collections.abc import AsyncIterator, Awaitable
from functools import partial
from importlib.metadata import version
from typing import Any, TypeVar

import numpy as np
import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from pydantic import BaseModel
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from fittingroom.serve import v2
from fittingroom.serve.docs import docs_page
from fittingroom.serve.guard import App, Guard, Receive, Refused, Scope, Send
from fittingroom.serve.measure import CONTENT_TYPE, Meters
from fittingroom.serve.models import VERSION, Models, Served
from fittingroom.serve.settings import Settings
from fittingroom.spec.printable import printable

T = TypeVar("T")
MUCH = 1 << 20  # bytes: what takes longer to read than to hand over to a thread


class Problem(BaseModel):
    """The one shape of every error."""

    error: str


class Likely(BaseModel):
    name: str
    p: float


class Prediction(BaseModel):
    """Of one picture: either an answer, or an error."""

    file: str
    answer: str | None = None
    sure: bool | None = None
    top: list[Likely] = []
    error: str | None = None


class Predictions(BaseModel):
    model: str
    predictions: list[Prediction]


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": words}
    for status, words in {
        400: "wrong in itself",
        401: "no token, or a wrong one",
        403: "for another host, or from another site's page",
        404: "no such model",
        405: "no such method",
        413: "too large",
        415: "of no type that is read",
        503: "too many are waiting, or the server is just beginning",
        504: "not answered in time",
    }.items()
}


def create_app(settings: Settings) -> App:
    """The application of one worker: its models are loaded now, and warmed up when it starts.

    Raises `FittingroomError` for a bundle that cannot be used.
    """
    meters = Meters()
    models = Models(settings, meters)
    limits = settings.limits

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of oddities in pictures that can be read all the same
            work = asyncio.create_task(models.work())
            work.add_done_callback(_end_if_failed)
            yield
            models.stop()
            await work

    app = FastAPI(
        title="fittingroom",
        version=version("fittingroom"),
        description=f"Image classifiers: {', '.join(models.by_name)}.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        responses=PROBLEMS,
    )
    _errors(app)

    # ------------------------------------------------------------ the Open Inference Protocol

    @app.get("/v2/health/live", tags=["v2"])
    async def live() -> dict[str, bool]:
        """Whether the process answers at all."""
        return {"live": True}

    @app.get("/v2/health/ready", tags=["v2"])
    async def ready() -> dict[str, bool]:
        """Whether every model is warmed up; 503 until then."""
        if not models.ready:
            raise Refused(503, "not ready")
        return {"ready": True}

    @app.get("/v2", tags=["v2"])
    async def server_metadata() -> dict[str, Any]:
        """Name, version, extensions."""
        return {
            "name": "fittingroom",
            "version": version("fittingroom"),
            "extensions": ["binary_tensor_data"],
            "models": list(models.by_name),
        }

    @app.get("/v2/models/{name}", tags=["v2"])
    @app.get("/v2/models/{name}/versions/{number}", tags=["v2"], include_in_schema=False)
    async def model_metadata(request: Request, name: str) -> dict[str, Any]:
        """Inputs and outputs of a model."""
        return _of(models, name, request).metadata()

    @app.get("/v2/models/{name}/ready", tags=["v2"])
    @app.get("/v2/models/{name}/versions/{number}/ready", tags=["v2"], include_in_schema=False)
    async def model_ready(request: Request, name: str) -> dict[str, Any]:
        """Whether this model answers; 503 otherwise."""
        served = _of(models, name, request)
        if not models.ready:
            raise Refused(503, "not ready")
        return {"name": served.name, "ready": True}

    @app.post(
        "/v2/models/{name}/infer",
        tags=["v2"],
        response_model=v2.InferResponse,
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": _inlined(v2.InferRequest)}},
            }
        },
    )
    @app.post("/v2/models/{name}/versions/{number}/infer", tags=["v2"], include_in_schema=False)
    async def infer(request: Request, name: str) -> Response:
        """Classify UINT8 tensors, or picture files as BYTES (base64). The binary tensor extension is spoken, too."""
        served = _of(models, name, request)
        async with _in_time(limits.deadline_s, served):
            with served.coming():
                body = await request.body()
                shape = served.classifier.facts.framing.shape
                read = partial(v2.read_request, body, request.headers.get(v2.HEADER_LENGTH), shape, limits)
                asked = read() if len(body) < MUCH else await models.in_thread(read)
                images = asked.images_NCHW
                if images is None:
                    images = await _all_good(models, asked, served)
            said = await _unless_gone(request, served.classify(images))
        content, headers = v2.write_response(served.name, VERSION, asked, said, served.classifier)
        return Response(content, headers=headers)

    # ------------------------------------------------------------ for everybody else

    @app.post(
        "/predict",
        tags=["plain"],
        response_model=Predictions,
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    "multipart/form-data": {
                        "schema": {
                            "type": "object",
                            "properties": {
                                "image": {
                                    "type": "array",
                                    "minItems": 1,
                                    "items": {"type": "string", "format": "binary"},
                                }
                            },
                            "required": ["image"],
                        }
                    },
                },
            }
        },
    )
    async def predict(request: Request, model: str = "", top: int = 3, sure: float | None = None) -> Response:
        """Classify picture files: multipart fields of any name, or one picture as the body. Each bad one fails alone."""
        served = models[model] if model else models.first
        if top < 1 or not 0 <= (0.0 if sure is None else sure) <= 1:
            raise Refused(400, "top must be at least 1, and sure from 0 to 1")
        async with _in_time(limits.deadline_s, served):
            with served.coming():
                files = await _files(request, limits.images)
                images = await models.read([content for _, content in files], served.classifier.facts.framing)
            good = [image for image in images if isinstance(image, np.ndarray)]
            if not good:
                raise Refused(
                    400, "; ".join(f"{name} {why}" for (name, _), why in list(zip(files, images, strict=True))[:5])
                )
            logits, probabilities = await _unless_gone(request, served.classify(np.stack(good)))
        answers = iter(served.classifier.answers(logits, probabilities, top, sure))
        told: list[dict[str, Any]] = []
        for (name, _), image in zip(files, images, strict=True):
            if isinstance(image, str):
                told.append({"file": name, "error": image})
                continue
            one = next(answers)
            shown = [{"name": c, "p": p} for c, p in one.top]
            told.append({"file": name, "answer": one.says, "sure": one.sure, "top": shown})
        decides = {"operating": p.model_dump(mode="json")} if (p := served.classifier.facts.operating) else {}
        return _json({"model": served.name, "predictions": told} | decides)

    @app.get("/metrics", tags=["plain"], response_class=Response)
    async def metrics() -> Response:
        """For Prometheus."""
        for served in models.by_name.values():
            meters.waiting.labels(served.name).set(served.batcher.waiting)
        return Response(meters.text(), media_type=CONTENT_TYPE)

    @app.get("/", include_in_schema=False)
    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        """What one can ask here, on one page that needs no other server."""
        return HTMLResponse(docs_page(models, app.openapi(), str(request.base_url).rstrip("/")))

    for methods in app.openapi()["paths"].values():
        for operation in methods.values():
            operation["responses"].pop("422", None)  # FastAPI's own kind of error, which `_errors` replaces

    return _counted(Guard(app, settings, most_body_bytes=limits.body_bytes), meters)


def _end_if_failed(work: asyncio.Task[None]) -> None:
    """A server whose models have stopped working is none: it ends, and says why, instead of answering 503 for ever."""
    if not work.cancelled() and work.exception():
        signal.raise_signal(signal.SIGTERM)


def _of(models: Models, name: str, request: Request) -> Served:
    """The model, in the version that the address names, if it does."""
    if request.path_params.get("number", VERSION) != VERSION:
        raise Refused(404, f"{name[:80]!r} has version {VERSION} only")
    return models[name]


async def _all_good(models: Models, asked: v2.Asked, served: Served) -> np.ndarray:
    """The pictures of a tensor request: a tensor has no place for an error, so one bad picture refuses all of it."""
    images = await models.read(asked.pictures, served.classifier.facts.framing)
    for i, image in enumerate(images):
        if isinstance(image, str):
            raise Refused(400, f"picture {i} {image}")
    return np.stack(images)


async def _files(request: Request, most: int) -> list[tuple[str, bytes]]:
    """Names and contents of the pictures that were sent."""
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind == b"multipart/form-data":
        if options.get(b"charset", b"utf-8").lower() not in (b"utf-8", b"utf8", b"us-ascii"):
            raise Refused(400, "send names in UTF-8")  # Python has charsets that read a long name for hours
        try:
            async with request.form(max_files=most, max_fields=64) as form:
                files = []
                for key, value in form.multi_items():
                    if not isinstance(value, UploadFile):  # an option, say, that would be ignored here
                        raise Refused(
                            400,
                            f"{key[:40]!r} is no file; send files as curl -F image=@picture.png does, and options in the "
                            "address: /predict?model=NAME",
                        )
                    files.append((printable(value.filename or "image"), await value.read()))
        except HTTPException as error:
            raise Refused(413 if error.detail.startswith("Too many") else 400, error.detail) from None
        if not files:
            raise Refused(400, "no picture came; send files, say with: curl -F image=@picture.png")
        return files
    if kind.startswith(b"image/") or kind == b"application/octet-stream":
        return [("image", await request.body())]
    raise Refused(415, "send multipart/form-data with picture files, or one picture as image/*")


@contextlib.asynccontextmanager
async def _in_time(most_s: float, served: Served) -> AsyncIterator[None]:
    """While a request is read and answered: it may take so long, and end early if its client leaves."""
    try:
        async with asyncio.timeout(most_s):
            yield
    except TimeoutError:
        raise Refused(504, f"not answered within {most_s:g} s") from None
    except ClientDisconnect:
        served.meters.gone.labels(served.name).inc()
        raise Refused(499, "the client went away") from None  # which nobody will read


async def _unless_gone(request: Request, work: Awaitable[T]) -> T:
    """What `work` gives. Raises `ClientDisconnect` if the client leaves first: then it is dropped."""
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(request.receive())  # the body is read: all that can still come is the end
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnect
    finally:
        working.cancel()
        gone.cancel()


def _json(content: Any) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")


def _inlined(model: type[BaseModel]) -> dict[str, Any]:
    """A model's JSON schema without references, for a place where OpenAPI has no components for it."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def resolved(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                return resolved(definitions[node["$ref"].rpartition("/")[2]])
            return {key: resolved(value) for key, value in node.items()}
        return [resolved(item) for item in node] if isinstance(node, list) else node

    return dict(resolved(schema))


def _errors(app: FastAPI) -> None:
    """Everything that goes wrong has one shape, and tells nothing of our insides."""

    def problem(status: int, reason: str, headers: Any = None) -> Response:
        return Response(orjson.dumps({"error": reason}), status, headers, "application/json")

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> Response:
        return problem(error.status, error.reason, error.headers)

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> Response:
        return problem(error.status_code, str(error.detail), error.headers)

    @app.exception_handler(RequestValidationError)
    async def wrong(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return problem(400, f"{'.'.join(map(str, first['loc'][1:]))}: {first['msg']}")

    @app.exception_handler(Exception)
    async def ours(_: Request, error: Exception) -> Response:
        return problem(500, "the server failed; its log says why")


def _counted(app: App, meters: Meters) -> App:
    """Counts and times every request by the path's pattern, so that no client can make up new series."""

    async def counting(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await app(scope, receive, send)
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # uvicorn, which keeps its own, leaves the body out
        started, status = time.perf_counter(), 500

        async def sending(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await app(scope, receive, sending)
        finally:
            route = scope.get("route")
            path = getattr(route, "path", "other")
            meters.requests.labels(path, str(status)).inc()
            meters.seconds.labels(path).observe(time.perf_counter() - started)

    return counting
