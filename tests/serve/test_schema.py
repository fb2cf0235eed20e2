"""Schemathesis makes up requests from our own OpenAPI document: nothing may fail, and all must be as it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from serve.asking import MODEL, Server
from waiting import PATIENCE_S


@pytest.mark.slow
@pytest.mark.parametrize("name", [MODEL, None], ids=["our model", "models of any name"])
def test_whatever_is_asked_is_answered_as_described(server: Server, tmp_path: Path, name: str | None) -> None:
    known = f'[parameters]\n"path.name" = "{name}"\n' if name else ""  # which nobody would guess
    (tmp_path / "schemathesis.toml").write_text(known)
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"http://{server.name}/openapi.json"]
    command += ["--generation-deterministic", "--max-examples", "30", "--no-color"]
    command += ["--exclude-checks", "positive_data_acceptance"]  # a schema cannot say what a picture is
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0 and "8 selected / 8 total" in done.stdout and "Tested: 8" in done.stdout, done.stdout
    assert server.metric("fittingroom_requests_total", status="500") == 0
    assert server.metric("fittingroom_requests_total") > 300
    if name:
        for path in ("/v2/models/{name}", "/v2/models/{name}/ready", "/v2", "/metrics"):
            assert server.metric("fittingroom_requests_total", path=path, status="200") > 0
