"""The search: the same trials however it is run, cut and gone on with; failures are told; the test set stays locked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import filelock
import optuna
import pytest
from optuna.trial import TrialState
from waiting import until

from fittingroom.data import Dataset
from fittingroom.data.dataset import LockedTest
from fittingroom.metrics.metric import METRICS
from fittingroom.questions import tune as room
from fittingroom.questions.tune import (
    Search,
    best,
    drivers,
    facts,
    front,
    open_storage,
    open_study,
    run_search,
    warm_start,
)
from fittingroom.questions.tune import storage as tuning_storage
from fittingroom.questions.tune.propose import distributions
from fittingroom.questions.tune.storage import _Journal as JournalFileBackend
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.read import read_recipe, shipped_recipes
from fittingroom.spec.recipe import Recipe
from fittingroom.spec.space import parse_space
from fittingroom.store import RunFolder, Runs
from fittingroom.store.fetch import Say
from fittingroom.study.job import Job
from fittingroom.study.launch import Failed, InThisProcess, Launcher, ListenToJob, LocalPool, Outcome

pytestmark = pytest.mark.slow

Quick = Callable[..., Recipe]
Make = Callable[..., Search]

SPACE = {
    "optimizer.lr": "log(1e-5, 1e-2)",
    "model.layers.1.dense": "choice(8, 32, 64)",
    "train.batch_size": "int(16, 128, log)",
}
START = ("model.layers.1.dense=32", "train.epochs=4")
PRUNERS = pytest.mark.parametrize("pruner", ["none", "median", "asha", "hyperband"])


@pytest.fixture
def asked(fashion: Dataset, quick: Quick) -> Make:
    """A search of a small network's rate, width and batch; `space` and options win."""

    def make(*overrides: str, space: dict[str, str] = SPACE, **options: Any) -> Search:
        options = {"batch": 3, **options}
        return Search(quick("readme-004-mlp", *START, *overrides), parse_space(space, "here"), fashion, **options)

    return make


class Noted(InThisProcess):
    """Executes here, and remembers the jobs that it was given, by the names of their runs."""

    def __init__(self, runs: Runs) -> None:
        self.runs, self.given = runs, []  # type: Runs, list[str]

    def run(self, jobs: Sequence[Job], runs: Runs, listen: ListenToJob, say: Say = print) -> list[Outcome]:
        self.given += [job.folder(runs).name for job in jobs]
        return super().run(jobs, runs, listen, say)


class Untrained:
    """Trains nothing: every trial fails, by a mistake of the user's."""

    def run(self, jobs: Sequence[Job], runs: Runs, listen: ListenToJob, say: Say = print) -> list[Outcome]:
        return [Failed("not trained", mistake=True) for _ in jobs]


def searched(
    search: Search, journal: Path, runs: Runs, trials: int, by: Launcher | None = None, resume: bool = False, **kw: Any
) -> optuna.Study:
    """The study "s" in `journal`, after `trials` trials."""
    study = open_study(search, open_storage(journal), "s", resume)
    run_search(search, study, runs, by or InThisProcess(), trials=trials, **kw)
    return study


@dataclass(frozen=True)
class Told:
    """What of a trial must not hang on how the search was run."""

    number: int
    state: str
    values: list[float] | None
    params: dict[str, Any]
    curve: dict[int, float]


def told(study: optuna.Study) -> list[Told]:
    return [Told(t.number, t.state.name, t.values, t.params, t.intermediate_values) for t in study.get_trials()]


# ---------------------------------------------------------------- what is asked


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objectives": ("accuracyy",)}, 'unknown metric "accuracyy"; nearest: "accuracy"'),
        ({"objectives": ("parameters",)}, 'unknown metric "parameters"'),
        ({"objectives": ("accuracy", "flop")}, 'unknown objective "flop"; nearest: "flops"'),
        ({"objectives": ("accuracy", "log_loss")}, 'unknown objective "log_loss"'),
        ({"pruner": "medain"}, 'unknown pruner "medain"; nearest: "median"; see: none, median, asha, hyperband'),
        ({"objectives": ("accuracy", "flops"), "pruner": "asha"}, "pruned by one objective"),
        ({"space": {}}, "readme-004-mlp has no search space; give one"),
        ({"space": {"optimizer.lrr": "log(1e-5, 1e-2)"}}, 'optimizer.lrr: no such key; nearest: "lr"'),
        ({"space": {"model.layers.99.dense": "choice(1, 2)"}}, "model.layers has 6 entries, 0 to 5; got '99'"),
        ({"space": {"optimizer.lr & optimizer.decay": "log(1e-5, 1e-2)"}}, "optimizer.decay: no such key"),
        ({"space": {"train.batch_size": "uniform(1, 9)"}}, "train.batch_size"),
    ],
)
def test_a_search_that_cannot_be_is_refused_before_anything_is_tried(
    options: dict[str, Any], message: str, asked: Make
) -> None:
    with pytest.raises(FittingroomError) as caught:
        asked(**options)
    assert message in str(caught.value)


