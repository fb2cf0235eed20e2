"""Who may ask: by name, by page, by token; and how many bytes."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from serve.asking import INFER, MODEL, Process, Server, answer_on, app_in_a_thread, form, head, in_a_thread
from waiting import PATIENCE_S, until

from fittingroom.serve import protocol
from fittingroom.serve.guard import HEADERS, Guard, refuse_open_door
from fittingroom.serve.settings import Door, Limits, Settings, rooted, token_in
from fittingroom.spec.errors import FittingroomError

pytestmark = pytest.mark.slow

TOKEN = "Sésame, 开门"  # a header's bytes are UTF-8
ASKED = [
    ("GET", "/"),
    ("GET", "/v2"),
    ("GET", "/v2/health/live"),
    ("HEAD", "/v2/health/ready"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("POST", "/predict"),
    ("POST", INFER),
    ("OPTIONS", INFER),
    ("GET", "/nothing"),
]


@pytest.fixture(scope="module")
def with_token(bundle: Path) -> Iterator[Server]:
    with in_a_thread(Settings((bundle,), token=TOKEN)) as running:
        yield running


# ---------------------------------------------------------------- Host and Origin


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1.evil.example:{port}",
        "127.0.0.1@evil.example",
        "localhost.evil.example",
        "0.0.0.0:{port}",
        "192.168.0.1",
        "[::2]",
        "[",
        "",
        " ",
        ":80",
        "2130706433",
    ],
)
def test_another_name_is_not_answered(server: Server, host: str) -> None:
    """A name of somebody else's that points here: DNS rebinding."""
    for method, path in ASKED:
        reply = server.ask(method, path, headers={"Host": host.format(port=server.port)})
        assert reply.status == 403, (method, path)
        assert method == "HEAD" or "--allow-host" in reply.error


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:{port}", "127.1.2.3", "[::1]:{port}", "[::1]"]
)
def test_names_of_this_machine_are_answered(server: Server, host: str) -> None:
    assert server.ask("GET", "/v2", headers={"Host": host.format(port=server.port)}).status == 200


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://evil.example:{port}",
        "null",
        "",
        "http://127.0.0.1",
        "http://127.0.0.1:1",
        "http://localhost:{port}",
        "http://127.0.0.1:{port}.evil.example",
        "http://127.0.0.1:{port}@evil.example",
        "file://",
        "http://[",
        "127.0.0.1:{port}",
        "\xff",
    ],
)
def test_a_page_of_another_site_is_not_answered(server: Server, origin: str) -> None:
    for method, path in ASKED:
        reply = server.ask(method, path, headers={"Origin": origin.format(port=server.port)})
        assert reply.status == 403, (method, path)
        assert method == "HEAD" or "other sites" in reply.error
        assert "access-control-allow-origin" not in reply.headers


def test_our_own_page_is_answered(server: Server, pngs: list[bytes]) -> None:
    for name in (server.name, f"localhost:{server.port}"):
        for origin in (f"http://{name}", f"https://{name}"):  # https: by a proxy before us
            own = {"Host": name, "Origin": origin}
            assert server.ask("GET", "/v2", headers=own).status == 200
            body, headers = form(("a.png", pngs[0]))
            reply = server.ask("POST", "/predict", body, headers | own)
            assert reply.status == 200 and "access-control-allow-origin" not in reply.headers


def test_other_names_that_were_allowed(bundle: Path) -> None:
    with in_a_thread(Settings((bundle,), names=("Shop.Example",))) as allowed:
        assert allowed.ask("GET", "/v2", headers={"Host": "shop.example"}).status == 200
        own = {"Host": "shop.example", "Origin": "https://shop.example"}
        assert allowed.ask("GET", "/v2", headers=own).status == 200
        assert allowed.ask("GET", "/v2", headers={"Host": "another.example"}).status == 403


def test_where_others_may_ask_the_machines_name_and_numbers_are_answered(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "Workshop")
    with in_a_thread(Settings((bundle,), host="0.0.0.0", token="t")) as wide:
        known = {"Authorization": "Bearer t"}
        for host in ("192.168.0.7:8000", "[fe80::1]", "workshop:8000", "localhost"):
            assert wide.ask("GET", "/v2", headers=known | {"Host": host}).status == 200, host
        assert wide.ask("GET", "/v2", headers=known | {"Host": "evil.example"}).status == 403


# ---------------------------------------------------------------- the token


