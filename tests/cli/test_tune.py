"""`fittingroom tune` as a user meets it: from a recipe to a tuned one, messages for mistakes, a dashboard for oneself."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from listening import listens_on
from refusing import refused
from waiting import PATIENCE_S

from fittingroom.data import Dataset
from fittingroom.questions import tune as room
from fittingroom.spec.read import read_recipe
from fittingroom.spec.space import parse_space
from fittingroom.store import Runs
from fittingroom.study.launch import InThisProcess

Command = Callable[..., subprocess.CompletedProcess[str]]
SMALL = ("data.limit=600", "train.epochs=2", "train.precision=fp32")


@pytest.mark.slow
@pytest.mark.main_job
def test_from_a_recipe_to_a_tuned_one_that_trains(command: Command, fashion: Dataset, tmp_path: Path) -> None:
    """The start is a poor point of the recipe's own space, so that there is something to gain."""
    start = (*SMALL, "optimizer.lr=1e-4")
    words = ("tune", "readme-004-mlp", *start, "--trials", "4", "--batch", "4", "--seeds", "2", "--at-once", "1")
    done = command(*words, "--json")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    found = json.loads(done.stdout)
    name = "readme-004-mlp-fashion-mnist"
    assert found["search"] == name and found["objectives"] == ["accuracy"] and found["front"] == []
    assert [t["state"] for t in found["trials"]] == ["complete"] * 4
    assert found["trials"][0]["params"]["optimizer.lr"] == 1e-4 and found["best"]["number"] != 0
    assert found["best"]["values"] == max(t["values"] for t in found["trials"])
    assert sum(found["importance"].values()) == pytest.approx(1) and len(found["fresh_validation"]) == 2
    rows = {row["recipe"]: row for row in found["comparison"]["rows"]}
    assert set(rows) == {"readme-004-mlp tuned", "readme-004-mlp"}
    assert all(row["seeds"] == [1, 2] for row in rows.values())  # fresh: the search had seed 0
    runs = Runs(tmp_path / "runs")
    assert runs.test_reads() == {"fashion-mnist": 4} and len(runs.study(f"tune-{name}").runs) == 4
    assert not any(one.metrics.test for one in runs.list() if one.seed == 0)

    page = (tmp_path / found["report"]).read_text()
    assert "What tuning gained: readme-004-mlp on Fashion-MNIST" in page and found["comparison"]["sentences"][0] in page
    (link,) = re.findall('href="([^"]+)"', page)
    assert (tmp_path / "runs" / link).exists()

    tuned, recipe = read_recipe(tmp_path / found["recipe_file"]), read_recipe("readme-004-mlp", list(start))
    asked = room.Search(recipe, parse_space(recipe.space, ""), fashion)
    assert tuned.name == "readme-004-mlp tuned" and tuned.data == recipe.data
    assert tuned.deciding() == asked.recipe_of(found["best"]["params"]).deciding() != recipe.deciding()
    trained = json.loads(command("train", found["recipe_file"], "--seed", "9", "--no-test", "--json").stdout)
    assert trained["done"] and trained["recipe"] == "readme-004-mlp tuned" and trained["val_accuracy"] > 0.3


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "name one recipe to tune; see: fittingroom recipes"),
        (["readme-004-mlp", "readme-004-cnn"], "name one recipe to tune"),
        (["readme-004-mpl"], 'unknown recipe "readme-004-mpl"; nearest: "readme-004-mlp"'),
        (["fast-fashion"], 'fast-fashion has no search space; give one, for example "optimizer.lr=log(1e-4,1e-1)", or --space FILE'),
        (["readme-004-mlp", "--pruner", "medain"], 'unknown pruner "medain"; nearest: "median"'),
        (["readme-004-mlp", "--objective", "acuracy"], 'unknown metric "acuracy"; nearest: "accuracy"'),
        (["readme-004-mlp", "--objective", "accuracy", "--objective", "flop"], 'unknown objective "flop"; nearest: "flops"'),
        (["readme-004-mlp", "--objective", "accuracy", "--objective", "flops", "--pruner", "asha"], "leave --pruner away"),
        (["readme-004-mlp", "optimizer.lr=log(0, 1)"], "the command's spaces: 1 fault optimizer.lr: log(0, 1) must rise"),
        (["readme-004-mlp", "optimizer.lrr=log(1, 2)"], 'optimizer.lrr: no such key; nearest: "lr"'),
        (["readme-004-mlp", "data.val_fraction=0"], "a search selects on validation images; hold some out"),
        (["readme-004-mlp", "--space", "absent.toml"], "no such file: absent.toml"),
        (["readme-004-mlp", "--space", "cut.toml"], "cut.toml is not TOML"),
        (["readme-004-mlp", "--space", "bad.toml"], 'bad.toml: 2 faults a: give the space as text, for example "log(1e-4, 1e-1)" b: "x" is no'),
        (["readme-004-mlp", "--space", "empty.toml"], "readme-004-mlp has no search space; give one"),
        (["readme-004-mlp", "--resume"], 'unknown search "readme-004-mlp-fashion-mnist"'),
        (["readme-004-mlp", "--from", "another"], 'unknown search "another"'),
        (["readme-004-mlp", "--trials", "0"], "--trials"),
        (["readme-004-mlp", "--launcher", "slurm"], 'unknown launcher "slurm"'),
        (["--dashboard"], "there is no search in runs/tuning/searches.journal yet; fittingroom tune RECIPE makes one"),
    ],
)  # fmt: skip
def test_mistakes_get_one_clear_message(words: list[str], text: str, here: Command, tmp_path: Path) -> None:
    (tmp_path / "cut.toml").write_text("[space\n")
    (tmp_path / "bad.toml").write_text('a = 3\nb = "x"\n')
    (tmp_path / "empty.toml").write_text("")
    assert text in refused(here("tune", *words))
    journal = tmp_path / "runs/tuning/searches.journal"
    assert not journal.exists() or room.names(room.open_storage(journal)) == []  # the right command can come next