def test_a_search_needs_validation_images(asked: Make) -> None:
    with pytest.raises(FittingroomError, match=r"a search selects on validation images; hold some out: data.val_"):
        asked("data.val_fraction=0")
    assert asked("data.val_fraction=0", "data.folds=5").recipe.data.folds == 5


@pytest.mark.parametrize("name", [name for name in shipped_recipes() if read_recipe(name).space])
def test_a_shipped_recipe_is_tried_first_as_it_is(name: str, fashion: Dataset, tmp_path: Path) -> None:
    recipe = read_recipe(name)
    search = Search(recipe, parse_space(recipe.space, name), fashion)
    (trial,) = facts(search, searched(search, tmp_path / "j", Runs(tmp_path), 1, Untrained()))
    assert search.recipe_of(trial.params).deciding() == recipe.deciding()


def test_trial_0_is_the_recipe_as_it_is(asked: Make, tmp_path: Path) -> None:
    search = asked()
    study = searched(search, tmp_path / "j", Runs(tmp_path), 1)
    (trial,) = facts(search, study)
    assert trial.params == {"optimizer.lr": 1e-3, "model.layers.1.dense": 32, "train.batch_size": 64}
    assert search.recipe_of(trial.params).deciding() == search.recipe.deciding()
    assert room.importance(study) == {} and best(search, study) == trial


OUTSIDE = {
    "below a range": (["optimizer.lr=1e-6"], SPACE),
    "none of a choice": (["model.layers.1.dense=33"], SPACE),
    "no whole number": ([], SPACE | {"model.layers.3.dropout": "int(0, 1)"}),
    "not there": ([], SPACE | {"data.channels": "choice(1, 3)"}),
    "two places that differ": (
        ["model.layers.4.dense=64"],
        SPACE | {"model.layers.1.dense & model.layers.4.dense": "choice(32, 64, 96)"},
    ),
    "a layer that says more": (
        ["model.layers.4={ dense = 64, bias = false }"],
        SPACE | {"model.layers.4": "choice({ dense = 64 }, { dense = 128 }, { dense = 32 })"},
    ),
}


@pytest.mark.parametrize("case", OUTSIDE)
def test_a_recipe_outside_its_space_is_not_tried(case: str, asked: Make, tmp_path: Path) -> None:
    """Neither as it is, which the space does not allow, nor as something else in its name."""
    overrides, space = OUTSIDE[case]
    search = asked("train.epochs=1", *overrides, space=space)
    (trial,) = facts(search, searched(search, tmp_path / "j", Runs(tmp_path), 1))
    assert 1e-5 <= trial.params["optimizer.lr"] <= 1e-2 and trial.params["optimizer.lr"] != 1e-3


# ---------------------------------------------------------------- the same trials


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    with LocalPool(2) as pool:
        yield pool


@PRUNERS
def test_the_number_of_workers_changes_nothing(pruner: str, asked: Make, pool: LocalPool, tmp_path: Path) -> None:
    search = asked(pruner=pruner, batch=4)
    alone = searched(search, tmp_path / "alone.journal", Runs(tmp_path / "alone"), 8)
    together = searched(search, tmp_path / "together.journal", Runs(tmp_path / "together"), 8, by=pool)
    assert told(alone) == told(together)
    states = [t.state for t in told(alone)]
    assert len(states) == 8 and ("PRUNED" in states) == (pruner != "none") and "FAIL" not in states
    one, two = facts(search, alone), facts(search, together)
    assert [t.model_copy(update={"train_s": 0}) for t in one] == [t.model_copy(update={"train_s": 0}) for t in two]
    assert best(search, alone).number == best(search, together).number


def test_trials_with_the_same_values_are_trained_once(asked: Make, pool: LocalPool, tmp_path: Path) -> None:
    """By two workers, too: the second finds what the first did."""
    search = asked("train.epochs=1", space={"train.batch_size": "choice(32, 64)"}, batch=6)
    by = Noted(Runs(tmp_path / "alone"))
    alone = searched(search, tmp_path / "alone.journal", Runs(tmp_path / "alone"), 6, by)
    together = searched(search, tmp_path / "together.journal", Runs(tmp_path / "together"), 6, pool)
    assert told(alone) == told(together) and {t.state for t in told(alone)} == {"COMPLETE"}
    assert len(list(Runs(tmp_path / "together").list())) == 2


class Backwards(InThisProcess):
    """The last job first, as other workers might end them."""

    def run(self, jobs: Sequence[Job], runs: Runs, listen: ListenToJob, say: Say = print) -> list[Outcome]:
        last = len(jobs) - 1
        return super().run(jobs[::-1], runs, lambda number, sign: listen(last - number, sign), say)[::-1]


@pytest.mark.parametrize("pruner", ["median", "asha", "hyperband"])
def test_the_order_in_which_trials_are_heard_of_changes_nothing(pruner: str, asked: Make, tmp_path: Path) -> None:
    search = asked(pruner=pruner, batch=4)
    one = searched(search, tmp_path / "one.journal", Runs(tmp_path / "one"), 8)
    other = searched(search, tmp_path / "other.journal", Runs(tmp_path / "other"), 8, by=Backwards())
    assert told(one) == told(other)


