"""Runs and studies: identity, resuming after kill -9 to the same bytes, the test set's log, workers, failures."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from planned import plan, study_of

from fittingroom.data import Dataset
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import Recipe
from fittingroom.spec.records import TIMINGS, Epoch
from fittingroom.store import RunFolder, Runs, load_run
from fittingroom.study.cautions import cautions
from fittingroom.study.clock import peak_memory_bytes
from fittingroom.study.cost import known_cost, measured_cost
from fittingroom.study.execute import Update, execute
from fittingroom.study.launch.local import apart
from fittingroom.study.sharing import threads_each
from fittingroom.training import predict
from fittingroom.training.fit import restore
from fittingroom.training.select import selected_epoch, stops_early

Quick = Callable[..., Recipe]


def content(run: RunFolder) -> dict[str, object]:
    """All that must be the same bytes between two trainings of one identity."""
    epochs = [e.model_dump(exclude=set(TIMINGS)) for e in run.epochs]
    files = {name: (run.path / name).read_bytes() for name in ("weights.safetensors", "recipe.toml", "data.json")}
    with np.load(run.path / "predictions.npz") as file:
        predictions = {key: file[key].tobytes() for key in file}
    return {"epochs": epochs, **files, **predictions}


def test_a_run_is_its_files_and_they_are_true(fashion: Dataset, quick: Quick, tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    job = plan(quick(), fashion, 0, "cpu", 1)
    run = execute(job, runs)
    names = {p.name for p in run.path.iterdir()} - {".lock"}
    assert names == {
        "recipe.toml", "run.json", "env.json", "data.json", "structure.json", "epochs.jsonl", "samples.npz",
        "weights.safetensors", "predictions.npz", "metrics.json", "DONE",
    }  # fmt: skip
    assert run.recipe.deciding() == job.recipe.deciding() and run.recipe.train.precision == "fp32"
    test = fashion.test.unlock(lambda: None)
    logits = predict(restore(job.recipe, run.weights, test), test)
    stored = run.predictions("test")
    assert stored is not None and np.array_equal(stored[0], logits) and np.array_equal(stored[1], test.labels_N)
    assert run.metrics.test is not None and run.metrics.test.accuracy == np.mean(logits.argmax(1) == test.labels_N)
    assert runs.test_reads() == {"fashion-mnist": 1}
    assert np.array_equal(runs.thumbnails(fashion.digest), test.images_NCHW)  # type: ignore[arg-type]
    assert execute(job, runs).path == run.path and runs.test_reads() == {
        "fashion-mnist": 1
    }  # not run again, not read again


def test_without_the_test_set_it_is_never_read_and_can_be_scored_later(
    fashion: Dataset, quick: Quick, tmp_path: Path
) -> None:
    runs = Runs(tmp_path)
    run = execute(plan(quick(), fashion, 0, "cpu", 1, score_test=False), runs)
    assert run.done and run.metrics.test is None and run.predictions("test") is None and runs.test_reads() == {}
    before = (run.path / "weights.safetensors").stat().st_mtime_ns
    again = execute(plan(quick(), fashion, 0, "cpu", 1), runs)
    assert again.path == run.path and again.metrics.test is not None and runs.test_reads() == {"fashion-mnist": 1}
    assert (run.path / "weights.safetensors").stat().st_mtime_ns == before  # scored, not trained again


def test_what_decides_a_result_decides_its_identity(fashion: Dataset, quick: Quick, tmp_path: Path) -> None:
    def digest(recipe: Recipe, seed: int = 0, device: str = "cpu", threads: int = 1) -> str:
        return str(plan(recipe, fashion, seed, device, threads).identity["digest"])

    base = digest(quick())
    assert digest(quick()) == base and digest(quick().model_copy(update={"name": "x", "claims": ()})) == base
    others = [
        digest(quick("readme-004-mlp", "optimizer.lr=2e-3")),
        digest(quick(), seed=1),
        digest(quick(), device="mps"),
    ]
    assert len({base, *others}) == 4 and digest(quick(), threads=2) == base
    (tmp_path / "my_net.py").write_text(source := "from torch import nn\ndef build(channels, size, classes):\n    return nn.Sequential(nn.Flatten(), nn.Linear(784, classes))\n")  # fmt: skip
    mine = quick().model_dump(mode="json") | {"model": {"kind": "python", "target": "my_net:build"}}
    from fittingroom.spec.read import parse_recipe

    first = digest(parse_recipe(mine))
    (tmp_path / "my_net.py").write_text(source + "# changed\n")
    assert digest(parse_recipe(mine)) != first


@pytest.mark.slow
@pytest.mark.main_job
@pytest.mark.parametrize(
    "recipe", [("readme-002-cnn2", "train.select=best_val"), ("fast-fashion", "model.args.width=4", "train.ema=0.9")]
)
def test_killed_and_resumed_is_the_same_bytes(
    recipe: tuple[str, ...], fashion: Dataset, quick: Quick, tmp_path: Path
) -> None:
    """A real process, really killed (SIGKILL) after its first epoch, then resumed; against one that was left alone."""
    overrides = (*recipe[1:], "train.epochs=5", "data.limit=1500", "train.precision=fp32")
    job = plan(quick(recipe[0], *overrides), fashion, 5, "cpu", 1)
    whole = execute(job, Runs(tmp_path / "whole"))
    command = [
        sys.executable,
        "-m",
        "fittingroom",
        "train",
        recipe[0],
        *overrides,
        "--seed",
        "5",
        "--runs",
        "cut",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    cut = job.folder(Runs(tmp_path / "cut"))
    victim = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    assert victim.stderr is not None
    assert any(line.startswith("epoch 1/") for line in victim.stderr), "ended before it could be killed"
    with victim:
        victim.send_signal(signal.SIGKILL)
    assert not cut.done and 1 <= len(cut.epochs) < 5
    subprocess.run([*command, "--resume"], env=environment, check=True)
    assert cut.done and content(cut) == content(whole)


def test_a_kill_between_an_epochs_line_and_its_checkpoint(fashion: Dataset, quick: Quick, tmp_path: Path) -> None:
    job = plan(quick("readme-004-mlp", "train.epochs=3"), fashion, 0, "cpu", 1)
    whole = execute(job, Runs(tmp_path / "a"))

    def stop_after_two(sign: Update) -> None:
        if sign.record and sign.record.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(job, Runs(tmp_path / "b"), listen=stop_after_two)
    cut = job.folder(Runs(tmp_path / "b"))
    cut.append(whole.epochs[2])  # the line of epoch 3 is there, its checkpoint is not
    (cut.path / ".weights.safetensors.x.part").write_bytes(b"half")  # and a temporary file was left
    assert content(execute(job, Runs(tmp_path / "b"))) == content(whole)


@pytest.mark.slow
def test_fresh_forgets_and_gives_the_same(here: Callable[..., Any], tmp_path: Path) -> None:
    words = ["train", "readme-004-mlp", "train.epochs=2", "data.limit=600"]
    assert here(*words).returncode == 0
    (run,) = Runs(tmp_path / "runs").list()
    first, written = content(run), (run.path / "weights.safetensors").stat().st_mtime_ns
    (run.path / "stress.npz").write_bytes(b"of the old weights")
    assert here(*words, "--fresh").returncode == 0
    assert content(run) == first and not (run.path / "stress.npz").exists()
    assert (run.path / "weights.safetensors").stat().st_mtime_ns != written
    assert Runs(tmp_path / "runs").test_reads() == {"fashion-mnist": 2}  # the log is not taken back


def test_best_val_scores_the_best_epochs_weights(fashion: Dataset, quick: Quick, tmp_path: Path) -> None:
    recipe = quick(
        "readme-004-mlp", "train.epochs=8", "train.select=best_val", "optimizer.lr=0.02", "data.val_fraction=0.3"
    )
    run = execute(plan(recipe, fashion, 0, "cpu", 1), Runs(tmp_path))
    chosen = run.metrics.selected_epoch
    assert run.metrics.val is not None and run.metrics.val.accuracy == max(e.val_accuracy or 0 for e in run.epochs)
    assert (
        chosen == selected_epoch(run.recipe.train, run.epochs)
        and run.epochs[chosen - 1].val_accuracy == run.metrics.val.accuracy
    )


def epoch(number: int, loss: float, accuracy: float) -> Epoch:
    return Epoch(
        epoch=number, lr=0.1, train_loss=1, train_accuracy=0.5, clean_loss=1, clean_accuracy=0.5, clean_n=10,
        val_loss=loss, val_accuracy=accuracy, train_s=1, eval_s=1,
    )  # fmt: skip


@pytest.mark.slow
def test_early_stopping_and_ties(fashion: Dataset, quick: Quick, tmp_path: Path) -> None:
    epochs = [epoch(1, 1.0, 0.5), epoch(2, 0.8, 0.7), epoch(3, 0.9, 0.7), epoch(4, 0.9, 0.6)]
    spec = quick("readme-004-mlp", "train.patience=2", "train.select=best_val").train
    assert selected_epoch(spec, epochs) == 2
    assert [stops_early(spec, epochs[:n]) for n in range(5)] == [False, False, False, False, True]
    run = execute(
        plan(quick("readme-004-mlp", "train.patience=1", "train.epochs=60", "optimizer.lr=0.05"), fashion, 0, "cpu", 1),
        Runs(tmp_path),
    )
    assert run.metrics.epochs < 60 and stops_early(run.recipe.train, run.epochs)


@pytest.mark.main_job
@pytest.mark.slow
def test_results_do_not_depend_on_how_they_were_launched(fashion: Dataset, quick: Quick, tmp_path: Path) -> None:
    recipes = [quick(), quick("readme-004-cnn")]
    study = study_of(recipes, Runs(tmp_path / "pool"), range(2), ["fashion-mnist"])
    signs: list[tuple[int, Update | None]] = []
    finished = study.train(lambda number, sign: signs.append((number, sign)))
    assert [(r.recipe.name, r.seed) for r in finished] == [(r.name, s) for r in recipes for s in range(2)]
    assert sum(sign is None for _, sign in signs) == 4
    alone = [execute(job, Runs(tmp_path / "alone")) for job in study.jobs]
    for a, b in zip(finished, alone, strict=True):
        assert content(a) == content(b)
    again = study_of(recipes, Runs(tmp_path / "pool"), range(3), ["fashion-mnist"])
    assert [job.seed for job in again.waiting] == [2, 2]


@pytest.mark.slow
def test_one_failing_run_does_not_stop_the_others(fashion: Dataset, quick: Quick, tmp_path: Path) -> None:
    broken = quick("readme-004-mlp", "optimizer.lr=1e30").model_copy(update={"name": "broken"})
    runs = Runs(tmp_path)
    study = study_of([broken, quick()], runs, range(2))
    with pytest.raises(FittingroomError, match="2 of 4 runs failed:\n  broken, seed 0: the loss became NaN") as caught:
        study.train()
    assert "Traceback" not in str(caught.value)
    assert sorted(r.seed for r in runs.list() if r.done) == [0, 1]
    assert not [r for r in runs.list() if r.done and r.recipe.name == "broken"]


@pytest.mark.slow
def test_a_worker_that_dies_is_a_message(fashion: Dataset, quick: Quick, tmp_path: Path) -> None:
    """A model that kills its own process, as the kernel does when memory runs out."""
    (tmp_path / "killer.py").write_text(
        "import os, signal, multiprocessing\nfrom torch import nn\n"
        "class Net(nn.Linear):\n"
        "    def forward(self, x):\n"
        "        if self.training and multiprocessing.parent_process(): os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return super().forward(x.flatten(1))\n"
        "def build(channels, size, classes): return Net(784, classes)\n"
    )
    from fittingroom.spec.recipe import ModelSpec

    killer = quick().model_copy(update={"model": ModelSpec(kind="python", target="killer:build"), "name": "killer"})
    study = study_of([killer], Runs(tmp_path), range(2))
    with pytest.raises(FittingroomError, match="a worker process was killed; was the memory used up"):
        study.train()


def test_whatever_could_not_be_trained_is_refused_before_anything_is(
    fashion: Dataset, quick: Quick, tmp_path: Path
) -> None:
    wrong = quick("readme-004-mlp", "model.layers=[{dense=3}]").model_copy(update={"name": "wrong"})
    with pytest.raises(FittingroomError, match="needs a vector"):
        study_of([quick(), wrong], Runs(tmp_path), range(2))
    with pytest.raises(FittingroomError, match="unknown augmentation"):
        study_of([quick("readme-004-mlp", 'augment=[{kind="rotat"}]')], Runs(tmp_path))
    with pytest.raises(FittingroomError, match="augment.0: shift does not work on 28×28 images"):
        study_of([quick("readme-004-mlp", 'augment=[{kind="shift", pixels=40, fill="reflect"}]')], Runs(tmp_path))
    with pytest.raises(FittingroomError, match="train.batch_size: 1 is too small for this model"):
        study_of([quick("readme-001-enhanced", "train.batch_size=1")], Runs(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_data_set_or_seed_named_twice_is_one(fashion: Dataset, quick: Quick, tmp_path: Path) -> None:
    study = study_of([quick()], Runs(tmp_path), [0, 0, 1], ["fashion-mnist", "fashion-mnist"])
    assert [job.seed for job in study.jobs] == [0, 1]


def test_threads_are_recorded_and_kept_on_resume_but_no_part_of_the_identity(
    fashion: Dataset, quick: Quick, tmp_path: Path
) -> None:
    def stop(sign: Update) -> None:
        if sign.record:
            raise KeyboardInterrupt

    runs = Runs(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        execute(plan(quick(), fashion, 0, "cpu", 1), runs, listen=stop)
    run = execute(plan(quick(), fashion, 0, "cpu", 2), runs)
    assert run.environment.threads == 1 and torch.get_num_threads() == 1


def test_a_user_says_how_many_runs_share_the_machine(quick: Quick, tmp_path: Path) -> None:
    def planned(at_once: int | None) -> tuple[int, int]:
        study = study_of([quick()], Runs(tmp_path), range(3), at_once=at_once, device="auto")
        return study.at_once, study.jobs[0].threads

    assert planned(1) == (1, threads_each(1))
    assert planned(2) == (2, threads_each(2))
    assert planned(5) == (3, threads_each(3))  # there are no more
    with pytest.raises(FittingroomError, match="at_once: got 0; give a number of at least 1"):
        planned(0)


@pytest.mark.slow
@pytest.mark.main_job
def test_a_script_without_a_main_guard_can_compare(tmp_path: Path) -> None:
    """Spawned workers must not run the user's script again."""
    script = tmp_path / "mine.py"
    script.write_text(
        "import fittingroom as fr\n"
        "print('once')\n"
        "c = fr.compare(['readme-004-mlp'], 'train.epochs=1', 'data.limit=600', seeds=2)\n"
        "print(c.rows[0].seeds)\n"
    )
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["once", "(0, 1)"]