def test_without_the_token_nothing_is_told(with_token: Server) -> None:
    right = f"Bearer {TOKEN}".encode()
    wrong: list[dict[str, str | bytes]] = [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": right[:-1]},
        {"Authorization": right + b"x"},
        {"Authorization": b"Basic " + right[7:]},
        {"Authorization": right[7:]},
        {"X-Token": right[7:]},
    ]
    for headers in wrong:
        for method, path in ASKED:
            reply = with_token.ask(method, path, headers=headers)  # type: ignore[arg-type]
            if "/health/" in path:
                assert reply.status == 200
                continue
            assert reply.status == 401 and reply.headers["www-authenticate"] == "Bearer", (method, path)
            assert reply.error == "send Authorization: Bearer TOKEN" and MODEL not in reply.body.decode()


def test_with_the_token_all_is_as_without_one(with_token: Server, pngs: list[bytes]) -> None:
    known = {"Authorization": f"Bearer {TOKEN}".encode()}
    for path in ("/", "/v2", f"/v2/models/{MODEL}", "/metrics", "/openapi.json"):
        assert with_token.ask("GET", path, headers=known).status == 200  # type: ignore[arg-type]
    body, headers = form(("a.png", pngs[0]))
    assert with_token.ask("POST", "/predict", body, headers | known).status == 200  # type: ignore[arg-type]
    assert TOKEN not in with_token.ask("GET", "/", headers=known).body.decode()  # type: ignore[arg-type]
    assert with_token.ask("GET", "/nothing", headers=known).status == 404  # type: ignore[arg-type]


def test_health_is_open_but_not_to_other_sites(with_token: Server) -> None:
    for path in ("/v2/health/live", "/v2/health/ready"):
        assert with_token.ask("GET", path).status == 200
        assert with_token.ask("GET", path, headers={"Host": "evil.example"}).status == 403
    for path in ("/v2/health/live/", "//v2/health/live", "/v2/health/live/../../models", f"/v2/models/{MODEL}/ready"):
        assert with_token.ask("GET", path).status == 401, path


