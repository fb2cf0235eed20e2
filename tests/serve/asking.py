"""Servers in a thread or in a process of their own, and a client over plain sockets."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import uvicorn
from prometheus_client.parser import text_string_to_metric_families
from waiting import PATIENCE_S, until

from fittingroom.serve.app import create_app
from fittingroom.serve.guard import App
from fittingroom.serve.run import http_protocol
from fittingroom.serve.settings import Settings

MODEL = "readme-004-mlp"
INFER = f"/v2/models/{MODEL}/infer"
HEADER = "Inference-Header-Content-Length"


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def json(self) -> Any:
        assert self.headers["content-type"] == "application/json", self
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The reason, in the one shape that errors have."""
        told = self.json
        assert list(told) == ["error"] and isinstance(told["error"], str) and told["error"], told
        return str(told["error"])


@dataclass(frozen=True)
class Server:
    """Where one listens."""

    port: int
    host: str = "127.0.0.1"

    @property
    def name(self) -> str:
        return f"{self.host}:{self.port}"

    def connect(self) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout=PATIENCE_S)

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Reply:
        with contextlib.closing(http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE_S)) as connection:
            connection.request(method, path, body, headers or {})
            return received(connection.getresponse())

    def infer(self, request: Any, headers: dict[str, str] | None = None) -> Reply:
        return self.ask("POST", INFER, request if isinstance(request, bytes) else json.dumps(request), headers)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of all samples of this name with these labels."""
        text = self.ask("GET", "/metrics").body.decode()
        samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
        return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())

    @property
    def listens(self) -> bool:
        try:
            self.connect().close()
        except ConnectionRefusedError:
            return False
        return True


def received(response: http.client.HTTPResponse) -> Reply:
    return Reply(response.status, {key.lower(): value for key, value in response.getheaders()}, response.read())


def answer_on(connection: socket.socket) -> Reply:
    """The answer to what was written to a socket by hand."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    with response:
        return received(response)


def head(server: Server, path: str, **headers: object) -> bytes:
    """The first lines of a POST, `_` standing for `-` in names."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {server.name}"]
    lines += [f"{key.replace('_', '-')}: {value}" for key, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def tensor(images_NCHW: np.ndarray) -> dict[str, Any]:
    return {
        "name": "images",
        "datatype": "UINT8",
        "shape": list(images_NCHW.shape),
        "data": images_NCHW.ravel().tolist(),
    }


def binary(images_NCHW: np.ndarray, **request: Any) -> tuple[bytes, dict[str, str]]:
    """A request of the binary extension: body and headers."""
    raw = images_NCHW.tobytes()
    parameters = {"binary_data_size": len(raw)}
    one = {"name": "images", "datatype": "UINT8", "shape": list(images_NCHW.shape), "parameters": parameters}
    first = json.dumps({"inputs": [one], **request}).encode()
    return first + raw, {HEADER: str(len(first))}


def base64_of(pictures: Sequence[bytes]) -> dict[str, Any]:
    data = [base64.b64encode(picture).decode() for picture in pictures]
    return {"name": "images", "datatype": "BYTES", "shape": [len(data)], "data": data}


def form(*files: tuple[str, bytes], boundary: str = "b") -> tuple[bytes, dict[str, str]]:
    """Files as a browser sends them: body and headers."""
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n\r\n'.encode()
        + content
        + b"\r\n"
        for name, content in files
    ]
    body = b"".join([*parts, f"--{boundary}--\r\n".encode()])
    return body, {"content-type": f"multipart/form-data; boundary={boundary}"}


def is_ready(server: Server) -> bool:
    return server.listens and server.ask("GET", "/v2/health/ready").status == 200


@contextlib.contextmanager
def in_a_thread(settings: Settings, ready: bool = True) -> Iterator[Server]:
    """A server of this process, whose parts a test can replace."""
    with app_in_a_thread(create_app(settings)) as server:
        if ready:
            until(lambda: is_ready(server))
        yield server


@contextlib.contextmanager
def app_in_a_thread(app: App, lifespan: Literal["on", "off"] = "on") -> Iterator[Server]:
    listening = socket.create_server(("127.0.0.1", 0))
    server = Server(listening.getsockname()[1])
    running = uvicorn.Server(
        uvicorn.Config(app, http=http_protocol(), log_config=None, access_log=False, lifespan=lifespan)
    )
    thread = threading.Thread(target=running.run, args=([listening],), daemon=True)
    thread.start()
    try:
        until(lambda: running.started)
        yield server
    finally:
        running.should_exit = True
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


@dataclass
class Process:
    """`fittingroom serve` as a person starts it."""

    process: subprocess.Popen[bytes]
    errors: Path
    server: Server = field(default_factory=lambda: Server(0))

    @property
    def said(self) -> str:
        return self.errors.read_text()

    @property
    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


@contextlib.contextmanager
def in_a_process(folder: Path, *arguments: object, **environment: str) -> Iterator[Process]:
    """Started, and ready; killed with all its children at the end, if it still runs."""
    errors = folder / "stderr"
    with errors.open("wb") as stderr:
        command = [sys.executable, "-m", "fittingroom", "serve", *map(str, arguments), "--port", "0"]
        process = subprocess.Popen(
            command, cwd=folder, stdout=stderr, stderr=stderr, env=os.environ | environment, start_new_session=True
        )
    started = Process(process, errors)
    try:
        where = until(
            lambda: process.poll() is not None or re.search(r"serving at http://([\d.]+):(\d+) ", started.said)
        )
        assert isinstance(where, re.Match), started.said
        started.server = Server(int(where[2]), "127.0.0.1" if where[1] == "0.0.0.0" else where[1])
        until(lambda: is_ready(started.server))
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE_S)


@dataclass
class Gate:
    """Stands before the model: counts batches that come, and holds them back while it is closed."""

    seen: list[np.ndarray] = field(default_factory=list)
    opened: threading.Event = field(default_factory=threading.Event)
    came: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def pass_through(self, images_NCHW: np.ndarray) -> None:
        self.seen.append(images_NCHW)
        self.came.release()
        assert self.opened.wait(PATIENCE_S)

    def close(self) -> None:
        """From now on; what was seen before is forgotten."""
        self.opened.clear()
        self.seen.clear()
        self.came = threading.Semaphore(0)

    def wait_for_one(self) -> None:
        """Until a batch stands before the closed gate."""
        assert self.came.acquire(timeout=PATIENCE_S)