def test_what_is_tried_hangs_on_the_seed_and_on_what_was_found(asked: Make, tmp_path: Path) -> None:
    def params(name: str, **options: Any) -> list[dict[str, Any]]:
        return [t.params for t in told(searched(asked(**options), tmp_path / name, Runs(tmp_path), 4, Untrained()))]

    one = params("a")
    assert one == params("b") and one[1:] != params("c", seed=1)[1:] and len({str(p) for p in one}) == 4


def test_a_search_that_ended_goes_on_as_if_it_had_not(asked: Make, tmp_path: Path) -> None:
    search, runs = asked(pruner="asha"), Runs(tmp_path / "runs")
    whole = searched(search, tmp_path / "whole", runs, 6)
    searched(search, tmp_path / "cut", runs, 3)
    assert told(searched(search, tmp_path / "cut", runs, 6, resume=True)) == told(whole)
    assert told(searched(search, tmp_path / "cut", runs, 2, resume=True)) == told(whole)  # there are more already


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@pytest.fixture
def killed_before(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[int]]:
    """Kill the search before its n-th writing into the journal; the list that it gives counts them."""
    append = JournalFileBackend.append_logs

    def die(self: drivers.Driver, *error: object) -> None:
        """A killed process lets go of its locks but leaves their files."""
        for held in vars(self).values():
            if isinstance(held, filelock.BaseFileLock):
                held.release(force=True)

    monkeypatch.setattr(drivers.Driver, "__exit__", die)
    monkeypatch.setattr(os, "fsync", lambda file: None)  # no power fails here, and it is half of the time

    def arm(n: int) -> list[int]:
        count = [0]

        def counting(self: JournalFileBackend, logs: list[dict[str, Any]]) -> None:
            count[0] += 1
            if count[0] == n:
                raise Killed
            append(self, logs)

        monkeypatch.setattr(JournalFileBackend, "append_logs", counting)
        return count

    return arm


@pytest.mark.parametrize(("pruner", "batch", "step"), [("asha", 3, 1), ("median", 4, 3)])
def test_killed_before_any_of_its_writings_a_search_ends_as_if_it_had_not_been(
    pruner: str, batch: int, step: int, asked: Make, killed_before: Callable[[int], list[int]], tmp_path: Path
) -> None:
    """At the beginning, between two proposals, between two parameters of one, between two results."""
    search, runs = asked("train.epochs=3", pruner=pruner, batch=batch), Runs(tmp_path / "runs")
    written = killed_before(0)
    whole = told(searched(search, tmp_path / "whole", runs, 2 * batch))
    assert {t.state for t in whole} == {"COMPLETE", "PRUNED"}
    differ = []
    for n in range(1, written[0] + 1, step):
        journal = tmp_path / str(n)
        killed_before(n)
        with pytest.raises(Killed):
            searched(search, journal, runs, 2 * batch)
        killed_before(0)
        again = searched(search, journal, runs, 2 * batch, resume="s" in room.names(open_storage(journal)))
        if told(again) != whole:
            differ.append(n)
    assert not differ, f"another search after a kill before these of {written[0]} writings: {differ}"


@pytest.mark.parametrize("moment", ["training", "telling"])
def test_interrupted_and_gone_on_with_at_once(moment: str, asked: Make, tmp_path: Path) -> None:
    """Ctrl-C, then --resume within the five minutes after which a silent driver counts as dead."""
    search = asked(pruner="asha")
    whole = searched(search, tmp_path / "whole", Runs(tmp_path / "a"), 6)

    def interrupt(at: bool) -> None:
        if at:
            raise KeyboardInterrupt

    hooks: dict[str, dict[str, Any]] = {
        "training": {"tick": lambda share: interrupt(share > 0.6)},
        "telling": {"say": lambda line: interrupt(line.startswith("trial 4"))},
    }
    with pytest.raises(KeyboardInterrupt):
        searched(search, tmp_path / "cut", Runs(tmp_path / "b"), 6, **hooks[moment])
    assert told(searched(search, tmp_path / "cut", Runs(tmp_path / "b"), 6, resume=True)) == told(whole)


def start_tune(*words: str) -> subprocess.Popen[str]:
    """`fittingroom tune WORDS` in a process group of its own."""
    command = [sys.executable, "-m", "fittingroom", "tune", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)


def kill(process: subprocess.Popen[str]) -> None:
    """SIGKILL for all of its group: the driver and its workers."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def until_its_search_ends(process: subprocess.Popen[str]) -> str:
    """What it says until it has searched; it is killed before it begins with the winner."""
    assert process.stderr is not None
    lines = []
    with process:
        for line in process.stderr:
            lines.append(line)
            if line.startswith("the winner is"):
                break
        kill(process)
    said = "".join(lines)
    assert "the winner is" in said, said
    return said


HOLDS = """
import time
from pathlib import Path
from torch import nn
HERE, EPOCHS = Path(__file__).parent, "runs/*/epochs.jsonl"
class Net(nn.Linear):
    def forward(self, x):
        if self.training and (HERE / "hold").exists() and sum(map(bool, map(Path.read_text, HERE.glob(EPOCHS)))) > 3:
            (HERE / "held").touch()
            time.sleep(600)
        return super().forward(x.flatten(1))
