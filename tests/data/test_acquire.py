"""Acquisition: every source through one hash check; nothing half-fetched is ever taken for data."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import ssl
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
import tomli_w

from fittingroom.data import load
from fittingroom.data.acquire import acquire
from fittingroom.data.catalog import DatasetEntry, entry
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.parse import parse
from fittingroom.spec.sources import FileEntry, HttpsSource
from fittingroom.store import fetch as acquiring
from fittingroom.store.fetch import SourceFailed, read_payload


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()


@pytest.fixture
def payloads(fashion) -> dict[str, bytes]:  # type: ignore[no-untyped-def]
    """A small data set of real images, as four IDX payloads."""
    images, labels = fashion.train.images_NCHW[:, 0], fashion.train.labels_N
    return {
        "train-images": idx(images[:50]), "train-labels": idx(labels[:50]),
        "test-images": idx(images[50:70]), "test-labels": idx(labels[50:70]),
    }  # fmt: skip


def make_entry(payloads: dict[str, bytes], sources: list[dict[str, object]]) -> DatasetEntry:
    files = {
        name.replace("-", "_"): {"name": name, "size_bytes": len(p), "sha256": hashlib.sha256(p).hexdigest()}
        for name, p in payloads.items()
    }
    tree = {"name": "tiny", "title": "Tiny", "classes": [f"class {i}" for i in range(10)], "may_flip": True}
    return parse(DatasetEntry, {**tree, "files": files, "sources": sources}, "test", "nowhere")


def place(folder: Path, payloads: dict[str, bytes], pack: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, payload in payloads.items():
        (folder / (name + (".gz" if pack else ""))).write_bytes(gzip.compress(payload) if pack else payload)
    return folder


@pytest.mark.parametrize("pack", [False, True])
def test_a_folder_that_the_system_has(tmp_path: Path, payloads: dict[str, bytes], pack: bool) -> None:
    source = place(tmp_path / "system", payloads, pack)
    said: list[str] = []
    folder = acquire(make_entry(payloads, [{"kind": "folder", "path": str(source)}]), tmp_path / "home", said.append)
    assert {p: (folder / p).read_bytes() for p in payloads} == payloads
    assert "verified, from folder" in said[0]
    assert sorted(p.name for p in folder.iterdir() if p.name not in payloads) == [".lock", "source.txt"]


def test_a_lookalike_is_refused_and_the_next_source_is_tried(tmp_path: Path, payloads: dict[str, bytes]) -> None:
    wrong = place(tmp_path / "wrong", payloads | {"train-images": payloads["train-images"][:-1] + b"\x07"})
    right = place(tmp_path / "right", payloads)
    sources = [{"kind": "folder", "path": str(tmp_path / f)} for f in ("absent", "wrong", "right")]
    said: list[str] = []
    acquire(make_entry(payloads, sources), tmp_path / "home", said.append)
    assert str(right) in said[0] and str(wrong) not in said[0]


@pytest.mark.parametrize("damage", ["short", "long", "other", "not gzip", "gzip cut", "gzip bent"])
def test_damaged_files_leave_nothing_that_looks_like_data(
    tmp_path: Path, payloads: dict[str, bytes], damage: str
) -> None:
    source = place(tmp_path / "system", payloads)
    good = payloads["train-images"]
    (source / "train-images").unlink()
    content = {
        "short": good[:-9], "long": good + b"x" * 5_000_000, "other": good[::-1],
        "not gzip": b"hello" * 99, "gzip cut": gzip.compress(good)[:-200],
        "gzip bent": gzip.compress(good)[:99] + b"\xff" * 900 + gzip.compress(good)[999:],
    }[damage]  # fmt: skip
    (source / ("train-images" + (".gz" if "gzip" in damage else ""))).write_bytes(content)
    with pytest.raises(FittingroomError, match="no source delivered Tiny") as caught:
        acquire(make_entry(payloads, [{"kind": "folder", "path": str(source)}]), tmp_path / "home")
    assert str(tmp_path / "home" / "data" / "tiny") in str(caught.value)  # where to place files by hand
    assert not (tmp_path / "home/data/tiny/train-images").exists()
    assert not list((tmp_path / "home/data/tiny").glob(".*part"))


def test_a_truncated_cache_is_not_used(tmp_path: Path, payloads: dict[str, bytes]) -> None:
    found = make_entry(payloads, [])
    folder = place(tmp_path / "home/data/tiny", payloads)
    assert acquire(found, tmp_path / "home") == folder  # placed by hand: good without any source
    (folder / "test-labels").write_bytes(payloads["test-labels"][:-1])
    with pytest.raises(FittingroomError, match="it names no sources"):
        acquire(found, tmp_path / "home")
    (folder / "test-labels").write_bytes(payloads["test-labels"][:-1] + b"\x09")  # right size, wrong content
    with pytest.raises(FittingroomError, match="not the expected file"):
        read_payload(folder, found.files.test_labels)


class Mirror(http.server.BaseHTTPRequestHandler):
    content: dict[str, bytes] = {}
    redirect = ""
    cut = False

    def do_GET(self) -> None:
        if self.redirect:
            self.send_response(302)
            self.send_header("Location", self.redirect + self.path)
            self.end_headers()
            return
        body = self.content.get(self.path)
        self.send_response(200 if body is not None else 404)
        self.end_headers()
        self.wfile.write((body or b"")[: 50 if self.cut else None])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mirror(tmp_path: Path, payloads: dict[str, bytes], monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """A real HTTPS server on loopback, whose certificate this process trusts."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    handler = type("Handler", (Mirror,), {"content": {f"/d/{n}.gz": gzip.compress(p) for n, p in payloads.items()}})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    yield server, handler
    server.shutdown()
    server.server_close()


