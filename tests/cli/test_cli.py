"""The command as a user meets it: fast help, the main job, one JSON object, messages instead of tracebacks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from refusing import refused
from waiting import PATIENCE_S, until

from fittingroom.store import Runs

Command = Callable[..., subprocess.CompletedProcess[str]]
SMALL = ("train.epochs=2", "data.limit=600")


def test_help_is_there_without_torch() -> None:
    heavy = "{'torch', 'numpy', 'scipy', 'altair', 'pydantic'} & set(sys.modules)"
    script = f"import sys, atexit; atexit.register(lambda: print('heavy:', sorted({heavy}))); sys.argv = ['fittingroom', '--help']\n"
    script += "from fittingroom.__main__ import run; run()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "compare" in done.stdout and "heavy: []" in done.stdout


@pytest.mark.slow
@pytest.mark.main_job
def test_the_main_job(command: Command, tmp_path: Path) -> None:
    """Compare two recipes on real data; a second call answers from the finished runs; the report is there."""
    words = ("compare", "readme-004-mlp", "readme-004-cnn", *SMALL, "--data", "fashion-mnist", "--seeds", "2")
    first = command(*words)
    assert first.returncode == 0, first.stderr
    assert "verdict: " in first.stdout and "95 % interval" in first.stdout
    report = first.stdout.strip().splitlines()[-1].removeprefix("report: ")
    assert (
        report.startswith("runs/readme-004-mlp-readme-004-cnn-fashion-mnist-2-seeds-") and (tmp_path / report).exists()
    )
    assert "4 of 4 runs" in first.stderr
    second = command(*words, "--json")
    found = json.loads(second.stdout)
    assert second.stderr == "" and len(Runs(tmp_path / "runs").list()) == 4
    assert found["comparisons"][0]["rows"][0]["seeds"] == [0, 1] and found["test_reads"] == {"fashion-mnist": 4}
    assert found["comparisons"][0]["verdict"] in " ".join(first.stdout.split())


@pytest.mark.slow
@pytest.mark.main_job
def test_train_prints_json_with_the_accuracy_as_a_fraction(command: Command, tmp_path: Path) -> None:
    done = command("train", "readme-004-mlp", *SMALL, "--json")
    found = json.loads(done.stdout)
    assert 0.3 < found["test_accuracy"] < 1 and found["done"] and Path(tmp_path, found["run"], "DONE").exists()
    assert done.stderr == ""
    again = command("train", "readme-004-mlp", *SMALL)
    assert "finished already" in again.stderr and "test accuracy" in again.stdout
    listed = command("runs")
    assert "readme-004-mlp_fashion-mnist_s0" in listed.stdout and "has been read 1 time in" in listed.stdout


@pytest.mark.slow
def test_bench_tells_speed_as_a_share_of_the_ceiling(command: Command) -> None:
    found = json.loads(command("bench", "readme-004-mlp", "data.limit=2000", "--json").stdout)
    (one,) = found["speeds"]
    assert one["share"] == pytest.approx(one["flops_per_s"] / found["ceiling"][one["precision"]])
    assert one["flops_per_s"] == pytest.approx(
        one["images_per_s"] * 3 * 217_876, rel=0.02
    )  # two a weight, three passes
    assert 0 < one["overhead_s"] < 1 and one["peak_memory_bytes"] > 1e8


def test_no_test_never_reads_it(here: Command, tmp_path: Path) -> None:
    done = here("train", "readme-004-mlp", *SMALL, "--no-test", "--json")
    assert json.loads(done.stdout)["test_accuracy"] is None and not (tmp_path / "runs/test_reads.jsonl").exists()


def started(tmp_path: Path, *words: str, says: str) -> subprocess.Popen[str]:
    """A real process in a session of its own, whose standard error has just said `says`."""
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell's background job ignores it, and so would its child
    process = subprocess.Popen(
        [sys.executable, "-m", "fittingroom", *words],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    assert any(says in line for line in process.stderr), "it ended before"
    return process


def rest(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    with process:
        return process.stderr.read()


@pytest.mark.main_job
def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    words = ["train", "readme-004-mlp", "train.epochs=4000", "data.limit=3000"]
    process = started(tmp_path, *words, says="epoch    1/4000")
    until(lambda: any(file.read_bytes().count(b"\n") > 1 for file in tmp_path.glob("runs/*/epochs.jsonl")))
    os.killpg(process.pid, signal.SIGINT)
    said = rest(process)
    assert process.returncode == 130 and "Traceback" not in said
    assert "epochs are saved" in said and f"fittingroom {' '.join(words)} --resume" in said
    run = Runs(tmp_path / "runs").list()[0]
    assert not run.done and 2 <= len(run.epochs) < 4000


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("after_s", [0.5, 0.9, 1.4])
def test_it_can_be_stopped_while_it_is_loaded(tmp_path: Path, number: int, after_s: float) -> None:
    """Libraries that are being loaded may swallow an interruption; it ends all the same, with no traceback."""
    command = [sys.executable, "-m", "fittingroom", "train", "readme-004-mlp", "train.epochs=4000"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with suppress(subprocess.TimeoutExpired):
        process.wait(after_s)
    process.send_signal(number)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + number and "Traceback" not in said


@pytest.mark.slow
@pytest.mark.main_job
def test_stopping_a_study_stops_its_workers(tmp_path: Path) -> None:
    words = ["compare", "readme-004-mlp", "train.epochs=4000", "data.limit=3000", "--seeds", "2"]
    process = started(tmp_path, *words, says="finished, 2 to train")
    until(lambda: list(tmp_path.glob("runs/*/epochs.jsonl")))  # before that, a worker may be half born
    process.send_signal(signal.SIGTERM)
    said = rest(process)  # ends when the last of its workers has closed its end of the pipe
    assert process.returncode == 143 and "finished runs are saved" in said and "Traceback" not in said


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["train", "readme-004-mpl"], 'unknown recipe "readme-004-mpl"; nearest: "readme-004-mlp"'),
        (["train", "readme-004-mlp", "optimizer.lr=-1", "train.epoch=3"], 'optimizer.lr: -1 must be > 0 train.epoch: no such key; nearest: "epochs"'),
        (["train", "readme-004-mlp", "epochs"], "is not key=value"),
        (["train", "absent.toml"], "no such file: absent.toml"),
        (["train", "empty.toml"], "model: missing"),
        (["train", "cut.toml"], "is not TOML"),
        (["train", "readme-004-mlp", "--data", "fashoin-mnist"], 'unknown data set "fashoin-mnist"; nearest: "fashion-mnist"'),
        (["train", "readme-004-mlp", "--device", "tpu"], 'unknown device "tpu"; it is one of: auto, cpu, cuda, mps'),
        (["train", "readme-004-mlp", "--resume"], "nothing to resume"),
        (["train", "readme-004-mlp", "--resume", "--fresh"], "give one of them"),
        (["train", "readme-004-mlp", "--runs", "empty.toml/runs"], "is a file, not a folder"),
        (["train", "readme-004-mlp", "--seed", "x"], "should be a valid integer"),
        (["train", "readme-004-mlp", "--sede", "1"], "No such option"),
        (["trian"], "No such command"),
        (["compare", "train.epochs=1"], "name at least one recipe"),
        (["compare", "readme-004-mlp", "readme-004-mlp"], 'two recipes are called "readme-004-mlp"'),
        (["compare", "study.toml", "readme-004-mlp"], "give it alone"),
        (["compare", "bad-study.toml"], "seeds: 0 must be ≥ 1"),
        (["report", "nothing"], "unknown run"),
        (["runs", "--delete"], "say which runs to delete"),
        (["recipes", "fast-fasion"], 'nearest: "fast-fashion"'),
        (["data", "show", "mnits"], 'nearest: "mnist"'),
    ],
)  # fmt: skip
def test_mistakes_get_one_clear_message(words: list[str], text: str, here: Command, tmp_path: Path) -> None:
    (tmp_path / "empty.toml").write_text("")
    (tmp_path / "cut.toml").write_text("[model\nkind = ")
    (tmp_path / "study.toml").write_text('recipes = ["readme-004-mlp"]')
    (tmp_path / "bad-study.toml").write_text('recipes = ["readme-004-mlp"]\nseeds = 0')
    assert text in refused(here(*words))
    assert not (tmp_path / "runs").exists()  # nothing half-written


def test_no_permission_to_write(here: Command, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        words = ("train", "readme-004-mlp", *SMALL, "--runs", "/proc/runs")  # where even root may not write
    else:
        (tmp_path / "locked").mkdir(mode=0o500)
        words = ("train", "readme-004-mlp", *SMALL, "--runs", "locked/runs")
    done = here(*words)
    assert done.returncode == 2 and "Traceback" not in done.stderr and "cannot write" in done.stderr


@pytest.mark.slow
def test_a_missing_extra_is_named(tmp_path: Path, without_torch: str) -> None:
    script = without_torch + "sys.argv = ['fittingroom', *sys.argv[1:]]\nfrom fittingroom.__main__ import run; run()"
    for words in (["train", "readme-004-mlp"], ["compare", "readme-004-mlp"], ["models"]):
        done = subprocess.run([sys.executable, "-c", script, *words], cwd=tmp_path, capture_output=True, text=True)
        assert 'pip install "fittingroom[train]"' in refused(done)
    for words in (["recipes"], ["runs"], ["data", "list"]):
        done = subprocess.run([sys.executable, "-c", script, *words], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_studies_are_data(here: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(here("recipes", "readme-004-mlp").stdout)
    (tmp_path / "study.toml").write_text(
        'seeds = 1\ndata = ["fashion-mnist"]\n'
        'recipes = ["mine.toml", {recipe = "readme-004-mlp", set = ["optimizer.lr=0.01"], name = "faster"}]\n'
    )
    done = here("compare", "study.toml", *SMALL, "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["comparisons"][0]["rows"]
    assert {row["recipe"] for row in rows} == {"mine", "faster"}
    assert "studies: study (" in here("runs").stdout
    for name in ("study", "study.toml"):  # a study can be reported by its name, or by its file
        again = here("report", name, "--json")
        assert json.loads(again.stdout)["comparisons"] == json.loads(done.stdout)["comparisons"]


@pytest.mark.slow
def test_runs_are_listed_shown_and_deleted_only_on_a_yes(here: Command, tmp_path: Path) -> None:
    for seed in ("0", "1"):
        here("train", "readme-004-mlp", *SMALL, "--seed", seed, "--quiet")
    shown = here("runs", "_s1_", "--show")
    assert "test accuracy" in shown.stdout and 'kind = "sequential"' in shown.stdout
    assert len(json.loads(here("runs", "--json").stdout)["runs"]) == 2
    here("train", "readme-004-mlp", *SMALL, "optimizer.lr=0.01", "--quiet")
    torn = here("explain", "readme-004-mlp_fashion-mnist_s0")
    assert torn.returncode == 2 and "could be 2 runs" in torn.stderr and "optimizer.lr=0.01" in torn.stderr
    assert "optimizer.lr=0.01" in here("runs", "_s0_").stdout
    here(
        "runs",
        json.loads(here("runs", "_s0_", "--json").stdout)["runs"][0]["run"].split("/")[1],
        "--delete",
        "--yes",
    )
    no = here("runs", "_s1_", "--delete", input="n\n")
    assert no.returncode == 2 and "nothing was deleted" in no.stderr and len(Runs(tmp_path / "runs").list()) == 2
    (
        tmp_path
        / "runs"
        / json.loads(here("runs", "_s0_", "--json").stdout)["runs"][0]["run"].split("/")[1]
        / "metrics.json"
    ).write_text("{")
    assert "damaged" in here("runs").stdout  # and the other is still listed
    yes = here("runs", "_s1_", "--delete", "--yes")
    assert yes.returncode == 0 and [r.seed for r in Runs(tmp_path / "runs").list()] == [0]


def test_lists(here: Command) -> None:
    assert "readme-001-enhanced" in here("recipes").stdout
    assert "wide_resnet" in here("models").stdout and "cutmix" in here("augmentations").stdout
    assert "Fashion-MNIST" in here("data", "list").stdout
    assert json.loads(here("data", "get", "mnist", "--json").stdout)["name"] == "mnist"
    assert here("recipes", "fast-mnist").stdout.startswith("description")
    assert here("--version").stdout.strip()
