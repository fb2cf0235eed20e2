"""The pages over HTTP, without a browser: what a client sends that no page of ours would."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from serve.asking import until
from ui.asking import asked

from fittingroom.store import Runs
from fittingroom.ui.jobs import Job


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


def left(runs: Runs, words: list[str], code: str = "130", log: str = "") -> str:
    """A job that has ended, as a server before us has left it: its id."""
    folder, name = runs.path / "jobs", secrets.token_hex(6)
    folder.mkdir(parents=True, exist_ok=True)
    job = Job(id=name, words=("fittingroom", *words), title="before", pid=0, born="", started=1000.0)
    (folder / f"{name}.json").write_text(job.model_dump_json())
    (folder / f"{name}.code").write_text(code)
    (folder / f"{name}.log").write_text(log)
    return name


def test_a_stopped_comparison_goes_on_by_its_own_words(client: httpx.Client, tmp_path: Path) -> None:
    """A real one: given again, it trains what is missing, and shows how far it is."""
    runs = Runs(tmp_path / "runs")
    words = ["compare", "readme-004-mlp", "readme-004-cnn", "train.epochs=1", "data.limit=600"]
    name = left(runs, [*words, "--data", "mnist", "--seeds", "1", "--runs", "/nowhere"])
    assert "Go on" in client.get(f"/jobs/{name}").text
    reply = client.post(f"/jobs/{name}/again")
    assert reply.status_code == 303
    place = reply.headers["location"]
    page = client.get(place).text
    assert f"--runs {runs.path}" in page and "/nowhere" not in page
    until(lambda: "The verdict" in client.get(place).text)
    assert "2 of 2 runs trained" in client.get(place).text and all(run.done for run in runs.list())
    assert "Go on" not in client.get(place).text and client.post(f"{place}/again").status_code == 400


@pytest.mark.parametrize(
    "words",
    [
        ["compare", "/tmp/mine.toml"],
        ["compare", "readme-004-mlp", "model.kind=python", "model.target=os:abort"],
        ["compare", "readme-004-mlp", "--data", "/etc"],
        ["compare", "readme-004-mlp", "--launcher", "ray=evil"],
        ["compare", "readme-004-mlp", "data.exclude=/etc/passwd"],
        ["runs", "--delete", "--yes", "x"],
        ["train"],
    ],
)
def test_words_that_no_form_of_ours_made_are_not_given(client: httpx.Client, tmp_path: Path, words: list[str]) -> None:
    """A file in RUNS/jobs may have come with a folder from elsewhere; a click must not run what it says."""
    name = left(Runs(tmp_path / "runs"), words)
    assert "Go on" not in client.get(f"/jobs/{name}").text
    assert client.post(f"/jobs/{name}/again").status_code == 400
    assert len(list((tmp_path / "runs" / "jobs").glob("*.json"))) == 1