def build(channels, size, classes):
    return Net(784, classes)
"""


@pytest.mark.main_job
@pytest.mark.parametrize("pruner", ["none", "hyperband"])  # median and asha: above, before every writing
def test_really_killed_in_the_middle_and_resumed(pruner: str, asked: Make, tmp_path: Path) -> None:
    """`fittingroom tune`, its whole process group killed (SIGKILL) inside a training of its second batch, and resumed.

    The network of the test's own holds that training after its first epoch.
    """
    (tmp_path / "holding.py").write_text(HOLDS)
    changes = ["model={ kind = 'python', target = 'holding:build' }", "data.limit=600", "train.epochs=4"]
    space = {"optimizer.lr": "log(1e-6, 1e-1)", "train.batch_size": "int(16, 128, log)"}
    search = replace(asked(pruner=pruner), recipe=read_recipe("readme-004-mlp", changes), space=parse_space(space, ""))
    whole = told(searched(search, tmp_path / "whole", Runs(tmp_path / "whole-runs"), 6))
    assert {t.state for t in whole} == ({"COMPLETE"} if pruner == "none" else {"COMPLETE", "PRUNED"})
    spaces = [f"{path}={text}" for path, text in space.items()]
    words = ["readme-004-mlp", *changes, *spaces, "--trials", "6", "--batch", "3", "--pruner", pruner]
    words += ["--at-once", "1", "--name", "s", "--storage", "cut"]
    (tmp_path / "hold").touch()
    with start_tune(*words) as victim:
        until(lambda: victim.poll() is not None or (tmp_path / "held").exists())
        kill(victim)
    (tmp_path / "hold").unlink()
    left = told(optuna.load_study(study_name="s", storage=open_storage(tmp_path / "cut")))
    assert left[:3] == whole[:3] and [t.state for t in left[3:]] == ["RUNNING"] * 3
    (cut,) = (run for run in Runs(tmp_path / "runs").list() if not run.done and run.checkpoint())
    assert len(cut.epochs) == 1
    until_its_search_ends(start_tune(*words, "--resume"))
    assert told(optuna.load_study(study_name="s", storage=open_storage(tmp_path / "cut"))) == whole


# ---------------------------------------------------------------- what fails


def test_a_network_that_does_not_fit_is_told_and_not_tried_again(asked: Make, tmp_path: Path) -> None:
    space = {"model.layers.4": "choice({ dense = 64 }, { conv = 8 })", "train.batch_size": "choice(64, 0)"}
    search, runs = asked("train.epochs=1", space={"optimizer.lr": SPACE["optimizer.lr"], **space}), Runs(tmp_path)
    by, lines = Noted(runs), []
    found = facts(search, searched(search, tmp_path / "j", runs, 9, by, say=lines.append))
    wrong = [t for t in found if t.params["model.layers.4"] == {"conv": 8} or t.params["train.batch_size"] == 0]
    assert 0 < len(wrong) < 9 and [t for t in found if t.state == "failed"] == wrong
    for trial in wrong:
        reason = "train.batch_size" if trial.params["train.batch_size"] == 0 else "conv"
        assert reason in trial.error and "Traceback" not in trial.error and not trial.crashed and not trial.run
        assert any(line.startswith(f"trial {trial.number} failed: ") for line in lines)
    assert by.given == [t.run for t in found if t.state == "complete"] and len(by.given) == 9 - len(wrong)
    assert best(search, open_study(search, open_storage(tmp_path / "j"), "s", True)) in found


@pytest.mark.parametrize("pruner", ["none", "median"])
def test_a_loss_that_runs_away_fails_and_is_not_tried_again(pruner: str, asked: Make, tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    search = asked("optimizer.lr=1e30", space={"optimizer.lr": "choice(1e30, 3e30)"}, pruner=pruner, batch=2)
    by = Noted(runs)
    study = searched(search, tmp_path / "j", runs, 4, by)
    assert all(t.state == "failed" and "the loss became NaN or infinite" in t.error for t in facts(search, study))
    assert not any(t.crashed for t in facts(search, study)) and len(by.given) == 4
    with pytest.raises(FittingroomError, match=r"^no trial was completed; the first failed because: the loss became"):
        best(search, study)


NET = """
import os, signal
from pathlib import Path
from multiprocessing import parent_process
from torch import nn
HERE = Path(__file__).parent
class Net(nn.Linear):
    def forward(self, x):
        if self.training and len(x) > 2:  # in a training, not where it is tried out with two black images
            crash()
        return super().forward(x.flatten(1))
def build(channels, size, classes):
    return Net(784, classes)
"""
ONCE = """
def crash():
    if not (HERE / "crashed").exists():
        (HERE / "crashed").touch()
        %s