def test_mirrored_digits_warn(fashion: Dataset, quick: Quick) -> None:
    from fittingroom.data import load

    recipe = quick("readme-001-base", 'score.average="flip"')
    assert cautions(recipe, fashion) == []
    assert "mirrors images (hflip, score.average)" in cautions(recipe, load("mnist"))[0]


def test_cost_is_measured_once_and_stands_beside_every_seed(fashion: Dataset, quick: Quick, tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    job = plan(quick(), fashion, 0, "cpu", 1)
    seeds = [execute(replace(job, seed=seed), runs) for seed in (0, 1)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fittingroom.study.cost.apart", lambda call, threads: call())  # where the clock can be patched
        patch.setattr("fittingroom.study.clock._others_cpu_s", iter(range(0, 1000, 100)).__next__)
        patch.setattr("fittingroom.study.clock.LOOK_S", 0.0)
        assert measured_cost(job, seeds) is None and seeds[0].cost is None  # the machine was busy
        patch.setattr("fittingroom.study.clock._others_cpu_s", lambda: 0.0)
        cost = measured_cost(job, seeds[:1])
        assert cost and cost.train_images_per_s and cost.train_images_per_s > 100
        assert 0 < cost.latency_1_s < cost.latency_250_s
        assert cost.peak_memory_bytes and 1e8 < cost.peak_memory_bytes < 1e10
        assert known_cost(job, seeds) == cost == seeds[1].cost == load_run(seeds[1]).cost
        patch.setattr("fittingroom.study.cost.machine", lambda: "another")
        assert known_cost(job, seeds) is None
        again = measured_cost(job, seeds)
        assert again and again.machine == "another" and seeds[1].cost == again


@pytest.mark.slow
def test_apart_is_another_process_with_its_own_threads_and_memory() -> None:
    assert apart(os.getpid, 1) != os.getpid() and apart(partial(os.getenv, "OMP_NUM_THREADS"), 3) == "3"
    ballast = np.ones(50_000_000)
    here = peak_memory_bytes("cpu")
    assert here and here > ballast.nbytes
    apart_from_it = apart(partial(peak_memory_bytes, "cpu"), 1)
    assert apart_from_it and apart_from_it < here - ballast.nbytes / 2
