"""The pages over HTTP, without a browser: what a client sends that no page of ours would."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from trained import resealed, trained
from ui.asking import asked
from ui.recorded import begun, epoch, left
from waiting import until

from fittingroom.data import load
from fittingroom.store import RunFolder, Runs, Study
from fittingroom.store.collected import Collected
from fittingroom.store.events import Answered, Event, Failed, Planned, RunEnded, StudyWritten
from fittingroom.ui.again import FIRST_ANSWER, RECORDED
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
    assert not (tmp_path / "runs" / "commands").exists()


@pytest.mark.slow
def test_a_stopped_comparison_goes_on_by_its_own_words(client: httpx.Client, tmp_path: Path) -> None:
    """A real one: given again, it trains what is missing, and shows how far it is."""
    runs = Runs(tmp_path / "runs")
    words = ["compare", "readme-004-mlp", "readme-004-cnn", "train.epochs=1", "data.limit=600"]
    words += ["--data", "mnist", "--seeds", "1", "--runs", "/nowhere"]
    faulty = left(runs, words, Failed(message="x", faults={"optimizer.lr": "x"}), code="2")
    assert "Go on" not in client.get(f"/commands/{faulty.id}").text
    stopped = left(runs, words, code="130")
    assert "Go on" in client.get(f"/commands/{stopped.id}").text
    reply = client.post(f"/commands/{stopped.id}/again")
    assert reply.status_code == 303
    place = reply.headers["location"]
    page = client.get(place).text
    assert f"--runs {runs.path}" in page and "/nowhere" not in page
    until(lambda: "The verdict" in client.get(place).text)  # needs events from the command line
    assert "2 of 2 runs finished" in client.get(place).text and all(run.done for run in runs.list())
    until(lambda: "running" not in client.get(place).text)
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
        ["best", "/etc"],
        ["best", "mnist", "--site", "/tmp/x"],
        ["best"],
    ],
)
def test_words_that_no_form_of_ours_made_are_not_given(client: httpx.Client, tmp_path: Path, words: list[str]) -> None:
    """A file in RUNS/commands may have come with a folder from elsewhere; a click must not run what it says."""
    command = left(Runs(tmp_path / "runs"), words, code="130")
    assert "Go on" not in client.get(f"/commands/{command.id}").text
    assert client.post(f"/commands/{command.id}/again").status_code == 400
    assert len(list((tmp_path / "runs" / "commands").glob("*.json"))) == 1


def test_the_question_for_pictures_of_ones_own(tmp_path: Path) -> None:
    """Asked by the form, stopped, and gone on with by its own words; of collected pictures, too."""
    pictures, own_home = tmp_path / "cups", tmp_path / "home"
    for label in ("full", "empty"):
        (pictures / label).mkdir(parents=True)
        for i in range(9):
            noise = np.random.default_rng([len(label), i]).integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(noise).save(pictures / label / f"{i}.png")
    load(str(pictures), own_home)
    with asked(tmp_path / "runs", own_home) as client:
        assert ">cups</option>" in client.get("/new").text
        reply = client.post("/new/best", data={"data": "cupz", "group": "a\nb"})
        assert reply.status_code == 400 and "nearest: &#39;cups&#39;" in reply.text and "of one line" in reply.text
        place = client.post("/new/best", data={"data": "cups", "group": "re:(.)"}).headers["location"]
        client.post(f"{place}/stop")
        until(lambda: "Go on" in client.get(place).text)
        assert "best cups &#39;data.group=re:(.)&#39; --runs" in client.get(place).text
        collected = Collected(own_home).path("mugs")
        collected.mkdir(parents=True)
        words = ["best", str(collected), *RECORDED, *FIRST_ANSWER]
        stopped = left(Runs(tmp_path / "runs"), words, code="130")
        assert "Go on" in client.get(f"/commands/{stopped.id}").text


def test_figures_alone_and_a_margin_of_ones_own(client: httpx.Client, tmp_path: Path) -> None:
    """What is typed is read as figures, never as the name of a file."""
    assert 'href="/claims"' in client.get("/new").text
    page = client.get("/claims", params={"figures": "CNN 92.68 vs MLP 91.65 on 10,000"})
    assert page.status_code == 200 and "the figures support it" in page.text
    several = client.get("/claims", params={"figures": "<img A 95, B 94, C 93 on mnist"}).text
    assert "Of 2 orders" in several and "&lt;img A 95 %" in several
    secret = tmp_path / "secret.toml"
    secret.write_text('[[claims]]\nfigures = "hidden 95 vs 94 on 100"\n')
    for text, fault in ((str(secret), "names no test set"), ("95 vs 94 on mnst", "nearest: &#34;mnist&#34;")):
        reply = client.get("/claims", params={"figures": text})
        assert reply.status_code == 400 and fault in reply.text and "hidden" not in reply.text


def test_a_command_shows_what_its_events_say(client: httpx.Client, tmp_path: Path) -> None:
    """How far it is while it runs; its answer, or why there is none, when it has ended. Nothing of it is taken from its log."""
    runs, words = Runs(tmp_path / "runs"), ["compare", "a", "b"]
    far = [
        Planned(runs=4, finished=1),
        begun("a_s0"),
        epoch("a_s0", 1),
        RunEnded(run="a_s0", finished=True),
        begun("b_s0"),
    ]
    log = "6 runs: 2 finished, 4 to train\nstudy: from-a-log\n"

    def shown(*told: Event, code: str = "", running: bool = False) -> str:
        command = left(runs, words, *told, log=log, code=code, running=running)
        return client.get(f"/commands/{command.id}").text

    page = shown(*far, running=True)
    assert "2 of 4 runs finished" in page and "left" in page and "Stop" in page and "The verdict" not in page
    assert "given up" not in page and "1 given up" in shown(*far, RunEnded(run="b_s0", finished=False), running=True)
    runs.write_study("a-b", Study(runs=()))
    answer = Answered(
        question="compare", subject="a-b", sentences=("<b>a</b> is best", *["more"] * 20), files=("a-b.html",)
    )
    page = shown(*far, StudyWritten(name="a-b"), answer, code="0")
    assert f"/compare?study={opaque('a-b')}" in page and "&lt;b&gt;a&lt;/b&gt; is best" in page and "a-b.html" in page
    assert page.count("<li>more</li>") == 11 and "9 more are in the output" in page
    page = shown(
        Failed(message="a.toml: 1 fault\n  train.epochs: <0> must be > 0", faults={"train.epochs": "x"}), code="2"
    )
    assert "train.epochs: &lt;0&gt; must be" in page and 'role="alert"' in page
    assert "runs finished" not in shown(code="0") and "/compare?study=" not in shown(code="0")


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


def test_a_run_leads_to_the_command_that_trains_it(finished: Runs, tmp_path: Path) -> None:
    """It can be stopped there if it is about no other run."""
    runs = Runs(tmp_path / "runs")
    shutil.copytree(finished.path, runs.path)
    one, other, third, *_ = runs.list()
    alone = left(runs, ["train", "x"], Planned(runs=1, finished=0), begun(one.name), running=True)
    several = left(runs, ["compare", "x", "y"], Planned(runs=2, finished=0), begun(other.name), running=True)
    with asked(runs.path) as client:
        until(lambda: "of 10" in client.get("/").text)
        page = client.get(f"/runs/{opaque(one.name)}").text
        assert f'href="/commands/{alone.id}"' in page and f"/commands/{alone.id}/stop" in page
        page = client.get(f"/runs/{opaque(other.name)}").text
        assert f'href="/commands/{several.id}"' in page and "/stop" not in page
        assert "Its command" not in client.get(f"/runs/{opaque(third.name)}").text


def marked(run: RunFolder, **facts: object) -> None:
    """Write into what a run says of itself."""
    told = json.loads((run.path / "run.json").read_text()) | facts
    (run.path / "run.json").write_text(json.dumps(told))
    resealed(run)


def test_parts_of_studies_are_shown_when_asked_for(finished: Runs, tmp_path: Path) -> None:
    """They are counted, found by their words, and say on their own page what they belong to."""
    runs = Runs(tmp_path / "runs")
    shutil.copytree(finished.path, runs.path)
    one, other, *_ = runs.list()
    marked(one, part="fold 2 of 5", study="cv <mlp>")
    marked(other, part="trial", study="gone")
    runs.write_study("cv <mlp>", Study(runs=(one.name,)))
    with asked(runs.path) as client:
        until(lambda: "of 8" in client.get("/").text)
        page = client.get("/").text
        assert "with the parts of studies (2)" in page and "fold 2 of 5" not in page
        page = client.get("/?parts=1&sort=name").text
        assert "1 to 10 of 10" in page and "fold 2 of 5" in page and "without the parts" in page
        assert "/rows?" in page and "parts=1" in page and 'name="parts" value="1"' in page
        page = client.get("/?q=trial").text
        assert "only parts of studies" in page and "with the parts of studies (1)" in page
        page = client.get(f"/runs/{opaque(one.name)}").text
        assert "fold 2 of 5, part of" in page and "cv &lt;mlp&gt;</a>" in page
        link = f"/compare?study={opaque(runs.studies()[0])}"
        assert link in page and client.get(link).status_code == 200
        page = client.get(f"/runs/{opaque(other.name)}").text
        assert "trial, part of gone" in page and "/compare?study=" not in page


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


@pytest.mark.parametrize(
    "path", ["/new", "/runs/x/resume", "/commands/x/stop", "/commands/x/again", "/data/x/decide", "/try"]
)
def test_pages_of_other_sites_can_ask_for_nothing(client: httpx.Client, path: str) -> None:
    for origin in ("http://evil.example", "null", "https://127.0.0.1.evil.example"):
        assert client.post(path, data={"recipe": "fast-mnist"}, headers={"origin": origin}).status_code == 403
    assert client.get("/", headers={"host": "evil.example"}).status_code == 403


@pytest.mark.parametrize("name", ["..%2f..%2fapp.py", "%2e%2e%2fapp.py", "%2fetc%2fpasswd", "style.css%00", "app.py"])
def test_no_address_is_a_path(client: httpx.Client, tmp_path: Path, name: str) -> None:
    """Whatever stands where an id belongs, is no path: there is no such thing."""
    (tmp_path / "runs" / "commands").mkdir(parents=True)
    for kind in ("static", "runs", "commands", "data"):
        reply = client.get(f"/{kind}/{name}")
        assert reply.status_code in (400, 404) and "import" not in reply.text and "root:" not in reply.text
    assert client.get(f"/compare?study={name}").status_code == 404
    assert client.get(f"/compare?run={name}").status_code == 404