"""
ALWAYS = """
def crash():
    with (HERE / "tries").open("a") as file:
        file.write("x")
    raise RuntimeError("for the test")
"""


def crashing(asked: Make, folder: Path, crash: str) -> Search:
    """A search of a network of the user's own, in the working directory, that crashes."""
    module = f"crashing_{abs(hash((str(folder), crash))):x}"
    (folder / f"{module}.py").write_text(NET + crash)
    model = f'model={{ kind = "python", target = "{module}:build" }}'
    return replace(
        asked(), recipe=read_recipe("readme-004-mlp", [model, "data.limit=600", "train.epochs=2"]),
        space=parse_space({"optimizer.lr": "log(1e-4, 1e-2)"}, "here"), batch=2,
    )  # fmt: skip


@pytest.mark.parametrize("how", ["raises", pytest.param("is killed", marks=pytest.mark.slow)])
def test_a_crash_is_told_and_tried_once_more(how: str, asked: Make, tmp_path: Path) -> None:
    """Once: an exception that is no mistake of the user's, or a worker process that dies as if out of memory."""
    crash = "raise RuntimeError('for the test')" if how == "raises" else "os.kill(os.getpid(), signal.SIGKILL)"
    search, lines = crashing(asked, tmp_path, ONCE % crash), []  # type: Search, list[str]
    with InThisProcess() if how == "raises" else LocalPool(1) as by:
        found = facts(search, searched(search, tmp_path / "j", Runs(tmp_path), 3, by, say=lines.append))
    assert [t.state for t in found] == ["complete"] * 3 and [t.crashed for t in found].count(True) == 1
    (number,) = (t.number for t in found if t.crashed)
    reason = "for the test" if how == "raises" else "killed; was the memory used up?"
    assert any(line.startswith(f"trial {number} crashed and is tried once more: ") and reason in line for line in lines)


def test_a_second_crash_is_the_last(asked: Make, tmp_path: Path) -> None:
    search = crashing(asked, tmp_path, ALWAYS)
    study = searched(search, tmp_path / "j", Runs(tmp_path), 2)
    found = facts(search, study)
    assert [(t.state, t.crashed) for t in found] == [("failed", True)] * 2
    assert all(t.error.startswith("Traceback") and t.error.endswith("RuntimeError: for the test\n") for t in found)
    assert (tmp_path / "tries").read_text() == "xxxx"  # twice each
    with pytest.raises(FittingroomError, match=r"no trial was completed; .* RuntimeError: for the test"):
        best(search, study)


# ---------------------------------------------------------------- what is selected


def dominated(one: Sequence[float], others: Sequence[Sequence[float]]) -> bool:
    """Whether another is as good in all and better in one; the first is better when larger, the rest when smaller."""
    mine = (-one[0], *one[1:])
    return any(
        theirs != mine and all(a <= b for a, b in zip(theirs, mine, strict=True))
        for theirs in ((-o[0], *o[1:]) for o in others)
    )


def test_several_objectives_and_their_front(asked: Make, tmp_path: Path) -> None:
    objectives = ("accuracy", "train_s", "parameters", "flops", "latency_s")
    search, runs = asked("train.epochs=1", objectives=objectives, batch=4), Runs(tmp_path)
    study = searched(search, tmp_path / "j", runs, 12)
    found = facts(search, study)
    assert all(t.state == "complete" and len(t.values) == 5 for t in found)
    for trial in found:
        run = RunFolder(runs.path / trial.run)
        width = trial.params["model.layers.1.dense"]
        assert trial.values[0] == run.metrics.val.accuracy and trial.values[1] == run.metrics.train_s  # type: ignore[union-attr]
        assert trial.values[2] == 785 * width + (width + 1) * 64 + 650 == run.structure.parameters
        assert trial.values[3] == run.structure.flops and 0 < trial.values[4] < 1
    everyone = [t.values for t in found]
    assert front(search, study) == {t.number for t in found if not dominated(t.values, everyone)}
    assert len(front(search, study)) > 0
    assert best(search, study).values[0] == max(v[0] for v in everyone)


def test_equals_share_the_front_and_the_first_is_best(asked: Make, tmp_path: Path) -> None:
    search = asked(objectives=("log_loss", "flops"))
    study = open_study(search, open_storage(tmp_path / "j"), "s", False)
    for values in ([0.5, 2.0], [0.4, 3.0], [0.4, 3.0], [0.6, 2.0], [0.6, 1.0], [0.7, 9.0]):
        study.add_trial(optuna.create_trial(values=values))
    offset = min(t.number for t in study.get_trials() if t.state == TrialState.COMPLETE)
    assert front(search, study) == {offset + i for i in (0, 1, 2, 4)}
    assert best(search, study).number == offset + 1  # the smaller loss, the earlier of two
    assert front(replace(search, objectives=("log_loss",)), study) == set()


