"""What a server is told when it starts: plain values, so that worker processes can be given them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.machine import cores
from fittingroom.store.seal import Damaged, plain_bytes

OWN_PATHS = ("/v2", "/predict", "/metrics", "/docs", "/openapi.json")
MOST_TOKEN = 4096  # bytes of a file that holds one
SHARED_METRICS = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's own name; set before it is imported


@dataclass(frozen=True)
class Limits:
    """What one request may bring, and how long it may take. Beyond: 4xx, 503 (queue) and 504 (deadline)."""

    queue: int = 64  # requests that may wait for each model in each worker; and as many that are being read
    deadline_s: float = 10.0  # from the end of a request's head to its answer
    body_bytes: int = 32 << 20
    images: int = 256
    pixels: int = 40_000_000  # of one picture
    pixels_together: int = 200_000_000  # of all that come with one request


@dataclass(frozen=True, kw_only=True)
class Door:
    """Where a server listens, and who may ask."""

    host: str = "127.0.0.1"
    port: int = 8000
    token: str = ""
    names: tuple[str, ...] = ()  # other names of this machine
    tls: tuple[Path, Path] | None = None  # certificate and key, PEM
    behind_proxy: bool = False  # what a proxy says of its clients is believed: X-Forwarded-Host, X-Forwarded-Proto
    root_path: str = ""  # under which a proxy shows it


@dataclass(frozen=True)
class Settings(Door):
    """Which bundles, for whom."""

    bundles: tuple[Path, ...]
    workers: int = 1
    limits: Limits = Limits()

    @property
    def threads(self) -> int:
        """Of one worker's inference."""
        return max(1, cores() // self.workers)


def token_in(file: Path | None, token: str, warn: Callable[[str], None]) -> str:
    """The token that was given, or that is in a file, as secrets are mounted. `warn` hears that others may read the file.

    Raises `FittingroomError` for both, or a file without one.
    """
    if file is None:
        return token
    if token:
        raise FittingroomError(
            "two tokens: one of --token (or FITTINGROOM_TOKEN), one of --token-file; give one of them"
        )
    try:
        found = plain_bytes(file, MOST_TOKEN).decode().strip()
    except (Damaged, FileNotFoundError, UnicodeDecodeError) as error:
        reason = (
            str(error) if isinstance(error, Damaged) else "is not there" if isinstance(error, OSError) else "is no text"
        )
        raise FittingroomError(f"--token-file {file} {reason}; give a file whose text is the token") from None
    if not found or "\n" in found:
        raise FittingroomError(
            f"--token-file {file} holds {'lines' if found else 'nothing'}; its text has to be the token"
        )
    if os.name == "posix" and file.stat().st_mode & 0o004:
        warn(f"everybody on this machine can read {file}: chmod 600 keeps the token to yourself")
    return found


def tls_of(certificate: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    """Certificate and key of a server that speaks TLS; the key may be in the certificate's file. Raises `FittingroomError`."""
    if certificate is None:
        if key:
            raise FittingroomError("--tls-key goes with --tls-cert, the certificate")
        return None
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key or certificate, password="")
    except (OSError, ValueError) as error:  # also ssl.SSLError
        reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        raise FittingroomError(
            f"TLS with {certificate}{f' and {key}' if key else ''}: {reason}; give PEM files: --tls-cert, and --tls-key without "
            "a password"
        ) from None
    return certificate, key or certificate


def rooted(path: str) -> str:
    """A path under which a proxy shows a server. Raises `FittingroomError` for what is none.

    >>> rooted("/models/"), rooted("")
    ('/models', '')
    """
    plain = path.rstrip("/")
    if plain and (not plain.startswith("/") or set("?#%\\ ") & set(plain)):
        raise FittingroomError(f'--root-path: got "{path}"; give a path such as /models')
    if "/" + plain.split("/")[1 if plain else 0] in OWN_PATHS:
        raise FittingroomError(
            f'--root-path: got "{path}", which is an address of the server itself; give a path such as /models'
        )
    return plain