@pytest.fixture(scope="module")
def pages() -> Iterator[Server]:
    """An application for browsers."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": scope["path"].encode()})

    with app_in_a_thread(Guard(app, Door(token=TOKEN), most_body_bytes=1, pages=True), "off") as running:
        yield running


def test_a_browser_brings_the_token_once(pages: Server) -> None:
    assert pages.ask("GET", "/runs").status == 401
    for path, place in (
        ("/runs", "/runs"),
        ("/a%20b/%C3%A9", "/a%20b/%C3%A9"),
        ("//evil.example/", "/evil.example/"),
        ("/%0d%0aX-Mine:%20yes", "/%0D%0AX-Mine%3A%20yes"),
    ):
        sent = pages.ask("GET", f"{path}?token={quote(TOKEN)}")
        assert sent.status == 303 and sent.headers["location"] == place and "x-mine" not in sent.headers
        cookie, *rest = sent.headers["set-cookie"].split("; ")
        assert {"HttpOnly", "SameSite=Strict"} <= set(rest) and "/" not in cookie and cookie.isascii()
        for kept in (cookie, f"other=1; {cookie}", f"a/b=1;{cookie};x"):
            assert pages.ask("GET", "/runs", headers={"Cookie": kept}).body == b"/runs"
    for wrong in (
        cookie[:-1],
        cookie + "0",
        "fittingroom=",
        f"x{cookie}",
        "a/b=1",
        "fittingroom=\xe9",
        f'fittingroom="{TOKEN[0]}"',
    ):
        assert pages.ask("GET", "/runs", headers={"Cookie": wrong}).status == 401
    for wrong in ("?token=", "?token=x", "?token", "?token=%ff", f"?Token={quote(TOKEN)}"):
        assert pages.ask("GET", f"/runs{wrong}").status == 401


def test_programs_must_send_the_header(with_token: Server, pages: Server) -> None:
    cookie = pages.ask("GET", f"/?token={quote(TOKEN)}").headers["set-cookie"].partition(";")[0]
    assert with_token.ask("GET", "/v2", headers={"Cookie": cookie}).status == 401
    assert with_token.ask("GET", f"/v2?token={quote(TOKEN)}").status == 401


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.0.1", "example.org", "localhost.example.org"])
def test_others_are_let_in_with_a_token_only(host: str) -> None:
    refuse_open_door(Door(host=host, token="t"))
    with pytest.raises(FittingroomError, match="lets other machines ask; that needs a token"):
        refuse_open_door(Door(host=host))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_this_machine_needs_no_token(host: str) -> None:
    refuse_open_door(Door(host=host))


# ---------------------------------------------------------------- bytes


def test_every_answer_has_the_headers_that_make_it_harmless(server: Server, pngs: list[bytes]) -> None:
    for reply in (
        server.ask("GET", "/"),
        server.ask("GET", "/nothing"),
        server.ask("GET", "/", headers={"Host": "evil.example"}),
        server.ask("POST", "/predict", pngs[0], {"content-type": "image/png"}),
    ):
        for key, value in HEADERS:
            assert reply.headers[key.decode()] == value.decode()


@pytest.fixture(scope="module")
def small(bundle: Path) -> Iterator[Server]:
    with in_a_thread(Settings((bundle,), limits=Limits(body_bytes=10_000))) as running:
        yield running


PATHS = [(INFER, "application/json"), ("/predict", "image/png"), ("/predict", "multipart/form-data; boundary=b")]


@pytest.mark.parametrize(("path", "kind"), PATHS)
def test_a_body_that_says_it_is_too_large_is_not_waited_for(small: Server, path: str, kind: str) -> None:
    for size in (10_001, 10**12):
        with small.connect() as connection:
            connection.sendall(head(small, path, Content_Type=kind, Content_Length=size))
            refused = answer_on(connection)
            assert refused.status == 413 and refused.error == "a request may have 10,000 bytes"
            assert refused.headers["connection"] == "close" and connection.recv(1) == b""


@pytest.mark.parametrize(("path", "kind"), PATHS)
def test_a_body_without_end_is_counted_while_it_comes(small: Server, path: str, kind: str) -> None:
    part = b"--b\r\nContent-Disposition: form-data; name=i; filename=i\r\n\r\n".ljust(4_000, b"x")
    with small.connect() as connection:
        connection.sendall(head(small, path, Content_Type=kind, Transfer_Encoding="chunked"))
        for _ in range(3):  # and no last one
            connection.sendall(b"%x\r\n%s\r\n" % (len(part), part))
            part = b"x" * 4_000
        refused = answer_on(connection)
    assert refused.status == 413 and refused.error == "a request may have 10,000 bytes"


def test_as_many_bytes_as_may_come_are_read(small: Server) -> None:
    for size, status in ((10_000, 400), (10_001, 413)):
        assert small.ask("POST", INFER, b" " * size).status == status
        chunks = iter([b" " * 5_000, b" " * (size - 5_000)])
        connection = http.client.HTTPConnection(small.host, small.port, timeout=PATIENCE_S)
        connection.request("POST", INFER, chunks, encode_chunked=True)
        assert connection.getresponse().status == status
        connection.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000,
        b"GET / HTTP/1.1\r\na: " + b"b" * 200_000,
        b"GET /" + b"a" * 200_000,
        b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"a" * 200_000,
        b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 40_000,
    ],
    ids=["headers", "a header", "an address", "a chunk's extension", "trailers"],
)
def test_a_head_without_end_is_cut_off(server: Server, sent: bytes) -> None:
    with server.connect() as connection:
        with contextlib.suppress(ConnectionError):
            for i in range(0, len(sent), 10_000):
                connection.sendall(sent[i : i + 10_000])
        said = b""
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(9_999):
                said += part
    assert not said or said.startswith(b"HTTP/1.1 4"), said[:99]
    assert server.ask("GET", "/v2/health/live").status == 200


def test_as_large_a_head_as_may_come_is_read(server: Server) -> None:
    reply = server.ask("GET", "/v2/health/live", headers={f"x-{i}": "y" * 5_000 for i in range(12)})
    assert reply.status == 200


def test_a_head_that_does_not_come_is_not_waited_for(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_S", 0.2)
    for begun in (b"", b"GET / HTTP/1.1\r\nHost: 127"):
        with server.connect() as connection:
            connection.sendall(begun)
            told = answer_on(connection)
            assert told.status == 408 and told.error == "no head of a request within 0.2 s"
            assert connection.recv(1) == b""


def test_what_is_no_http_is_told_in_the_shape_of_errors(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(b"nonsense\r\n\r\n")
        told = answer_on(connection)
        assert told.status == 400 and told.error == "Invalid HTTP request received."


def test_strangers_cannot_fill_the_log(process: Process) -> None:
    before = process.said
    upgrade = b"GET /v2 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    for odd in (
        b"nonsense\r\n\r\n",
        upgrade,
        b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET /v2 HTTP/9\r\n\r\n",
    ):
        with process.server.connect() as connection:
            connection.sendall(odd)
            assert 200 <= answer_on(connection).status < 500
    assert process.said == before


def test_head_is_get_without_the_body(server: Server) -> None:
    for path in ("/v2/health/ready", "/v2", f"/v2/models/{MODEL}", "/metrics", "/", "/nothing", "/predict"):
        got, bare = server.ask("GET", path), server.ask("HEAD", path)
        assert (bare.status, bare.body) == (got.status, b"") and bare.headers["content-type"] == got.headers[
            "content-type"
        ]
    assert server.metric("fittingroom_requests_total", path="/v2", status="200") >= 2


def test_refusals_are_counted(with_token: Server) -> None:
    def counted() -> float:
        text = with_token.ask("GET", "/metrics", headers={"Authorization": f"Bearer {TOKEN}".encode()}).body.decode()  # type: ignore[dict-item]
        return float(re.search(r'requests_total{path="other",status="401"} ([\d.]+)', text)[1])  # type: ignore[index]

    with_token.ask("GET", "/v2")
    before = counted()
    with_token.ask("GET", "/v2")
    until(lambda: counted() == before + 1)


def test_other_scopes_are_passed_on() -> None:
    """The lifespan of the application, say."""
    seen = []

    async def app(scope: object, receive: object, send: object) -> None:
        seen.append((scope, receive, send))

    guard = Guard(app, Door(token="t"), most_body_bytes=1)
    asyncio.run(guard({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert seen == [({"type": "lifespan"}, None, None)]


# ---------------------------------------------------------------- behind a proxy


def test_what_a_proxy_says_is_believed_where_it_was_said_that_there_is_one(bundle: Path, pngs: list[bytes]) -> None:
    """nginx, say, asks by our own name and tells the client's."""
    body, headers = form(("a.png", pngs[0]))
    outside = {"Origin": "https://shop.example", "X-Forwarded-Host": "shop.example", "X-Forwarded-Proto": "https"}
    with in_a_thread(Settings((bundle,), names=("shop.example",))) as plain:
        told = plain.ask("POST", "/predict", body, headers | outside)
        assert told.status == 403 and "--behind-proxy" in told.error
    settings = Settings((bundle,), names=("shop.example",), behind_proxy=True, root_path="/models", token="t")
    with in_a_thread(settings) as proxied:
        known = {"Authorization": "Bearer t"} | outside
        for prefix in ("", "/models"):  # a proxy may take the prefix away, or leave it
            assert proxied.ask("POST", f"{prefix}/predict", body, headers | known).status == 200
            assert proxied.ask("GET", f"{prefix}/v2/health/live", headers=outside).status == 200
            page = proxied.ask("GET", f"{prefix}/", headers=known).body.decode()
            assert "https://shop.example/models/predict" in page and 'href="openapi.json"' in page
        assert proxied.ask("GET", "/openapi.json", headers=known).json["servers"] == [{"url": "/models"}]
        text = proxied.ask("GET", "/metrics", headers=known).body.decode()
        assert 'path="/predict"' in text  # counted by what was asked, as without a proxy
        for host in ("evil.example", "shop.example, evil.example"):  # the nearest proxy has the last word
            assert proxied.ask("GET", "/v2", headers=known | {"X-Forwarded-Host": host}).status == 403
        assert proxied.ask("GET", "/v2", headers=known | {"Origin": "https://evil.example"}).status == 403