def test_what_decides_is_called_important(asked: Make, tmp_path: Path) -> None:
    """With few trials, too: three widths decide, the rate does nothing."""
    search = asked()
    study = open_study(search, open_storage(tmp_path / "j"), "s", False)
    space = distributions(search)
    for i in range(9):
        point = {
            "optimizer.lr": 10 ** (-4.9 + 0.3 * i),
            "model.layers.1.dense": ("8", "32", "64")[i % 3],
            "train.batch_size": 16 + i,
        }
        study.add_trial(optuna.create_trial(values=[0.5 + 0.1 * (i % 3)], params=point, distributions=space))
    shares = room.importance(study)
    assert sum(shares.values()) == pytest.approx(1)
    assert max(shares, key=lambda path: shares[path]) == "model.layers.1.dense" and shares["model.layers.1.dense"] > 0.5


@pytest.mark.parametrize("metric", ["accuracy", "log_loss", "macro_f1"])
def test_selection_sees_validation_images_only(
    metric: str, asked: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: LockedTest, announce: Callable[[], None]) -> None:
        raise AssertionError("a search unlocked the test set")

    monkeypatch.setattr(LockedTest, "unlock", refuse)
    search, runs = asked("train.epochs=2", objectives=(metric,), pruner="median"), Runs(tmp_path)
    study = searched(search, tmp_path / "j", runs, 6)
    assert runs.test_reads() == {} and all(run.metrics.test is None for run in runs.list() if run.done)
    scores = {}
    for trial in facts(search, study):
        if trial.state == "complete":
            logits, labels = RunFolder(runs.path / trial.run).predictions("val")  # type: ignore[misc]
            scores[trial.number] = METRICS[metric].score(logits, labels)
            assert trial.values == (scores[trial.number],) and len(labels) == 60
    choose = max if METRICS[metric].larger_is_better else min
    assert len(scores) >= 3 and best(search, study).number == choose(scores, key=lambda n: scores[n])


@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_what_a_trial_reports_on_its_way_points_where_the_objective_does(
    metric: str, asked: Make, tmp_path: Path
) -> None:
    """Optuna takes a pruned trial's last report for its value: of a loss, it must be a loss."""
    search = asked(objectives=(metric,), pruner="asha")
    study = searched(search, tmp_path / "j", Runs(tmp_path), 9)
    assert {t.state for t in told(study)} == {"COMPLETE", "PRUNED"}
    for trial in told(study):
        assert trial.values is not None and list(trial.curve) == list(range(1, len(trial.curve) + 1))
        assert trial.curve[max(trial.curve)] == pytest.approx(trial.values[0], rel=1e-5)


# ---------------------------------------------------------------- other searches


def test_a_warm_start_takes_over_what_another_search_found(asked: Make, tmp_path: Path) -> None:
    search, runs, storage = asked("train.epochs=1"), Runs(tmp_path), open_storage(tmp_path / "j")
    earlier = open_study(search, storage, "earlier", False)
    run_search(search, earlier, runs, InThisProcess(), trials=3)
    wider = asked("train.epochs=1", space=SPACE | {"model.layers.3.dropout": "uniform(0, 0.5)"})
    study = open_study(wider, storage, "later", False)
    assert warm_start(search, study, storage, "earlier") == 3
    by = Noted(runs)
    run_search(wider, study, runs, by, trials=4)
    found = facts(wider, study)
    taken = [t for t in found if t.earlier]
    assert [(t.earlier, t.values, t.params, t.run) for t in taken] == [
        (f"earlier {t.number}", t.values, t.params, t.run) for t in facts(search, earlier)
    ]
    own = [t for t in found if not t.earlier]
    assert len(own) == 4 == len(by.given) and all("model.layers.3.dropout" in t.params for t in own)
    assert best(wider, study).values[0] >= max(t.values[0] for t in own)
    assert {run.part for run in runs.list()} == {"trial"}


def test_a_warm_start_is_taken_once_however_often_it_is_asked_for(asked: Make, tmp_path: Path) -> None:
    search, storage = asked("train.epochs=1"), open_storage(tmp_path / "j")
    run_search(search, open_study(search, storage, "earlier", False), Runs(tmp_path), InThisProcess(), trials=3)
    study = open_study(search, storage, "later", False)
    assert [warm_start(search, study, storage, "earlier") for _ in range(3)] == [3, 0, 0]
    assert len(facts(search, study)) == 3


def test_a_warm_start_that_cannot_be(asked: Make, tmp_path: Path) -> None:
    search, storage = asked("train.epochs=1"), open_storage(tmp_path / "j")
    run_search(search, open_study(search, storage, "earlier", False), Runs(tmp_path), InThisProcess(), trials=1)
    study = open_study(search, storage, "later", False)
    with pytest.raises(FittingroomError, match='unknown search "earlir"; nearest: "earlier"'):
        warm_start(search, study, storage, "earlir")
    by_loss = open_study(asked(objectives=("log_loss",)), storage, "by-loss", False)
    with pytest.raises(FittingroomError, match='"earlier" had other objectives'):
        warm_start(search, by_loss, storage, "earlier")


