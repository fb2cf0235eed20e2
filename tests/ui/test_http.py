"""The pages over HTTP, without a browser: what a client sends that no page of ours would."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from serve.asking import app_in_a_thread

from fittingroom.data.catalog import home
from fittingroom.store import Runs
from fittingroom.ui.app import create_ui


@contextmanager
def asked(runs: Path) -> Iterator[httpx.Client]:
    """A client of the pages over a folder."""
    with (
        app_in_a_thread(create_ui(Runs(runs), home()), "on") as server,
        httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=60, trust_env=False) as client,
    ):
        yield client


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of pages over an empty folder."""
    with asked(tmp_path / "runs") as found:
        yield found


@pytest.mark.parametrize("key", ["recipe", "with", "data"])
def test_no_path_of_a_client_is_opened(client: httpx.Client, tmp_path: Path, key: str) -> None:
    """A file that is there and one that is not are answered alike, and nothing of a file is shown."""
    secret = tmp_path / "secret.toml"
    secret.write_text("password hunter2")
    replies = []
    for path in (secret, tmp_path / "absent.toml"):
        reply = client.post("/new", data={"recipe": "fast-mnist", key: str(path)})
        assert reply.status_code == 400 and "there " in reply.text and "hunter2" not in reply.text
        replies.append(reply.text.replace(path.name, ""))
    assert replies[0] == replies[1]
    assert not (tmp_path / "runs" / "jobs").exists()
