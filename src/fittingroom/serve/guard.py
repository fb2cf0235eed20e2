"""What stands between the network and the application: who may ask, how much, how long. Pure ASGI, so that bodies stream."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from fittingroom.serve.settings import Door
from fittingroom.spec.errors import FittingroomError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN_PATHS = ("/v2/health/live", "/v2/health/ready")  # a load balancer has no token
COOKIE = "fittingroom"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),  # without any, browsers say "Origin: null" of our own forms
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)


class Refused(Exception):
    """A request that is answered with `status` and a reason, wherever it is noticed."""

    def __init__(self, status: int, reason: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.headers = status, reason, headers or {}


def refuse_open_door(door: Door) -> None:
    """Raises `FittingroomError` if the server would be reachable from other machines without a token."""
    if (door.behind_proxy or not is_loopback(door.host)) and not door.token:
        why = "--behind-proxy" if door.behind_proxy else f"--host {door.host}"
        raise FittingroomError(
            f"{why} lets other machines ask; that needs a token: set FITTINGROOM_TOKEN (or give --token-file), "
            "which clients send as Authorization: Bearer TOKEN"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on `host`.

    >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0"), is_loopback("localhost")
    (True, False, True)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """Checks Host, Origin and token of every request, and counts its body while it streams.

    A page of another site that a person has open can send requests here, and can make a name of its own point here (DNS
    rebinding): so a request must name this machine as its Host, and its Origin, if it has one, must be the same.
    """

    def __init__(self, app: App, door: Door, *, most_body_bytes: int, pages: bool = False) -> None:
        self.app, self.door, self.most_body_bytes, self.pages = app, door, most_body_bytes, pages
        self.token = door.token
        self.cookie = f"{COOKIE}={sha256(self.token.encode()).hexdigest()}"  # a token may have signs that no cookie can
        self.only_here = is_loopback(door.host)
        mine = () if self.only_here else (socket.gethostname(),)
        self.names = {name.lower() for name in (*LOOPBACK, door.host, *door.names, *mine)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        if self.door.behind_proxy:
            scope.update(as_seen_outside(scope))
        if self.door.root_path:
            scope["root_path"] = self.door.root_path
        headers = {key.lower(): value for key, value in scope["headers"]}
        secured = _with_headers(send)
        try:
            self._check(scope, headers)
        except Refused as refused:
            return await answer(secured, refused)
        return await self.app(scope, self._counted(receive), secured)

    def _check(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        host = headers.get(b"host", b"").decode("latin-1")
        if not self._is_us(host):
            raise Refused(403, f"this server is not called {host!r}; see --allow-host")
        origin = headers.get(b"origin")
        if origin is not None and origin.decode("latin-1").lower().partition("://")[2] != host.lower():
            raise Refused(403, "requests of other sites' pages are not answered; of a proxy's own name: --behind-proxy")
        if (
            self.token
            and scope["path"].removeprefix(self.door.root_path) not in OPEN_PATHS
            and not self._knows(scope, headers)
        ):
            raise Refused(401, "send Authorization: Bearer TOKEN", {"www-authenticate": "Bearer"})
        if headers.get(b"content-encoding", b"identity") != b"identity":
            raise Refused(415, "send the body as it is, without Content-Encoding")
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self.most_body_bytes:
            raise self._too_large()

    def _knows(self, scope: Scope, headers: dict[bytes, bytes]) -> bool:
        """Whether the token came: as a header, or (of pages) once in an address and from then on as a cookie."""
        if hmac.compare_digest(headers.get(b"authorization", b""), f"Bearer {self.token}".encode()):
            return True
        if not self.pages:
            return False
        query = parse_qsl(scope["query_string"].decode("latin-1"))
        if hmac.compare_digest(dict(query).get("token", "").encode(), self.token.encode()):
            rest = urlencode([(key, value) for key, value in query if key != "token"])
            here = "/" + quote(scope["path"].lstrip("/")) + (f"?{rest}" if rest else "")
            cookie = (
                f"{self.cookie}; HttpOnly; SameSite=Strict; Path=/{'; Secure' if scope['scheme'] == 'https' else ''}"
            )
            raise Refused(303, "", {"location": here, "set-cookie": cookie})
        kept = headers.get(b"cookie", b"").split(b";")
        return any(hmac.compare_digest(one.strip(), self.cookie.encode()) for one in kept)

    def _is_us(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self.names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback if self.only_here else True  # a name can be made to point here, a number cannot

    def _counted(self, receive: Receive) -> Receive:
        seen = 0

        async def counted() -> MutableMapping[str, Any]:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.most_body_bytes:
                raise self._too_large()
            return message

        return counted

    def _too_large(self) -> Refused:
        return Refused(413, f"a request may have {self.most_body_bytes:,} bytes", {"connection": "close"})


def as_seen_outside(scope: Scope) -> Scope:
    """What is other in a request as the proxy in front got it: the name and the scheme that its client used.

    The last of several values is the nearest proxy's own; those before it could be anybody's.
    """
    said = {key.lower(): value.rpartition(b",")[2].strip() for key, value in scope["headers"]}
    headers, scheme = list(scope["headers"]), said.get(b"x-forwarded-proto", b"").decode("latin-1").lower()
    if host := said.get(b"x-forwarded-host"):
        headers = [(key, value) for key, value in headers if key.lower() != b"host"] + [(b"host", host)]
    return {"headers": headers, "scheme": scheme if scheme in ("http", "https") else scope["scheme"]}


def _with_headers(send: Send) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *HEADERS]}
        await send(message)

    return sending


async def answer(send: Send, refused: Refused) -> None:
    """The one shape of every error."""
    import orjson

    body = orjson.dumps({"error": refused.reason})
    extra = [(key.encode(), value.encode()) for key, value in refused.headers.items()]
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *extra]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