def test_an_https_mirror(tmp_path: Path, payloads: dict[str, bytes], mirror) -> None:  # type: ignore[no-untyped-def]
    base = f"https://localhost:{mirror[0].server_port}/d"
    folder = acquire(make_entry(payloads, [{"kind": "https", "base": base}]), tmp_path / "home")
    assert (folder / "train-images").read_bytes() == payloads["train-images"]


def test_a_connection_that_breaks_off_is_a_reason_and_the_next_source_is_tried(
    tmp_path: Path,
    payloads: dict[str, bytes],
    mirror,  # type: ignore[no-untyped-def]
) -> None:
    server, handler = mirror
    handler.cut = True
    sources = [
        {"kind": "https", "base": f"https://localhost:{server.server_port}/d"},
        {"kind": "folder", "path": str(place(tmp_path / "system", payloads))},
    ]
    said: list[str] = []
    acquire(make_entry(payloads, sources), tmp_path / "home", said.append)
    assert "from folder" in said[0]
    with pytest.raises(FittingroomError, match="broke off"):
        acquire(make_entry(payloads, sources[:1]), tmp_path / "other")


def test_an_npm_archive_is_read_in_place(tmp_path: Path, payloads: dict[str, bytes]) -> None:
    place(tmp_path / "package" / "data", payloads)
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as archive:
        archive.add(tmp_path / "package", "package")
    found = make_entry(payloads, [])
    opener = acquiring._from_tar(tmp_path / "a.tgz", "package/data")
    with opener(found.files.test_images) as stream:
        assert stream.read() == payloads["test-images"]
    with pytest.raises(SourceFailed, match="gives no"):
        acquiring._from_tar(tmp_path / "a.tgz", "elsewhere")(found.files.test_images)
    (tmp_path / "b.tgz").write_bytes(b"no archive")
    with pytest.raises(SourceFailed, match="gives no"):
        acquiring._from_tar(tmp_path / "b.tgz", "package/data")(found.files.test_images)