def test_a_warm_start_from_a_space_with_other_values(asked: Make, tmp_path: Path) -> None:
    """The trials that lie in this space are taken over, the others left; a word if that is all of them."""
    runs, storage = Runs(tmp_path), open_storage(tmp_path / "j")
    search = asked("train.epochs=1")
    earlier = open_study(search, storage, "earlier", False)
    run_search(search, earlier, runs, InThisProcess(), trials=3)
    points = [trial.params for trial in facts(search, earlier)]
    for name, change, inside in [
        ("other-choices", {"model.layers.1.dense": "choice(32, 48)"}, lambda p: p["model.layers.1.dense"] in (32, 48)),
        ("narrower", {"optimizer.lr": "log(9e-4, 2e-3)"}, lambda p: 9e-4 <= p["optimizer.lr"] <= 2e-3),
        ("other-kind", {"model.layers.1.dense": "int(16, 64)"}, lambda p: False),
    ]:
        other = asked("train.epochs=1", space=SPACE | change)
        study = open_study(other, storage, name, False)
        fitting = sum(map(inside, points))
        if fitting:
            assert warm_start(other, study, storage, "earlier") == fitting < 3
        else:
            with pytest.raises(FittingroomError, match="none of the 3 finished trials of the search"):
                warm_start(other, study, storage, "earlier")
        run_search(other, study, runs, InThisProcess(), trials=3)
        assert [t.state for t in facts(other, study) if not t.earlier] == ["complete"] * 3


def test_what_was_found_elsewhere_is_no_winner_here(asked: Make, fashion: Dataset, tmp_path: Path) -> None:
    """Scores of other images, or of a recipe that trains longer, say what to try; they are not this recipe's."""
    runs, storage = Runs(tmp_path), open_storage(tmp_path / "j")
    longer = asked("train.epochs=8", "model.layers.3.dropout=0")
    run_search(longer, open_study(longer, storage, "longer", False), runs, InThisProcess(), trials=3)
    search = asked("train.epochs=1")
    study = open_study(search, storage, "s", False)
    warm_start(search, study, storage, "longer")
    run_search(search, study, runs, InThisProcess(), trials=3)
    found, winner = facts(search, study), best(search, study)
    assert max(found, key=lambda t: t.values).earlier and not winner.earlier


def test_resuming_another_search_is_refused(asked: Make, fashion: Dataset, tmp_path: Path) -> None:
    storage = open_storage(tmp_path / "j")
    open_study(asked(), storage, "s", False)
    open_study(asked(), storage, "s", True)
    renamed = asked()
    open_study(replace(renamed, recipe=renamed.recipe.model_copy(update={"description": "x"})), storage, "s", True)
    others = {
        "recipe": asked("train.epochs=3"),
        "space": asked(space=SPACE | {"optimizer.lr": "log(1e-5, 1e-3)"}),
        "smaller space": asked(space={"optimizer.lr": SPACE["optimizer.lr"]}),
        "objective": asked(objectives=("macro_f1",)),
        "objectives": asked(objectives=("accuracy", "flops")),
        "seed": asked(seed=1),
        "pruner": asked(pruner="median"),
        "batch": asked(batch=4),
        "data": replace(asked(), data=replace(fashion, digest="0" * 64)),
    }
    taken = []
    for what, other in others.items():
        try:
            open_study(other, storage, "s", True)
            taken.append(what)
        except FittingroomError as error:
            assert str(error).startswith('the search "s" is about another recipe, space')
    assert not taken, "these were taken for the same search"


def test_names_that_are_there_or_are_not(asked: Make, tmp_path: Path) -> None:
    storage = open_storage(tmp_path / "j")
    open_study(asked(), storage, "mine", False)
    with pytest.raises(FittingroomError, match='there is a search "mine" already; --resume goes on with it, --name'):
        open_study(asked(), storage, "mine", False)
    with pytest.raises(FittingroomError, match='unknown search "mien"; nearest: "mine"'):
        open_study(asked(), storage, "mien", True)
    assert room.names(storage) == ["mine"]


def test_no_time_is_no_trial(asked: Make, tmp_path: Path) -> None:
    study = searched(asked(), tmp_path / "j", Runs(tmp_path), trials=None, minutes=0)  # type: ignore[arg-type]
    with pytest.raises(FittingroomError, match="^no trial was completed$"):
        best(asked(), study)


# ---------------------------------------------------------------- several drivers


