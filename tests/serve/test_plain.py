"""POST /predict: what people and scripts send with curl."""

from __future__ import annotations

import gzip
import io
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from serve.asking import INFER, MODEL, Process, Reply, Server, form, in_a_thread

from fittingroom.serve.settings import Limits, Settings

Alone = tuple[np.ndarray, np.ndarray]
PNG = {"content-type": "image/png"}


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


def predict(server: Server, *files: tuple[str, bytes], query: str = "") -> Reply:
    return server.ask("POST", f"/predict{query}", *form(*files))


def test_several_pictures_are_answered_in_order_and_a_bad_one_fails_alone(
    server: Server, pngs: list[bytes], alone: Alone, classes: tuple[str, ...]
) -> None:
    files = [("a.png", pngs[0]), ("b.png", b"no picture"), ("c d.png", pngs[1]), ("é.png", pngs[2])]
    told = predict(server, *files, query="?sure=0").json
    assert told["model"] == MODEL
    assert [one["file"] for one in told["predictions"]] == ["a.png", "b.png", "c d.png", "é.png"]
    bad = told["predictions"].pop(1)
    assert bad == {"file": "b.png", "error": "is no PNG, JPEG, WebP, BMP, GIF, TIFF, PPM, PGM, JPEG 2000 or AVIF"}
    for one, p in zip(told["predictions"], alone[1], strict=False):
        order = np.argsort(-p)[:3]
        assert [t["name"] for t in one["top"]] == [classes[c] for c in order]
        assert [t["p"] for t in one["top"]] == pytest.approx(p[order], abs=1e-5)
        assert one["answer"] == classes[order[0]] and one["sure"] is True and "error" not in one


def test_when_all_are_bad_there_is_no_answer(server: Server, pngs: list[bytes]) -> None:
    refused = predict(server, ("a.png", b"x"), ("b.png", b""))
    assert refused.status == 400 and refused.error == "; ".join(
        f"{name} is no PNG, JPEG, WebP, BMP, GIF, TIFF, PPM, PGM, JPEG 2000 or AVIF" for name in ("a.png", "b.png")
    )
    many = predict(server, *[(f"{i}.png", b"x") for i in range(256)])
    assert many.status == 400 and many.error.count("is no PNG") == 5
    one = server.ask("POST", "/predict", b"", PNG)
    assert one.status == 400 and one.error.startswith("image is no PNG")


def test_a_picture_as_the_body(server: Server, pngs: list[bytes], alone: Alone, classes: tuple[str, ...]) -> None:
    for kind in ("image/png", "image/jpeg", "application/octet-stream", "IMAGE/PNG; x=y"):
        told = server.ask("POST", "/predict?sure=0&top=1", pngs[3], {"content-type": kind}).json
        (one,) = told["predictions"]
        assert one["file"] == "image" and one["answer"] == classes[int(alone[1][3].argmax())]


def test_questions_in_the_address(server: Server, pngs: list[bytes], classes: tuple[str, ...]) -> None:
    def first(query: str) -> dict[str, object]:
        return dict(server.ask("POST", f"/predict{query}", pngs[0], PNG).json["predictions"][0])

    assert len(first("")["top"]) == 3 and len(first("?top=1")["top"]) == 1  # type: ignore[arg-type]
    assert {t["name"] for t in first("?top=99")["top"]} == set(classes)  # type: ignore[attr-defined]
    assert first("?sure=1")["answer"] == "not sure" and first("?sure=1")["sure"] is False
    assert first("?sure=0")["answer"] in classes and first(f"?model={MODEL}") == first("")
    refused = server.ask("POST", "/predict?model=another", pngs[0], PNG)
    assert refused.status == 404 and refused.error == f"there is no model 'another'; there are: {MODEL}"
    for query in (
        "?top=0",
        "?top=-1",
        "?top=x",
        "?sure=-0.1",
        "?sure=1.1",
        "?sure=nan",
        "?sure=inf",
        "?sure=x",
        "?sure=",
    ):
        reply = server.ask("POST", f"/predict{query}", pngs[0], PNG)
        assert reply.status == 400 and query[1:].partition("=")[0] in reply.error, query


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("text/plain", 415),
        ("application/json", 415),
        ("application/x-www-form-urlencoded", 415),
        ("", 415),
        ("image", 415),
        ("multipart/mixed; boundary=b", 415),
        ("multipart/form-data", 400),
        ("multipart/form-data; boundary=other", 400),
        (f"multipart/form-data; boundary={'b' * 300}", 400),
    ],
)
def test_other_kinds_of_bodies(server: Server, pngs: list[bytes], kind: str, status: int) -> None:
    body, _ = form(("a.png", pngs[0]))
    reply = server.ask("POST", "/predict", body, {"content-type": kind})
    assert reply.status == status and reply.error
    assert server.ask("POST", "/predict", body).status == 415


def test_an_option_in_the_form_is_not_ignored(server: Server, pngs: list[bytes]) -> None:
    body, headers = form(("a.png", pngs[0]))
    field = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nanother\r\n'
    reply = server.ask("POST", "/predict", field + body, headers)
    assert reply.status == 400 and "'model' is no file" in reply.error and "/predict?model=NAME" in reply.error


