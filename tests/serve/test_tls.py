"""TLS by option: a real server, a real client that knows its certificate."""

from __future__ import annotations

import datetime
import ipaddress
import re
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from waiting import PATIENCE_S, until

from fittingroom.serve.settings import tls_of
from fittingroom.spec.errors import FittingroomError


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, and its key."""
    folder, key = tmp_path_factory.mktemp("tls"), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "here")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    plain = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    locked = serialization.BestAvailableEncryption(b"password")
    (folder / "locked.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, locked))
    return folder / "cert.pem", folder / "key.pem"


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_speaks_tls(bundle: Path, papers: tuple[Path, Path], tmp_path: Path, workers: int) -> None:
    certificate, key = papers
    words = [
        "serve",
        str(bundle),
        "--port",
        "0",
        "--tls-cert",
        certificate,
        "--tls-key",
        key,
        "--workers",
        str(workers),
    ]
    said = tmp_path / "said"
    with said.open("wb") as stderr:
        process = subprocess.Popen([sys.executable, "-m", "fittingroom", *map(str, words)], stderr=stderr)
    try:
        until(lambda: process.poll() is not None or "serving at" in said.read_text())
        address = re.search(r"serving at (https://127\.0\.0\.1:\d+) ", said.read_text())
        assert address, said.read_text()
        knows = ssl.create_default_context(cafile=str(certificate))
        with httpx.Client(base_url=address[1], verify=knows, timeout=PATIENCE_S, trust_env=False) as client:

            def ready() -> bool:
                try:
                    return client.get("/v2/health/ready").status_code == 200
                except httpx.TransportError:
                    return False

            until(ready)
            assert client.get("/v2").json()["name"] == "fittingroom"
        with pytest.raises(httpx.TransportError):  # who does not know the certificate, or speaks plainly
            httpx.get(f"{address[1]}/v2", trust_env=False)
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{address[1]}/v2".replace("https", "http"), trust_env=False)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)
    assert process.returncode == 0


def test_wrong_papers_are_told_before_anything_listens(papers: tuple[Path, Path], tmp_path: Path) -> None:
    certificate, key = papers
    assert tls_of(certificate, key) == (certificate, key) and tls_of(None, None) is None
    (tmp_path / "both.pem").write_bytes(certificate.read_bytes() + key.read_bytes())
    assert tls_of(tmp_path / "both.pem", None) == (tmp_path / "both.pem",) * 2
    (tmp_path / "noise.pem").write_bytes(b"noise")
    wrong = [
        (certificate, None),
        (tmp_path / "nothing.pem", key),
        (tmp_path / "noise.pem", key),
        (certificate, certificate.with_name("locked.pem")),
    ]
    for one, other in wrong:
        with pytest.raises(FittingroomError, match="give PEM files"):
            tls_of(one, other)
    with pytest.raises(FittingroomError, match="goes with --tls-cert"):
        tls_of(None, key)
