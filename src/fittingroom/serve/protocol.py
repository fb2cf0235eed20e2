"""HTTP as uvicorn speaks it, with an end to what is no body: heads are limited in bytes and in time."""

from __future__ import annotations

import asyncio
import json

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MOST_HEAD_BYTES = 64 << 10  # of a request's line and headers, of trailers, of what chunks say of themselves
HEAD_S = 30.0  # from a connection's, or a request's, beginning to the end of its head


class BoundedHttp(HttpToolsProtocol):
    """A connection that ends if it brings `MOST_HEAD_BYTES` that are no body, or no head within `HEAD_S`.

    The parser keeps headers as long as they come, and the application, which limits bodies, is not asked before they end.
    """

    _beside = 0  # bytes since a head, a body's part or a request ended
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._waited()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._beside += len(data)
        super().data_received(data)
        if self._beside > MOST_HEAD_BYTES and not self.transport.is_closing():
            self._end(431, f"the head of a request may have {MOST_HEAD_BYTES:,} bytes")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._waited()
        self._wait()

    def on_headers_complete(self) -> None:
        self._beside = 0
        self._waited()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._beside = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._beside = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is told in the one shape of every error."""
        self._end(400, msg)

    def _wait(self) -> None:
        self._patience = self.loop.call_later(HEAD_S, self._end, 408, f"no head of a request within {HEAD_S:g} s")

    def _waited(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _end(self, status: int, reason: str) -> None:
        """Close the connection, and say why unless an answer is being written on it."""
        if self.cycle is None or self.cycle.response_complete:
            body = json.dumps({"error": reason}).encode()
            head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
            self.transport.write(STATUS_LINE[status] + head + body)
        self.transport.close()