def test_a_proxy_lets_others_ask_so_there_is_a_token() -> None:
    refuse_open_door(Door(behind_proxy=True, token="t"))
    with pytest.raises(FittingroomError, match="--behind-proxy lets other machines ask; that needs a token"):
        refuse_open_door(Door(behind_proxy=True))


def test_a_cookie_of_a_page_that_came_by_tls_goes_nowhere_else(bundle: Path) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    door = Door(token="t", behind_proxy=True, names=("shop.example",))
    with app_in_a_thread(Guard(app, door, most_body_bytes=1, pages=True), "off") as running:
        said = {"X-Forwarded-Host": "shop.example", "X-Forwarded-Proto": "https"}
        assert running.ask("GET", "/?token=t", headers=said).headers["set-cookie"].endswith("; Secure")
        assert not running.ask("GET", "/?token=t").headers["set-cookie"].endswith("; Secure")


# ---------------------------------------------------------------- a token in a file


def test_a_token_may_be_in_a_file(tmp_path: Path) -> None:
    file, warned = tmp_path / "token", list[str]()
    file.write_text("secret\n")
    file.chmod(0o600)
    assert token_in(file, "", warned.append) == "secret" and not warned and token_in(None, "t", warned.append) == "t"
    file.chmod(0o644)
    assert token_in(file, "", warned.append) == "secret" and "chmod 600" in warned[0]
    for content, words in (
        (b"", "holds nothing"),
        (b"a\nb", "holds lines"),
        (b"\xff", "is no text"),
        (b"a" * 5000, "bytes"),
    ):
        file.write_bytes(content)
        with pytest.raises(FittingroomError, match=words):
            token_in(file, "", warned.append)
    with pytest.raises(FittingroomError, match="is not there"):
        token_in(tmp_path / "nothing", "", warned.append)
    with pytest.raises(FittingroomError, match="give one of them"):
        token_in(file, "t", warned.append)


@pytest.mark.parametrize("path", ["models", "/a b", "/a?b", "/a%2e", "/v2", "/predict/x"])
def test_a_root_path_is_a_path(path: str) -> None:
    with pytest.raises(FittingroomError, match="give a path such as /models"):
        rooted(path)