def test_what_a_driver_has_proposed_is_its_own_at_once(
    asked: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another driver that looks at any moment finds no trial that nobody runs."""
    search, runs, journal = asked("train.epochs=1"), Runs(tmp_path), tmp_path / "j"
    study = open_study(search, open_storage(journal), "s", False)
    orphans: list[list[int]] = []
    append = JournalFileBackend.append_logs

    def look(self: JournalFileBackend, logs: list[dict[str, Any]]) -> None:
        append(self, logs)
        monkeypatch.setattr(JournalFileBackend, "append_logs", append)
        other = optuna.load_study(study_name="s", storage=open_storage(journal))
        orphans.append(drivers.Driver(runs.path / "tuning" / "drivers", other).orphans())
        monkeypatch.setattr(JournalFileBackend, "append_logs", look)

    monkeypatch.setattr(JournalFileBackend, "append_logs", look)
    run_search(search, study, runs, InThisProcess(), trials=3)
    assert len(orphans) > 10 and not any(orphans)


def test_two_drivers_share_the_work(asked: Make, tmp_path: Path) -> None:
    """One here, which waits in its first training until another process has trials of its own."""
    overrides = ("data.limit=600", "train.precision=fp32", *START)
    search, runs = asked(), Runs(tmp_path / "runs")
    study = open_study(search, open_storage(tmp_path / "j"), "s", False)
    spaces = [f"{path}={text}" for path, text in SPACE.items()]
    words = ["readme-004-mlp", *overrides, *spaces, "--batch", "3", "--trials", "9", "--at-once", "1"]

    class Waiting(Noted):
        def run(self, jobs: Sequence[Job], runs: Runs, listen: ListenToJob, say: Say = print) -> list[Outcome]:
            until(lambda: other.poll() is not None or len(study.get_trials()) > 3)
            return super().run(jobs, runs, listen, say)

    by = Waiting(runs)
    other = start_tune(*words, "--name", "s", "--storage", "j", "--runs", "runs", "--resume")
    run_search(search, study, runs, by, trials=9)
    said = until_its_search_ends(other)
    found = facts(search, study)
    drivers = [t.user_attrs["driver"] for t in study.get_trials()]
    assert len(set(drivers)) == 2 and all(drivers.count(driver) >= 3 for driver in drivers)
    assert [t.state for t in found] == ["complete"] * len(found), said
    assert len({t.run for t in found}) == len(found)
    mine = {t.number for t in found if t.run in by.given}
    theirs = {int(line.split()[1].rstrip(":")) for line in said.splitlines() if line.startswith("trial ")}
    assert mine | theirs == {t.number for t in found} and not mine & theirs
    assert len(found) == 9, "trials in all"


# ---------------------------------------------------------------- the storage


def test_a_storage_that_is_none_gives_a_message(tmp_path: Path) -> None:
    journal = tmp_path / "good"
    open_storage(journal)
    optuna.create_study(study_name="s", storage=open_storage(journal)).set_user_attr("a", 1)
    lines = journal.read_text().splitlines(keepends=True)
    wrong = {
        "no journal": 'name = "a recipe"\n[train]\n',
        "binary": "\x00\x01\n\x02\n",
        "damaged": lines[0] + "{not JSON\n" + "".join(lines[1:]),
        "cut inside": "".join(lines[:-1])[:-9] + "\n" + lines[-1],
        "one missing": "".join(lines[1:]),
        "one changed": "".join(lines).replace('"a":1', '"a":2'),
        "a note": "buy milk",
        "another's": '{"a": 1}\n{"b": 2}\n{"c": 3',
    }
    raised = {}
    for name, text in wrong.items():
        path = tmp_path / name
        path.write_text(text)
        with pytest.raises(Exception) as caught:
            room.names(open_storage(path))
        raised[name] = type(caught.value).__name__, path.name in str(caught.value)
        assert path.read_text() == text  # it may be someone's work
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "text.db").write_text("no data base " * 400)
    urls = [tmp_path / "folder", tmp_path / "file" / "j", f"sqlite:///{tmp_path}/text.db", "nosuch://x/text.db"]
    for path in urls:
        with pytest.raises(Exception) as caught:
            room.names(open_storage(path))
        raised[str(path)] = type(caught.value).__name__, Path(path).name in str(caught.value)
    assert {kind for kind, _ in raised.values()} == {"FittingroomError", "Damaged"}, raised
    assert all(named for _, named in raised.values()), raised


def test_a_line_that_a_power_cut_left_half_written_is_no_harm(asked: Make, tmp_path: Path) -> None:
    search, runs, journal = asked("train.epochs=1"), Runs(tmp_path / "runs"), tmp_path / "j"
    whole = told(searched(search, tmp_path / "whole", runs, 6))
    searched(search, journal, runs, 3)
    journal.write_bytes(journal.read_bytes()[:-9])  # inside the line that tells the last result
    assert told(searched(search, journal, runs, 6, resume=True)) == whole


def test_a_locked_storage_gives_a_message_instead_of_waiting_for_ever(
    asked: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held by a process that does not let go, say one that was stopped."""
    monkeypatch.setattr(tuning_storage, "LOCK_S", 0.2)
    journal = tmp_path / "searches.journal"
    storage = open_storage(journal)
    caught: list[BaseException] = []

    def write() -> None:
        try:
            open_study(asked(), storage, "s", False)
        except BaseException as error:
            caught.append(error)

    with filelock.FileLock(journal.with_suffix(".lock")):
        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        thread.join(15)
        waits = thread.is_alive()
    thread.join(15)
    assert not waits, "it waits without a word"
    assert [type(error) for error in caught] == [FittingroomError] or "NotFree" in str(caught)
    assert "searches" in str(caught[0])