def test_a_space_from_a_file_stands_in_for_the_recipes_own(here: Command, fashion: Dataset, tmp_path: Path) -> None:
    text = "choice(50, 60)"
    (tmp_path / "table.toml").write_text(f'[space]\n"train.batch_size" = "{text}"\n')
    (tmp_path / "top.toml").write_text(f'"train.batch_size" = "{text}"\n')
    recipe, space = read_recipe("readme-004-mlp", list(SMALL)), parse_space({"train.batch_size": text}, "")
    storage = room.open_storage(tmp_path / "j")
    for name in ("table", "top"):
        words = ("tune", "readme-004-mlp", *SMALL, "--space", f"{name}.toml", "--minutes", "0", "--device", "cpu")
        done = here(*words, "--name", name, "--storage", "j", "--batch", "3", "--seed", "5", "--at-once", "1")
        assert done.returncode == 2 and "error: no trial was completed" in done.stderr  # there was no time for one
        search = room.Search(recipe, space, fashion, batch=3, seed=5)
        study = room.open_study(search, storage, name, resume=True)  # it is the search that was asked for
        room.run_search(search, study, Runs(tmp_path / "runs"), InThisProcess(), trials=3)
        tried = room.facts(search, study)
        assert [set(t.params) for t in tried] == [{"train.batch_size"}] * 3
        assert {t.params["train.batch_size"] for t in tried} <= {50, 60}
    assert {one.seed for one in Runs(tmp_path / "runs").list() if one.done} == {5}


def test_a_name_that_is_there_needs_resume(here: Command, fashion: Dataset, tmp_path: Path) -> None:
    recipe = read_recipe("readme-004-mlp", list(SMALL))
    storage = room.open_storage(room.journal(Runs(tmp_path / "runs")))
    search = room.Search(recipe, parse_space(recipe.space, ""), fashion)
    name = "readme-004-mlp-fashion-mnist"
    room.open_study(search, storage, name, resume=False)
    words = ("tune", "readme-004-mlp", *SMALL, "--minutes", "0", "--device", "cpu", "--at-once", "1")
    there = f'there is a search "{name}" already; --resume goes on with it, --name gives this one'
    assert there in refused(here(*words))
    assert "no trial was completed" in here(*words, "--resume").stderr
    assert "no trial was completed" in here(*words, "--name", "another").stderr
    assert f'the search "{name}" is about another recipe' in here(*words, "train.epochs=3", "--resume").stderr
    assert room.names(storage) == ["another", name]


def test_two_spaces_at_once_are_refused_rather_than_one_forgotten(here: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('"train.batch_size" = "choice(50, 60)"\n')
    words = ["tune", "readme-004-mlp", *SMALL, "--minutes", "0", "--json", "--at-once", "1"]
    assert "space" in refused(here(*words, "optimizer.lr=log(1e-5, 1e-2)", "--space", "mine.toml"))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="looks at /proc for what listens")
def test_the_dashboard_shows_the_searches_to_this_machine_only(tmp_path: Path) -> None:
    storage = room.open_storage(room.journal(Runs(tmp_path / "runs")))
    study = optuna.create_study(study_name="mine & <b>yours</b>", storage=storage)
    study.add_trial(optuna.create_trial(value=0.5))
    command = [sys.executable, "-m", "fittingroom", "tune", "--dashboard", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        late = threading.Timer(PATIENCE_S, process.kill)
        late.start()
        line = process.stdout.readline()
        late.cancel()
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
        assert found, line + process.stderr.read()
        port = int(found[1])
        listens = listens_on(process.pid)
        with urllib.request.urlopen(f"{found[0]}api/studies", timeout=PATIENCE_S) as answer:
            studies = json.load(answer)
        process.send_signal(signal.SIGINT)
        stopped = process.stderr.read()
    assert listens == {("127.0.0.1", port)}
    assert "mine & <b>yours</b>" in [one["study_name"] for one in studies["study_summaries"]]
    assert process.returncode == 130 and "Traceback" not in stopped