def test_a_form_without_a_file(server: Server) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="image"\r\n\r\na.png\r\n--b--\r\n'
    reply = server.ask("POST", "/predict", body, {"content-type": "multipart/form-data; boundary=b"})
    assert reply.status == 400 and "curl -F" in reply.error
    assert predict(server).status == 400


@pytest.mark.parametrize("charset", ["unicode_escape", "utf-7", "punycode", "base64", "latin-1", "x" * 99])
def test_names_in_utf_8_only(server: Server, pngs: list[bytes], charset: str) -> None:
    """Some of Python's charsets make halves of characters, which JSON cannot say, and some take hours for a long name."""
    body, _ = form(("-" * 1_000_000, pngs[0]))
    kind = f"multipart/form-data; boundary=b; charset={charset}"
    reply = server.ask("POST", "/predict", body, {"content-type": kind})
    assert reply.status == 400 and reply.error == "send names in UTF-8"


def test_names_of_all_kinds(server: Server, pngs: list[bytes]) -> None:
    for name in (r"\ud800.png", "+2AA-.png", "a..b", "é", "衣服.png"):
        body, headers = form((name, pngs[0]))
        assert server.ask("POST", "/predict", body, headers).json["predictions"][0]["file"] == name
    body = form(("x", pngs[0]))[0].replace(b'"x"', b'"\xff\xfe"')
    assert server.ask("POST", "/predict", body, headers).status == 200  # no UTF-8: read as it can be


def test_as_many_pictures_as_may_be_and_more(bundle: Path, pngs: list[bytes]) -> None:
    with in_a_thread(Settings((bundle,), limits=Limits(images=3))) as small:
        assert len(predict(small, *[("a", pngs[0])] * 3).json["predictions"]) == 3
        for more in (4, 5, 50):
            reply = predict(small, *[("a", pngs[0])] * more)
            assert reply.status == 413 and "3" in reply.error, more


def test_what_is_encoded_is_not_read(server: Server, pngs: list[bytes]) -> None:
    body, headers = form(("a.png", pngs[0]))
    for path, content, more in (
        ("/predict", pngs[0], PNG),
        ("/predict", body, headers),
        (INFER, b"{}", {"content-type": "application/json"}),
    ):
        for encoding in ("gzip", "deflate", "br", "x"):
            reply = server.ask("POST", path, gzip.compress(content), more | {"content-encoding": encoding})
            assert reply.status == 415 and "Content-Encoding" in reply.error
    assert server.ask("POST", "/predict", pngs[0], PNG | {"content-encoding": "identity"}).status == 200


@pytest.mark.parametrize(
    ("width", "height", "words"),
    [
        (40_000, 40_000, "more than 178,956,970 pixels"),
        (9_000, 9_000, "has 9,000 × 9,000 pixels, more than 40,000,000"),
        (10_000, 10_000, "has 10,000 × 10,000 pixels, more than 40,000,000"),
    ],
)
def test_pictures_that_claim_too_many_pixels(process: Process, width: int, height: int, words: str) -> None:
    reply = process.server.ask("POST", "/predict", png_that_claims(width, height), PNG)
    assert reply.status == 400 and words in reply.error
    assert process.said.count("\n") == 1, process.said  # where it serves; nothing of Pillow's oddities


def test_a_limit_of_fewer_pixels(bundle: Path) -> None:
    def grey(side: int) -> bytes:
        file = io.BytesIO()
        Image.fromarray(np.arange(side * side, dtype=np.uint8).reshape(side, side)).save(file, "PNG")
        return file.getvalue()

    with in_a_thread(Settings((bundle,), limits=Limits(pixels=28 * 28))) as small:
        assert predict(small, ("a", grey(28))).status == 200
        refused = predict(small, ("a", grey(29)))
        assert refused.status == 400 and "29 × 29 pixels, more than 784" in refused.error


def test_pictures_of_several_megabytes(server: Server) -> None:
    """Such ones lie on disk while they are read, and must not stay open."""
    pixels = np.random.default_rng(0).integers(0, 60, (1_500, 1_500), dtype=np.uint8)
    pixels[400:1_000, 500:900] = 250
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    assert file.tell() > 1 << 20
    told = predict(server, ("big.png", file.getvalue())).json
    assert told["predictions"][0]["top"]


@pytest.mark.main_job
def test_curl_as_the_page_says_it(server: Server, pngs: list[bytes], tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(pngs[0])
    page = server.ask("GET", "/").body.decode()
    line = page.partition("<pre>curl ")[2].partition("</pre>")[0].replace("&#34;", '"')
    done = subprocess.run(["sh", "-c", f"curl -s --fail {line}"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and '"predictions":[{"file":"picture.png","answer":' in done.stdout, (line, done)


def test_pictures_that_are_too_large_together(bundle: Path, pngs: list[bytes]) -> None:
    with in_a_thread(Settings((bundle,), limits=Limits(pixels=28 * 28, pixels_together=3 * 28 * 28))) as small:
        assert predict(small, *[("a", png) for png in pngs[:3]]).status == 200
        refused = predict(small, *[("a", png) for png in pngs[:4]])
        assert refused.status == 413 and "may have 2,352 pixels together; got 3,136" in refused.error
