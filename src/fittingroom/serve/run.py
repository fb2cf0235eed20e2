"""Starts the server: one process, or several that share a socket; SIGTERM lets what is under way be answered."""

from __future__ import annotations

import contextlib
import math
import os
import socket
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

from fittingroom.serve.guard import App, refuse_open_door
from fittingroom.serve.settings import SHARED_METRICS, Door, Settings
from fittingroom.spec.errors import FittingroomError, need
from fittingroom.store.litter import scratch

BACKLOG = 2048  # connections that wait to be accepted
PATIENCE_S = 60  # with a worker that says nothing, as one does while it is loading, before another takes its place
DRAIN_S = 30  # for what is under way when the server is told to stop, or the deadline, if that is later


def serve(settings: Settings, announce: Callable[[str], None] = lambda line: None) -> None:
    """Answer until SIGTERM or Ctrl-C. Raises `FittingroomError` before anything listens, if it cannot work.

    `announce` hears the address when the socket is bound.
    """
    for module in ("fastapi", "uvicorn", "onnxruntime", "prometheus_client"):
        need(module, "serve", "serve")
    refuse_open_door(settings)
    with contextlib.ExitStack() as stack:
        if settings.workers > 1:
            os.environ[SHARED_METRICS] = str(stack.enter_context(scratch("fittingroom")))
        from fittingroom.serve.app import create_app

        factory: Callable[[], App] = partial(create_app, settings)
        app = factory() if settings.workers == 1 else factory  # one worker: what is wrong with a bundle is told at once
        if settings.workers > 1:
            from fittingroom.inference import Classifier
            from fittingroom.store.bundles import BundleFolder

            for path in settings.bundles:
                Classifier(BundleFolder(path))
        listening, address = bound(settings)
        announce(address)
        run_app(app, listening, settings, settings.workers, max(DRAIN_S, math.ceil(settings.limits.deadline_s)))


def run_app(app: Any, listening: socket.socket, door: Door, workers: int = 1, drain_s: int = DRAIN_S) -> None:
    """Run an ASGI application (with several workers: a function that makes one) on a bound socket until told to stop."""
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    config = uvicorn.Config(
        app,
        http=http_protocol(),
        factory=workers > 1,
        workers=workers,
        log_level="error",  # what strangers send is no news: a warning for each would fill the log, and stop who reads none
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=drain_s,
        timeout_keep_alive=30,
        backlog=BACKLOG,
        timeout_worker_healthcheck=PATIENCE_S,
        proxy_headers=False,  # the guard reads them, where it is to
        ssl_certfile=door.tls[0] if door.tls else None,
        ssl_keyfile=door.tls[1] if door.tls else None,
    )
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn, done draining, raises the signal once more
        if workers > 1:
            Multiprocess(config, sockets=[listening]).run()
        else:
            uvicorn.Server(config).run(sockets=[listening])
    listening.close()


def http_protocol() -> Any:
    """Ours, which limits heads; uvicorn's other one, which does so too, where there is no httptools (Windows)."""
    if find_spec("httptools") is None:
        return "h11"
    from fittingroom.serve.protocol import BoundedHttp

    return BoundedHttp


def bound(door: Door) -> tuple[socket.socket, str]:
    """A socket that listens, and its address as a URL. Raises `FittingroomError` where there can be none."""
    host, port = door.host, door.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except (OSError, OverflowError, TypeError) as error:  # the last: no name of a host
        listening.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise FittingroomError(f"cannot listen on {host}, port {port}: {reason}; choose another with --port") from None
    listening.listen(BACKLOG)
    listening.set_inheritable(True)
    host, port = listening.getsockname()[:2]
    return listening, f"http{'s' if door.tls else ''}://{f'[{host}]' if ':' in host else host}:{port}"
