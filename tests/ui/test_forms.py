"""The form and the jobs: the command that a person would type, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from waiting import until

from fittingroom.data.catalog import home
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.read import read_recipe, shipped_recipes
from fittingroom.spec.recipe import ShapeSpec
from fittingroom.store import Runs
from fittingroom.ui.forms import Wrong, fields, offered, read_form
from fittingroom.ui.jobs import Job, Jobs, Seen, born


def none(name: str, shape: ShapeSpec) -> Path:
    raise FittingroomError(f"nothing was decided about {name}")


def test_a_form_as_it_comes_is_the_plain_command() -> None:
    """Sent back untouched, no form changes its recipe."""
    for recipe in offered(home())[0]:
        form = {"recipe": [recipe.name], "seeds": ["1"], **{f.path: [f.value] for f in fields(recipe)}}
        assert read_form(form, home(), none).words == ("train", recipe.name)
    assert {r.name for r in offered(home())[0]} == set(shipped_recipes())


def test_what_was_changed_becomes_overrides() -> None:
    form = {"recipe": ["readme-004-cnn"], "train.epochs": ["3"], "optimizer.kind": ["adamw"], "data": ["mnist"]}
    assert read_form(form, home(), none).words == (
        "train", "readme-004-cnn", "train.epochs=3", "optimizer.kind=adamw", "--data", "mnist",
    )  # fmt: skip
    form |= {"with": ["readme-004-mlp", "readme-004-cnn"], "seeds": ["3"]}
    words = read_form(form, home(), none).words
    assert words[:3] == ("compare", "readme-004-cnn", "readme-004-mlp") and words[-2:] == ("--seeds", "3")
    words = read_form({"recipe": ["fast-mnist"], "with": ["readme-004-mlp"]}, home(), none).words
    assert words == ("compare", "fast-mnist", "readme-004-mlp", "--data", "mnist", "--seeds", "1")
    left_out = read_form(
        {"recipe": ["fast-mnist"], "exclude": ["yes"]}, home(), lambda name, shape: Path(f"{name}.csv")
    ).words
    assert "data.exclude=mnist.csv" in left_out


@pytest.mark.parametrize(
    ("form", "at", "text"),
    [
        ({"recipe": ["../etc"]}, "recipe", "no recipe"),
        ({}, "recipe", "choose a recipe"),
        ({"recipe": ["fast-mnist"], "data": ["/etc"]}, "data", "no data"),
        ({"recipe": ["fast-mnist"], "seeds": ["0"]}, "seeds", "from 1 to"),
        ({"recipe": ["fast-mnist"], "seeds": ["9" * 5000]}, "seeds", "from 1 to"),
        ({"recipe": ["fast-mnist"], "data.limit": ["[" * 3000]}, "data.limit", "at most 200"),
        ({"recipe": ["fast-mnist"], "exclude": ["yes"], "data": ["fashion-mnist"]}, "exclude", "about fashion-mnist"),
        ({"recipe": ["fast-mnist"], "optimizer.lr": ["-1"]}, "optimizer.lr", "must be > 0"),
        ({"recipe": ["fast-mnist"], "train.epochs": ["many"]}, "train.epochs", "valid integer"),
        ({"recipe": ["fast-mnist"], "optimizer.kind": ["--fresh"]}, "optimizer.kind", "must be"),
        ({"recipe": ["fast-mnist"], "data.limit": ["optimizer.lr: "]}, "data.limit", "valid integer"),
        ({"recipe": ["fast-mnist"], "data.val_fraction": ["0.0"], "train.patience": ["2"]}, "", "nothing to select on"),
    ],
)
def test_every_fault_is_told_at_its_field(form: dict[str, list[str]], at: str, text: str) -> None:
    with pytest.raises(Wrong) as wrong:
        read_form(form, home(), none)
    assert list(wrong.value.faults) == [at] and text in wrong.value.faults[at]
    assert not wrong.value.faults[at].startswith(f"{at}:")  # it stands there


def test_faults_of_several_fields_stand_at_their_own_and_every_field_says_what_it_means() -> None:
    form = {"recipe": ["readme-004-cnn"], "optimizer.lr": ["-1"], "train.ema": ["2"], "train.epochs": ["7"]}
    with pytest.raises(Wrong) as wrong:
        read_form(form, home(), none)
    shown = fields(read_recipe("readme-004-cnn"), {key: values[0] for key, values in form.items()}, wrong.value.faults)
    assert {f.path: f.fault for f in shown if f.fault} == {
        "optimizer.lr": "-1 must be > 0",
        "train.ema": "2 must be < 1",
    }
    assert [f.path for f in shown if not f.description or "`" in f.description] == []


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from([f.path for f in fields(read_recipe("fast-mnist"))]), st.lists(st.text(max_size=12), max_size=2), max_size=4))  # fmt: skip
def test_whatever_is_sent_is_a_command_or_refused(given_: dict[str, list[str]]) -> None:
    """No text of a form can become an option: all of it stands behind a field's path and an equals sign."""
    try:
        words = read_form({"recipe": ["fast-mnist"], **given_}, home(), none).words
    except Wrong as wrong:
        assert wrong.faults
        return
    assert words[:2] == ("train", "fast-mnist") and all(
        "=" in word and word.split("=")[0] in given_ for word in words[2:]
    )


