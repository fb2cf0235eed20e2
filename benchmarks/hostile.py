"""Pictures that no camera made, and requests that no client sends: for benchmarks/torture.py."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence

import numpy as np
from PIL import Image

INFER = "/v2/models/readme-004-mlp/infer"
PATHS = (
    "/", "/predict", "/v2", "/v2/models/readme-004-mlp", INFER, f"{INFER}?x={'y' * 2000}", "/v2/models/%00", "/metrics",
    "/openapi.json", "/../../etc/passwd", "//", "/predict?top=-1", "/predict?top=99999999999999999999", "/predict?sure=nan",
    "/predict?model=nothing", "*", "/v2/health/ready",
)  # fmt: skip
METHODS = ("GET", "POST", "POST", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "BREW", "post")
VERSIONS = ("1.1", "1.1", "1.1", "1.1", "1.0", "2.0", "9")
HOSTS = ("127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.1", "evil.example", "")
KINDS = (
    "application/json", "multipart/form-data; boundary=b", "multipart/form-data", "image/png", "application/octet-stream", "",
    "text/plain; charset=utf-7",
)  # fmt: skip
ODD = (
    "Inference-Header-Content-Length: 5", "Inference-Header-Content-Length: -7", "Transfer-Encoding: chunked",
    "Content-Encoding: gzip", "Origin: null", "Authorization: Bearer x", "Expect: 100-continue", "Connection: upgrade",
    "A\x00B: c",
)  # fmt: skip
TENSOR = {"name": "images", "datatype": "UINT8", "shape": [1, 1, 28, 28], "data": [0] * 784}
WRONG = (
    ("shape", [-1]), ("shape", [1 << 40, 1, 28, 28]), ("data", "x"), ("data", [1e400] * 784), ("datatype", "FP64"),
    ("name", None),
)  # fmt: skip
SIZES = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x00\x00\x00\x00", b"\x00\x01\x00\x00")
FORMATS = (
    ("PNG", "RGB"), ("JPEG", "RGB"), ("GIF", "P"), ("BMP", "RGB"), ("TIFF", "RGB"), ("WEBP", "RGB"), ("PNG", "I;16"),
)  # fmt: skip


def base_pictures() -> list[bytes]:
    """One picture in each format, whole."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8))
    found = []
    for kind, mode in FORMATS:
        buffer = io.BytesIO()
        (image.convert("L").convert("I;16") if mode == "I;16" else image.convert(mode)).save(buffer, kind)
        found.append(buffer.getvalue())
    return found


def hostile(content: bytes, rng: np.random.Generator) -> bytes:
    """A picture file, spoiled: bits, numbers at places where sizes are, an end or a middle that is missing, noise."""
    spoiled = bytearray(content)
    match int(rng.integers(6)):
        case 0:
            for _ in range(int(rng.integers(1, 20))):
                spoiled[int(rng.integers(len(spoiled)))] ^= 1 << int(rng.integers(8))
        case 1:
            del spoiled[int(rng.integers(len(spoiled))) :]
        case 2:
            at = int(rng.integers(min(64, len(spoiled))))
            spoiled[at : at + 4] = rng.choice(
                [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x00\x00\x00\x00", b"\x00\x01\x00\x00"]
            )
        case 3:
            a, b = sorted(rng.integers(0, len(spoiled), 2))
            del spoiled[a:b]
        case 4:
            at = int(rng.integers(len(spoiled)))
            spoiled[at:at] = rng.bytes(int(rng.integers(1, 2000)))
        case _:
            return bytes(spoiled[:8]) + rng.bytes(int(rng.integers(0, 3000)))
    return bytes(spoiled)


def odd_request(rng: np.random.Generator, base: Sequence[bytes]) -> bytes:
    """A request that is wrong in a way, or right."""
    if rng.random() < 0.2:
        body = json.dumps({"inputs": [TENSOR]}).encode()
        return f"POST {INFER} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    body = odd_body(rng, base)
    length = rng.choice([str(len(body))] * 6 + ["0", "-1", "1000000000000", "x"])
    lines = [
        f"{rng.choice(METHODS)} {rng.choice(PATHS)} HTTP/{rng.choice(VERSIONS)}",
        f"Host: {rng.choice(HOSTS)}",
        f"Content-Type: {rng.choice(KINDS)}",
        *([f"Content-Length: {length}"] if rng.random() < 0.9 else []),
        *([str(rng.choice([*ODD, f"X: {'z' * int(rng.integers(1, 20_000))}"]))] if rng.random() < 0.4 else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body


def is_as_announced(request: bytes) -> bool:
    """Whether as much came as the head of a request announces, and no more; what is sent in chunks here never does."""
    head, _, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"\r\nContent-Length: (\S+)", head)
    if b"Transfer-Encoding" in head:
        return False
    return not body if length is None else not length[1].isdigit() or int(length[1]) == len(body)


def odd_body(rng: np.random.Generator, base: Sequence[bytes]) -> bytes:
    """What comes with a request."""
    picture = hostile(base[int(rng.integers(len(base)))], rng) if rng.random() < 0.7 else base[0]
    head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    match int(rng.integers(9)):
        case 0:
            return b""
        case 1:
            return json.dumps({"inputs": [TENSOR]}).encode()
        case 2:
            key, value = WRONG[int(rng.integers(len(WRONG)))]
            return json.dumps({"inputs": [TENSOR | {key: value}]}).encode()
        case 3:
            return b"[" * int(rng.integers(1, 50_000))
        case 4:
            return head + picture + b"\r\n--b--\r\n"
        case 5:
            return head + picture
        case 6:
            return rng.bytes(int(rng.integers(0, 5000)))
        case 7:
            return b"5\r\nhello\r\nzz\r\n"
    return picture