def test_https_never_falls_back_to_http(tmp_path: Path, payloads: dict[str, bytes], mirror) -> None:  # type: ignore[no-untyped-def]
    server, handler = mirror
    handler.redirect = "http://localhost:1"
    source = {"kind": "https", "base": f"https://localhost:{server.server_port}/d"}
    with pytest.raises(FittingroomError, match="redirects to http, which is not https"):
        acquire(make_entry(payloads, [source]), tmp_path / "home")
    with pytest.raises(FittingroomError, match="must begin with https://"):
        make_entry(payloads, [{"kind": "https", "base": "http://localhost/d"}])


def test_an_untrusted_certificate_or_a_missing_file_is_a_reason_not_a_crash(
    tmp_path: Path,
    payloads: dict[str, bytes],
    mirror,
    monkeypatch: pytest.MonkeyPatch,  # type: ignore[no-untyped-def]
) -> None:
    base = f"https://localhost:{mirror[0].server_port}"
    with pytest.raises(FittingroomError, match="Not Found"):
        acquire(make_entry(payloads, [{"kind": "https", "base": base + "/absent"}]), tmp_path / "home")
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(FittingroomError, match="(?i)certificate"):
        acquire(make_entry(payloads, [{"kind": "https", "base": base + "/d"}]), tmp_path / "home")


def test_a_client_that_is_missing_or_fails_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceFailed, match="no-such-client is not installed"):
        acquiring._run(["no-such-client"], tmp_path)
    with pytest.raises(SourceFailed, match="failed"):
        acquiring._run(["false"], tmp_path)


def test_several_processes_fetch_once(tmp_path: Path, payloads: dict[str, bytes]) -> None:
    source = place(tmp_path / "system", payloads)
    entry_file = tmp_path / "home/datasets/tiny.toml"
    entry_file.parent.mkdir(parents=True)
    found = make_entry(payloads, [{"kind": "folder", "path": str(source)}])
    entry_file.write_text(tomli_w.dumps(found.model_dump(mode="json", exclude_none=True)))
    command = [sys.executable, "-m", "fittingroom", "data", "get", "tiny", "--home", str(tmp_path / "home")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate()[0] for process in processes]
    assert all(process.returncode == 0 for process in processes)
    assert sum("verified, from" in text for text in said) == 1


def test_the_real_files_are_the_ones_of_the_authors() -> None:
    """The catalog's hashes, repeated here on purpose: a changed TOML must not go unnoticed."""
    expected = {"fashion-mnist": "c59f468a2f672dc8", "mnist": "ba891046e6505d7a"}
    for name, start in expected.items():
        data = load(name)
        assert data.train.images_NCHW.shape == (60_000, 1, 28, 28) and data.test.n == 10_000
        assert entry(name, data.home_dir).files.train_images.sha256.startswith(start)
        assert np.bincount(data.train.labels_N, minlength=10).min() > 5_000


def test_a_private_data_set_needs_a_toml_and_no_code(tmp_path: Path, payloads: dict[str, bytes]) -> None:
    source = place(tmp_path / "mine", payloads)
    tree = make_entry(payloads, [{"kind": "folder", "path": str(source)}]).model_dump(mode="json", exclude_none=True)
    (tmp_path / "home/datasets").mkdir(parents=True)
    (tmp_path / "home/datasets/tiny.toml").write_text(tomli_w.dumps(tree))
    data = load("tiny", tmp_path / "home")
    assert len(data.train) == 50 and data.test.n == 20
    with pytest.raises(FittingroomError, match='unknown data set "tinny"; nearest: "tiny"'):
        load("tinny", tmp_path / "home")


def test_a_name_in_a_catalog_cannot_leave_the_cache() -> None:
    with pytest.raises(FittingroomError, match="files.train_images.name"):
        parse(DatasetEntry, {"files": {"train_images": {"name": "../../etc/passwd"}}}, "test", "nowhere")
    assert FileEntry(name="a.b-c", size_bytes=1, sha256="0" * 64)
    assert HttpsSource(kind="https", base="https://x").gzipped