@pytest.mark.slow
def test_a_job_is_started_seen_by_others_stopped_and_its_end_kept(tmp_path: Path) -> None:
    """A real training; a second `Jobs` (a new server) knows it; SIGTERM ends it after a whole epoch."""
    runs = Runs(tmp_path / "runs")
    jobs = Jobs(runs)
    job = jobs.start(
        ["train", "readme-004-mlp", "train.epochs=2000", "data.limit=1000", "--runs", str(runs.path)], "long"
    )
    other = Jobs(runs)
    until(lambda: bool(runs.list()) and len(runs.list()[0].epochs) > 2)
    seen = other.find(job.id)
    assert seen and seen.running and seen.run == runs.list()[0].name
    assert other.stop(job.id)
    until(lambda: not jobs.find(job.id).running)  # type: ignore[union-attr]
    ended = jobs.find(job.id)
    assert ended and ended.state == "stopped" and "--resume" in ended.log
    again = Jobs(runs).find(job.id)
    assert again and again.code == 130 and not other.stop(job.id)
    assert [s.job.id for s in other.list()] == [job.id]
    assert "fittingroom train readme-004-mlp train.epochs=2000" in ended.job.command


def test_exit_codes_are_kept_though_nobody_looks(tmp_path: Path) -> None:
    """A thread waits for each process: none stays a zombie, and a look later writes nothing."""
    jobs = Jobs(Runs(tmp_path))
    job = jobs.start(["train", "no-such-recipe"], "bad")
    kept = tmp_path / "jobs" / f"{job.id}.code"
    until(kept.exists)
    assert kept.read_text() == "2" and not Path(f"/proc/{job.pid}").exists()
    before = kept.stat().st_ino, kept.stat().st_mtime_ns
    seen = jobs.find(job.id)
    assert seen and seen.state == "failed" and (kept.stat().st_ino, kept.stat().st_mtime_ns) == before


def logged(jobs: Jobs, name: str, words: list[str], log: str, pid: int = 0, since: str = "") -> Seen:
    """A job as a server before us has left it."""
    jobs.folder.mkdir(exist_ok=True)
    job = Job(id=name, words=("fittingroom", *words), title=name, pid=pid, born=since, started=1000.0)
    (jobs.folder / f"{name}.json").write_text(job.model_dump_json())
    (jobs.folder / f"{name}.log").write_text(log)
    found = jobs.find(name)
    assert found
    return found


def test_a_job_knows_its_run_however_long_its_log(tmp_path: Path) -> None:
    jobs = Jobs(Runs(tmp_path))
    long = "run folder /r/mine_s0_abc\n" + "epoch   1/999  loss 0.1234  train acc 50.00 %\n" * 3000
    seen = logged(jobs, "0" * 12, ["train", "mine"], long)
    assert seen.run == "mine_s0_abc" and len(seen.log) < len(long) / 4
    assert logged(jobs, "1" * 12, ["export", "/r/mine_s0_abc"], "").run == "mine_s0_abc"


def test_a_comparison_says_how_far_it_is(tmp_path: Path) -> None:
    jobs, me = Jobs(Runs(tmp_path)), os.getpid()
    head = "MNIST: verified, from x\n6 runs: 2 finished, 4 to train, 2 at a time\n"
    lines = [f"{i} of 4 runs: a on mnist, seed {i}\n" for i in (1, 2, 3)]
    assert logged(jobs, "0" * 12, ["compare", "a", "b"], "").progress is None
    begun = logged(jobs, "1" * 12, ["compare", "a", "b"], head, me, born(me))
    assert begun.progress == (0, 4) and begun.left_s(1060.0) is None
    seen = logged(jobs, "2" * 12, ["compare", "a", "b"], head + "".join(lines), me, born(me))
    assert seen.progress == (3, 4) and seen.left_s(1060.0) == 20.0 and seen.running


def test_what_runs_is_found_behind_any_number_of_ended_jobs_and_damaged_ones(tmp_path: Path) -> None:
    jobs, me = Jobs(Runs(tmp_path)), os.getpid()
    logged(jobs, "a" * 12, ["train", "x"], "", me, born(me))
    for i in range(30):
        logged(jobs, f"{i:012x}", ["train", "x"], "")
    for i, text in enumerate(("", "[]", '{"id": 3}', "\0")):
        (jobs.folder / f"{'b' * 11}{i}.json").write_text(text)
    assert [seen.job.id for seen in jobs.running()] == ["a" * 12]
    assert len(jobs.list(5)) == 5 and jobs.list(5)[0].running and len(jobs.list(100)) == 31


def test_ids_of_jobs_are_no_paths(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "secret.json").write_text("{}")
    jobs = Jobs(Runs(tmp_path))
    for name in ("../secret", "%2e%2e/secret", "", "a" * 12, "/etc/passwd"):
        assert jobs.find(name) is None and not jobs.stop(name)


def test_a_number_that_another_process_has_got_is_not_stopped(tmp_path: Path) -> None:
    """A job whose process has ended is not confused with a stranger that has its number now."""
    jobs = Jobs(Runs(tmp_path))
    job = jobs.start(["--version"], "short")
    until(lambda: not jobs.find(job.id).running)  # type: ignore[union-attr]
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        text = (tmp_path / "jobs" / f"{job.id}.json").read_text()
        (tmp_path / "jobs" / f"{job.id}.json").write_text(text.replace(f'"pid": {job.pid}', f'"pid": {stranger.pid}'))
        assert not Jobs(Runs(tmp_path)).stop(job.id)
        assert stranger.poll() is None
        stranger.send_signal(signal.SIGKILL)
