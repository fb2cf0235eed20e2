"""The pages over HTTP, without a browser: what a client sends that no page of ours would."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from trained import trained
from ui.asking import asked
from waiting import until

from fittingroom.store import Runs
from fittingroom.ui.jobs import Job
from fittingroom.ui.opaque import opaque


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of pages over an empty folder."""
    with asked(tmp_path / "runs") as found:
        yield found


@pytest.mark.parametrize("key", ["recipe", "with", "data"])
def test_no_path_of_a_client_is_opened(client: httpx.Client, tmp_path: Path, key: str) -> None:
    """The answer is the same when the file has gone, and nothing of it is shown."""
    secret = tmp_path / "secret.toml"
    secret.write_text("password hunter2")

    def asked_for() -> str:
        reply = client.post("/new", data={"recipe": "fast-mnist", key: str(secret)})
        assert reply.status_code == 400 and "there " in reply.text and "hunter2" not in reply.text
        return reply.text

    while_there = asked_for()
    secret.unlink()
    assert asked_for() == while_there
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


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """One finished run that was not exported, and nine links to it."""
    runs = Runs(tmp_path_factory.mktemp("runs"))
    run = trained(runs, "readme-004-mlp", "train.epochs=1", "data.limit=600")
    for i in range(9):
        shutil.copytree(run.path, runs.path / f"copy-{i}")
    return runs


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/?first=" + "9" * 30, 400),
        ("/?first=-1", 400),
        ("/?q=" + "a" * 60_000, 400),
        ("/?q=" + "a+" * 90, 200),
        ("/?sort=nothing", 200),
        ("/data/x?first=" + "9" * 30, 400),
        ("/compare?run=1&on=" + "9" * 5000, 404),
        ("/images?run=1&true=" + "9" * 5000, 400),
    ],
)
def test_no_address_is_an_error_of_ours(client: httpx.Client, path: str, status: int) -> None:
    assert client.get(path).status_code == status


@pytest.mark.parametrize(
    "form",
    [
        {"recipe": "fast-mnist", "seeds": "9" * 5000},
        {"recipe": "fast-mnist", "data.limit": "[" * 3000},
        {"recipe": "fast-mnist", "data.limit": "[" * 199},
        {"recipe": "fast-mnist", "exclude": "yes"},
    ],
)
def test_no_form_is_an_error_of_ours(client: httpx.Client, form: dict[str, str]) -> None:
    assert client.post("/new", data=form).status_code == 400


def test_no_decision_is_an_error_of_ours(client: httpx.Client) -> None:
    assert client.post("/data/x/decide", data={"row": "9" * 5000}).status_code == 400


def test_a_place_beyond_the_end_shows_the_end(finished: Runs) -> None:
    with asked(finished.path) as client:
        until(lambda: "of 10" in client.get("/").text)
        page = client.get("/?first=500").text
    assert "1 to 10 of 10" in page and "No runs yet" not in page


def test_what_cannot_be_tried_is_told_and_offered_to_be_exported(finished: Runs) -> None:
    """Asked for by id, however many runs are later; and no ninth model is left out without a word."""
    ids = [opaque(run.name) for run in finished.list()]
    with asked(finished.path) as client:
        until(lambda: "of 10" in client.get("/").text)
        page = client.get(f"/try?run={ids[3]}").text
        assert "Not to be tried yet" in page and f'action="/runs/{ids[3]}/export"' in page
        for run in finished.list():
            (run.path / "bundle").mkdir()
            (run.path / "bundle" / "bundle.json").write_text("{}")
        try:
            page = client.get("/try?" + "&".join(f"run={i}" for i in ids)).text
            assert "At most 8" in page and page.count(" checked") == 8
            said = client.post("/try", data={"run": ids}, files={"image": b"x"})
            assert said.status_code == 400 and "at most 8" in said.json()["error"]
        finally:
            for run in finished.list():
                shutil.rmtree(run.path / "bundle")


@pytest.mark.parametrize("path", ["/new", "/runs/x/resume", "/jobs/x/stop", "/jobs/x/again", "/data/x/decide", "/try"])
def test_pages_of_other_sites_can_ask_for_nothing(client: httpx.Client, path: str) -> None:
    for origin in ("http://evil.example", "null", "https://127.0.0.1.evil.example"):
        assert client.post(path, data={"recipe": "fast-mnist"}, headers={"origin": origin}).status_code == 403
    assert client.get("/", headers={"host": "evil.example"}).status_code == 403


@pytest.mark.parametrize("name", ["..%2f..%2fapp.py", "%2e%2e%2fapp.py", "%2fetc%2fpasswd", "style.css%00", "app.py"])
def test_no_address_is_a_path(client: httpx.Client, tmp_path: Path, name: str) -> None:
    """Whatever stands where an id belongs, is no path: there is no such thing."""
    (tmp_path / "runs" / "jobs").mkdir(parents=True)
    for kind in ("static", "runs", "jobs", "data"):
        reply = client.get(f"/{kind}/{name}")
        assert reply.status_code in (400, 404) and "import" not in reply.text and "root:" not in reply.text
    assert client.get(f"/compare?study={name}").status_code == 404
    assert client.get(f"/compare?run={name}").status_code == 404
