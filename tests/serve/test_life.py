"""From the start to the end: readiness, deadlines, clients that leave, SIGTERM, several workers, what cannot start."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from listening import LOOPBACK, listens_on
from serve.asking import (
    INFER,
    MODEL,
    Gate,
    Reply,
    Server,
    answer_on,
    form,
    head,
    in_a_process,
    in_a_thread,
    received,
    tensor,
)
from waiting import PATIENCE_S, until

from fittingroom.inference import Classifier
from fittingroom.serve import models
from fittingroom.serve.batching import Draining
from fittingroom.serve.guard import Refused
from fittingroom.serve.measure import Meters
from fittingroom.serve.models import Models
from fittingroom.serve.run import serve
from fittingroom.serve.settings import SHARED_METRICS, Limits, Settings
from fittingroom.spec.errors import FittingroomError

pytestmark = pytest.mark.slow

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def others() -> Iterator[ThreadPoolExecutor]:
    """Threads for requests that are under way."""
    with ThreadPoolExecutor(16) as pool:
        yield pool


def body_of(images_NCHW: np.ndarray) -> bytes:
    return json.dumps({"inputs": [tensor(images_NCHW)], "outputs": [{"name": "logits"}]}).encode()


def logits(reply: Reply) -> np.ndarray:
    assert reply.status == 200, reply
    (one,) = reply.json["outputs"]
    return np.array(one["data"]).reshape(one["shape"])


# ---------------------------------------------------------------- ready


def test_ready_once_each_model_has_classified_something(bundle: Path, gate: Gate) -> None:
    gate.close()
    with in_a_thread(Settings((bundle,)), ready=False) as server:
        gate.wait_for_one()
        for path in ("/v2/health/ready", f"/v2/models/{MODEL}/ready"):
            early = server.ask("GET", path)
            assert early.status == 503 and early.error == "not ready"
        assert server.ask("GET", "/v2/health/live").json == {"live": True}
        gate.opened.set()
        until(lambda: server.ask("GET", "/v2/health/ready").status == 200)
        assert server.ask("GET", f"/v2/models/{MODEL}/ready").json == {"name": MODEL, "ready": True}
    assert [len(batch) for batch in gate.seen] == [1, 32]


def test_who_asks_while_it_warms_up_is_answered_afterwards(
    bundle: Path, gate: Gate, others: ThreadPoolExecutor, images: np.ndarray, alone: tuple[np.ndarray, np.ndarray]
) -> None:
    gate.close()
    with in_a_thread(Settings((bundle,)), ready=False) as server:
        gate.wait_for_one()
        early = others.submit(server.ask, "POST", INFER, body_of(images[:1]))
        until(lambda: server.metric("fittingroom_waiting_requests") == 1)
        gate.opened.set()
        assert np.abs(logits(early.result(PATIENCE_S)) - alone[0][:1]).max() < 1e-5


def test_not_ready_when_it_has_stopped(bundle: Path, images: np.ndarray) -> None:
    async def body() -> None:
        models = Models(Settings((bundle,)), Meters())
        assert not models.ready
        work = asyncio.create_task(models.work())
        said = await models.first.classify(images[:1])
        assert models.ready and said[0].shape == (1, 10)
        models.stop()
        assert not models.ready
        with pytest.raises(Refused) as told:
            await models.first.classify(images[:1])
        assert told.value.status == 503 and told.value.headers == {"retry-after": "5", "connection": "close"}
        with pytest.raises(Refused, match="the server is stopping"), models.first.coming():
            raise AssertionError("it came in")
        with pytest.raises(Draining):
            await models.first.batcher.submit(images[:1])
        await work
        assert not models.ready

    asyncio.run(body())


def test_a_server_whose_models_cannot_work_ends(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(classifier: Classifier) -> None:
        raise MemoryError

    signals: list[int] = []
    monkeypatch.setattr(models, "_warm_up", fails)
    monkeypatch.setattr(signal, "raise_signal", signals.append)
    with in_a_thread(Settings((bundle,)), ready=False) as server:
        until(lambda: signals)
        assert server.ask("GET", "/v2/health/ready").status == 503
    assert signals == [signal.SIGTERM]


# ---------------------------------------------------------------- too many, too late, gone


def test_a_full_queue_is_told_with_503(
    bundle: Path, gate: Gate, others: ThreadPoolExecutor, images: np.ndarray, pngs: list[bytes]
) -> None:
    with in_a_thread(Settings((bundle,), limits=Limits(queue=2))) as server:
        gate.close()
        under_way = [others.submit(server.ask, "POST", INFER, body_of(images[:1]))]
        gate.wait_for_one()
        under_way += [others.submit(server.ask, "POST", INFER, body_of(images[:1])) for _ in range(2)]
        until(lambda: server.metric("fittingroom_waiting_requests") == 2)
        for refused in (
            server.ask("POST", INFER, body_of(images[:1])),
            server.ask("POST", "/predict", *form(("a.png", pngs[0]))),
            server.ask("POST", "/predict", pngs[0], {"content-type": "image/png"}),
        ):
            assert refused.status == 503 and refused.headers["retry-after"] == "1"
            assert refused.error == "too many requests are waiting"
        with server.connect() as connection:  # refused before it is read
            connection.sendall(head(server, INFER, Content_Length=9_999))
            assert answer_on(connection).status == 503
        assert server.ask("GET", "/v2/health/ready").status == 200
        gate.opened.set()
        assert [one.result(PATIENCE_S).status for one in under_way] == [200] * 3
        assert server.ask("POST", INFER, body_of(images[:1])).status == 200
        until(lambda: server.metric("fittingroom_requests_total", path="/predict", status="503") == 2)


def test_who_is_not_answered_in_time_is_told_504(
    bundle: Path, gate: Gate, images: np.ndarray, pngs: list[bytes], alone: tuple[np.ndarray, np.ndarray]
) -> None:
    with in_a_thread(Settings((bundle,), limits=Limits(deadline_s=0.2))) as server:
        gate.close()

        def held() -> Reply | None:
            """The answer to a request that came as far as the gate in time."""
            said = server.ask("POST", INFER, body_of(images[:1]))
            return said if gate.came.acquire(blocking=False) else None

        def in_time() -> Reply | None:
            said = server.ask("POST", INFER, body_of(images[5:6]))
            return said if said.status == 200 else None

        late = [
            until(held),
            server.ask("POST", INFER, body_of(images[:2])),  # waits in the queue
            server.ask("POST", "/predict", pngs[0], {"content-type": "image/png"}),
        ]
        assert [(one.status, one.error) for one in late] == [(504, "not answered within 0.2 s")] * 3
        assert server.metric("fittingroom_waiting_requests") == 0
        gate.opened.set()
        assert np.abs(logits(until(in_time)) - alone[0][5:6]).max() < 1e-5
        held_back, *later = [batch.tolist() for batch in gate.seen]
        assert held_back == images[:1].tolist()
        assert all(batch == images[5:6].tolist() for batch in later)  # those that waited were dropped
        for path, kind in ((INFER, "x"), ("/predict", "image/png"), ("/predict", "multipart/form-data; boundary=b")):
            with server.connect() as connection:  # the body never comes
                connection.sendall(head(server, path, Content_Type=kind, Content_Length=784) + b"--b\r\n")
                assert answer_on(connection).status == 504


def test_who_leaves_is_not_classified(
    bundle: Path, gate: Gate, others: ThreadPoolExecutor, images: np.ndarray, pngs: list[bytes]
) -> None:
    with in_a_thread(Settings((bundle,))) as server:
        gate.close()
        first = others.submit(server.ask, "POST", INFER, body_of(images[:1]))
        gate.wait_for_one()
        bodies = [(INFER, "application/json", body_of(images[1:3])), ("/predict", "image/png", pngs[3])]
        for waiting, (path, kind, body) in enumerate(bodies, 1):
            with server.connect() as connection:
                connection.sendall(head(server, path, Content_Type=kind, Content_Length=len(body)) + body)
                until(lambda: server.metric("fittingroom_waiting_requests") == 1)
            until(lambda waiting=waiting: server.metric("fittingroom_cancelled_total", model=MODEL) == waiting)
            assert server.metric("fittingroom_waiting_requests") == 0
        gate.opened.set()
        assert first.result(PATIENCE_S).status == 200
        assert server.ask("POST", INFER, body_of(images[7:8])).status == 200
        assert [batch.tolist() for batch in gate.seen] == [images[:1].tolist(), images[7:8].tolist()]
        assert server.metric("fittingroom_images_total", model=MODEL) == 2


def test_who_leaves_while_sending_is_no_failure_of_ours(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    before = server.metric("fittingroom_cancelled_total")
    kinds = ((INFER, "x"), ("/predict", "image/png"), ("/predict", "multipart/form-data; boundary=b"))
    for n, (path, kind) in enumerate(kinds, 1):
        with server.connect() as connection:
            connection.sendall(
                head(server, path, Content_Type=kind, Content_Length=784, Expect="100-continue") + b"--b\r\n"
            )
            assert connection.recv(99).startswith(b"HTTP/1.1 100")  # it is being read
        until(lambda n=n: server.metric("fittingroom_cancelled_total") == before + n)
    assert server.metric("fittingroom_requests_total", status="500") == 0
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_failure_of_ours_tells_nothing_of_our_insides(
    bundle: Path, gate: Gate, images: np.ndarray, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with in_a_thread(Settings((bundle,))) as server:
        with monkeypatch.context() as broken:
            broken.setattr(gate, "pass_through", lambda images: 1 / 0)
            failed = server.ask("POST", INFER, body_of(images[:1]))
        assert failed.status == 500 and failed.error == "the server failed; its log says why"
        until(lambda: "ZeroDivisionError" in caplog.text)
        assert server.ask("GET", "/v2/health/ready").status == 200


def test_many_at_once_each_get_their_own(
    server: Server, others: ThreadPoolExecutor, images: np.ndarray, alone: tuple[np.ndarray, np.ndarray]
) -> None:
    rows = [slice(i, i + 1 + i % 40) for i in range(200)]
    for mine, reply in zip(
        rows, others.map(lambda r: server.ask("POST", INFER, body_of(images[r])), rows), strict=True
    ):
        assert np.abs(logits(reply) - alone[0][mine]).max() < 1e-5


def test_a_kept_connection_outlives_refusals(
    server: Server, images: np.ndarray, alone: tuple[np.ndarray, np.ndarray]
) -> None:
    with contextlib.closing(http.client.HTTPConnection(server.host, server.port, timeout=PATIENCE_S)) as connection:
        connection.connect()
        mine = connection.sock
        for i in range(3):
            for method, path, body, headers, status in (
                ("POST", "/v2/models/another/infer", b"x" * 100_000, {}, 404),
                ("POST", "/predict", b"x" * 100_000, {"content-type": "text/plain"}, 415),
                ("POST", "/metrics", b"x" * 100_000, {}, 405),
                ("POST", "/predict", b"x" * 100_000, {"Origin": "null"}, 403),
                ("GET", "/v2", None, {}, 200),
            ):
                connection.request(method, path, body, headers)
                assert received(connection.getresponse()).status == status
            connection.request("POST", INFER, body_of(images[i : i + 1]))
            assert np.abs(logits(received(connection.getresponse())) - alone[0][i]).max() < 1e-5
            assert connection.sock is mine


# ---------------------------------------------------------------- processes


def addresses(pid: int) -> set[str]:
    """Where a process listens."""
    return {address for address, _ in listens_on(pid)}


@pytest.mark.main_job
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_what_is_under_way_is_answered_before_the_end(
    bundle: Path, tmp_path: Path, images: np.ndarray, alone: tuple[np.ndarray, np.ndarray], number: signal.Signals
) -> None:
    body = body_of(images[:3])
    with in_a_process(tmp_path, bundle) as running:
        server = running.server
        assert addresses(running.process.pid) and addresses(running.process.pid) <= LOOPBACK
        with server.connect() as idle, server.connect() as connection:
            idle.sendall(b"")
            connection.sendall(head(server, INFER, Content_Length=len(body), Expect="100-continue"))
            assert connection.recv(99).startswith(b"HTTP/1.1 100")  # it is being read
            connection.sendall(body[:1_000])
            running.process.send_signal(number)
            until(lambda: not server.listens)
            assert running.process.poll() is None
            connection.sendall(body[1_000:])
            reply = answer_on(connection)
        assert np.abs(logits(reply) - alone[0][:3]).max() < 1e-5 and reply.headers["connection"] == "close"
        assert running.process.wait(PATIENCE_S) == 0
        assert running.said == f"serving at http://{server.name} (Ctrl-C stops)\n"


def test_the_queue_of_a_killed_worker_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["true"]) as dead:
        pass
    for pid in (dead.pid, os.getpid()):
        (tmp_path / f"gauge_livesum_{pid}.db").write_bytes(bytes(8))  # nothing used yet
    monkeypatch.setenv(SHARED_METRICS, str(tmp_path))
    assert Meters().text() == b""
    assert [file.name for file in tmp_path.iterdir()] == [f"gauge_livesum_{os.getpid()}.db"]


@pytest.mark.main_job
def test_two_workers_share_the_port_and_the_metrics(bundle: Path, tmp_path: Path, images: np.ndarray) -> None:
    with in_a_process(tmp_path, bundle, "--workers", 2, TMPDIR=str(tmp_path), HOME=str(tmp_path)) as running:
        server = running.server
        first, second = running.workers
        assert addresses(running.process.pid) <= LOOPBACK
        for stopped, n in ((first, 1), (second, 2), (first, 3)):  # so that the other must answer
            os.kill(stopped, signal.SIGSTOP)
            try:
                until(lambda stopped=stopped: Path(f"/proc/{stopped}/stat").read_text().split()[2] == "T")
                until(lambda: server.ask("GET", "/v2/health/ready").status == 200)
                assert server.ask("POST", INFER, body_of(images[:n])).status == 200
            finally:
                os.kill(stopped, signal.SIGCONT)
        assert server.metric("fittingroom_images_total", model=MODEL) == 1 + 2 + 3
        infer = "/v2/models/{name}/infer"  # counted after the answer has gone, while the other worker tells
        until(lambda: server.metric("fittingroom_requests_total", path=infer, status="200") == 3)
        assert server.metric("fittingroom_batch_images_sum", model=MODEL) == 6
        assert server.metric("fittingroom_waiting_requests", model=MODEL) == 0
        running.process.terminate()
        assert running.process.wait(PATIENCE_S) == 0
        assert not server.listens and not any(Path(f"/proc/{worker}").exists() for worker in (first, second))
        assert running.said.count("\n") == 1, running.said
    assert [path.name for path in tmp_path.iterdir()] == ["stderr"]  # neither our metrics nor anybody's identifiers


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2 and done.stdout == "" and "Traceback" not in done.stderr, done
    assert all(word in done.stderr for word in words) and "serving at" not in done.stderr, done.stderr


def test_others_are_not_let_in_without_a_token(bundle: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FITTINGROOM_TOKEN", raising=False)
    port = free_port()
    done = command("serve", str(bundle), "--host", "0.0.0.0", "--port", str(port))
    refused(done, "--host 0.0.0.0 lets other machines ask; that needs a token: set FITTINGROOM_TOKEN")
    assert not Server(port).listens


def test_others_are_let_in_with_one(bundle: Path, tmp_path: Path, images: np.ndarray) -> None:
    with in_a_process(tmp_path, bundle, "--host", "0.0.0.0", FITTINGROOM_TOKEN="open") as running:
        assert addresses(running.process.pid) == {"0.0.0.0"}
        assert running.server.ask("POST", INFER, body_of(images[:1])).status == 401
        known = {"Authorization": "Bearer open"}
        assert running.server.ask("POST", INFER, body_of(images[:1]), known).status == 200
        assert b"open" not in Path(f"/proc/{running.process.pid}/cmdline").read_bytes()


def test_a_damaged_bundle_is_told(bundle: Path, tmp_path: Path, command: Command) -> None:
    shutil.copytree(bundle, tmp_path / "copy")
    (tmp_path / "copy" / "model.onnx").write_bytes((bundle / "model.onnx").read_bytes()[:-1])
    port = free_port()
    words = "model.onnx is not the file that bundle.json names"
    refused(command("serve", str(bundle), "copy", "--port", str(port)), words)
    assert not Server(port).listens


def test_a_port_in_use_is_told(bundle: Path, command: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        refused(
            command("serve", str(bundle), "--port", str(port)),
            f"cannot listen on 127.0.0.1, port {port}: Address already in use; choose another with --port",
        )


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("host", "damage", "words"),
    [
        ("127.0.0.1", "model.onnx", "cannot read .*model.onnx"),
        ("127.0.0.1", "bundle.json", "is no bundle"),
        ("203.0.113.1", "", "cannot listen on 203.0.113.1"),
        ("a..b", "", r"cannot listen on a\.\.b"),
        ("ä..b", "", r"cannot listen on ä\.\.b"),
        ("no such machine", "", "cannot listen on no such machine"),
        ("0.0.0.0:80", "", r"cannot listen on 0\.0\.0\.0:80"),
    ],
)
def test_what_cannot_start_is_told_before_anything_listens(
    bundle: Path, tmp_path: Path, workers: int, host: str, damage: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SHARED_METRICS, "")  # so that what `serve` sets is forgotten afterwards
    monkeypatch.delenv(SHARED_METRICS)
    shutil.copytree(bundle, tmp_path / "copy")
    if damage:
        (tmp_path / "copy" / damage).unlink()
    said: list[str] = []
    with pytest.raises(FittingroomError, match=words):
        serve(Settings((tmp_path / "copy",), host=host, port=0, token="t", workers=workers), said.append)
    assert said == []
