"""What was interrupted goes on by the words that began it: above all, no test set is read that was not to be read."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from planned import plan

from fittingroom.data import load
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.read import read_recipe
from fittingroom.store import RunFolder, Runs
from fittingroom.study.execute import Update, execute
from fittingroom.ui.again import refuse_own_code, resuming
from fittingroom.ui.index import Line, RunIndex


def interrupted(runs: Runs, score_test: bool) -> RunFolder:
    """A run of three epochs that was stopped after the first."""
    recipe = read_recipe("readme-004-mlp", ["train.precision=fp32", "train.epochs=3", "data.limit=600"])
    job = plan(recipe, load("fashion-mnist"), 4, "cpu", 1, score_test, runs)

    def stop(sign: Update) -> None:
        if sign.record:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(job, runs, listen=stop)
    return job.folder(runs)


def line_of(run: RunFolder) -> Line:
    index = RunIndex(run.home)
    index.sync()
    [line] = index.page(run.name)[0]
    index.close()
    return line


@pytest.mark.parametrize("score_test", [False, True])
@pytest.mark.slow
def test_a_resumed_run_reads_the_test_set_only_if_it_was_begun_to(tmp_path: Path, score_test: bool) -> None:
    """The words are given to a real process; what it reads is in the log of readings. Both ways are one run."""
    runs = Runs(tmp_path / "runs")
    run = interrupted(runs, score_test)
    words = resuming(line_of(run), run)
    assert ("--no-test" in words) is not score_test and words[words.index("--device") + 1] == "cpu"
    subprocess.run([sys.executable, "-m", "fittingroom", *words, "--runs", str(runs.path), "-q"], check=True)
    assert run.done and [r.name for r in runs.list()] == [run.name]
    assert (run.metrics.test is not None, sum(runs.test_reads().values())) == (score_test, int(score_test))


def test_what_is_not_recorded_is_not_guessed(tmp_path: Path) -> None:
    """An older run, a shared training, a model of one's own: refused, with the command to type."""
    run = interrupted(Runs(tmp_path), True)
    line = line_of(run)
    about = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps({k: v for k, v in about.items() if k != "score_test"}))
    with pytest.raises(FittingroomError, match=r"--no-test if .*: fittingroom train .*--seed 4 --device cpu --resume$"):
        resuming(line, run)
    (run.path / "run.json").write_text(json.dumps(about | {"score_test": False}))
    shared = run.environment.model_copy(update={"workers": 2})
    (run.path / "env.json").write_text(shared.model_dump_json())
    with pytest.raises(FittingroomError, match=r"--launcher .* --resume --workers 2 --no-test$"):
        resuming(line, run)
    text = (run.path / "recipe.toml").read_text()
    model = text[text.index("[model]") : text.index("[optimizer]")]
    (run.path / "recipe.toml").write_text(text.replace(model, '[model]\nkind = "python"\ntarget = "os:getcwd"\n\n'))
    with pytest.raises(FittingroomError, match="of one's own"):
        resuming(line, run)
    with pytest.raises(FittingroomError, match="fittingroom export x"):
        refuse_own_code(run, ["export", "x"])


def test_whether_the_test_set_is_read_is_no_part_of_what_a_run_is(tmp_path: Path) -> None:
    job = plan(read_recipe("readme-004-mlp"), load("fashion-mnist"), 0, "cpu", 1, True, Runs(tmp_path))
    assert replace(job, score_test=False).identity == job.identity
