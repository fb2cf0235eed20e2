"""Sealed runs: what is stored cannot lie. On a real run, whose files are damaged one after the other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planned import plan
from trained import MadeOnce, trained

from fittingroom.data import Dataset
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import Recipe
from fittingroom.store import RunFolder, Runs, load_run
from fittingroom.store.seal import Damaged, json_with_seal, sealed_json, sealed_tensors, tensors_with_seal
from fittingroom.study import execute as execution
from fittingroom.study.execute import Update, execute

FILES = (
    "DONE", "data.json", "env.json", "epochs.jsonl", "metrics.json", "predictions.npz", "recipe.toml", "run.json",
    "samples.npz", "structure.json", "weights.safetensors",
)  # fmt: skip
trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@pytest.fixture
def run(made_once: MadeOnce, tmp_path: Path) -> RunFolder:
    """A copy of a finished run."""
    made = made_once(
        "a run to damage", lambda folder: trained(Runs(folder), "readme-004-mlp", "train.epochs=2", "data.limit=600")
    )
    shutil.copytree(made, tmp_path / "runs")
    [found] = Runs(tmp_path / "runs").list()
    return found


def read_all(run: RunFolder) -> None:
    """As everything that is asked about runs does."""
    run.refuse_unfinished()
    load_run(run)
    run.samples()
    _ = run.weights
    run.refuse_damaged()


def test_a_finished_run_is_sealed_whole(run: RunFolder) -> None:
    seal = run.seal
    assert seal is not None and sorted(seal.files) == sorted(set(FILES) - {"DONE"})
    assert (seal.digest, seal.seed, seal.epochs) == (run.identity["digest"], 0, 2)
    assert seal.images == {"train": 540, "val": 60, "test": 10_000}
    read_all(run)


@pytest.mark.parametrize("name", FILES)
def test_no_flipped_bit_and_no_changed_digit_is_believed(run: RunFolder, name: str) -> None:
    """Wherever it is; the file is named, with the command that makes it again. What was whole is read as before."""
    path, rng = run.path / name, np.random.default_rng(len(name))
    whole = path.read_bytes()
    for _ in range(25):
        content = bytearray(whole)
        at = int(rng.integers(len(content)))
        content[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
        with pytest.raises(FittingroomError, match=name):
            read_all(run)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Damaged, match=rf"{name} .*to have it again: fittingroom runs {run.name} --delete --all"):
        read_all(run)
    path.unlink()
    with pytest.raises(FittingroomError, match=name if name != "DONE" else "is not finished"):
        read_all(run)
    path.write_bytes(whole)
    read_all(run)


def test_what_comes_later_is_sealed_too_and_a_kill_leaves_what_is_whole(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fittingroom.store import runs as room

    run.write_npz("stress", {"version": np.array(1)})
    run.write_npz("stress", {"version": np.array(2)})
    assert run.seal and len(run.seal.files["stress.npz"]) == 1
    file = run.path / "stress.npz"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + b"x")
    with pytest.raises(Damaged, match=f"stress.npz .*: fittingroom stress {run.name}"):
        run.stressed()
    file.write_bytes(whole)
    write, calls = room.write, 0
    for fails in range(3):  # before it, between the file and its seal, and after

        def killed(path: Path, content: str | bytes, fails: int = fails) -> None:
            nonlocal calls
            if calls == fails:
                raise KeyboardInterrupt
            calls += 1
            write(path, content)

        calls = 0
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(room, "write", killed)
            run.write_npz("stress", {"version": np.array(3 + fails)})
        found = run.stressed()
        assert found is not None and int(found["version"]) in (2, 3, 4, 5)
        run.refuse_damaged()
    file.unlink()  # a person may
    assert run.stressed() is None
    run.refuse_damaged()


def test_a_run_of_before_is_read_as_it_is(run: RunFolder) -> None:
    (run.path / "DONE").write_text("2026-11-20T10:00:00+00:00\n")
    assert run.done and run.seal is None
    read_all(run)


@pytest.mark.slow
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_training_goes_on_from_the_last_state_that_is_whole(
    fashion: Dataset,
    quick: Callable[..., Recipe],
    tmp_path: Path,
    damage: str,
    before: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or, where there is none, from the beginning: to the same bytes, and it says so."""
    monkeypatch.setattr(execution._Pace, "due", lambda self: nullcontext(True))  # every epoch, however short
    job = plan(quick("readme-004-mlp", "train.epochs=4", "train.select=best_val"), fashion, 0, "cpu", 1)
    whole = execute(job, Runs(tmp_path / "a"))

    def stop_after_three(sign: Update) -> None:
        if sign.record and sign.record.epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(job, Runs(tmp_path / "b"), listen=stop_after_three)
    cut = job.folder(Runs(tmp_path / "b"))
    path = cut.path / "checkpoint.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes({"flip": bytes(content), "cut": bytes(content[:99]), "empty": b""}[damage])
    if not before:
        (cut.path / "checkpoint-before.safetensors").unlink()
    lines = (cut.path / "epochs.jsonl").read_text()
    (cut.path / "epochs.jsonl").write_text(lines.replace("1", "7"))  # which the state knows better
    said: list[str] = []
    execute(job, Runs(tmp_path / "b"), listen=lambda sign: said.append(sign.said) if sign.said else None)
    assert "checkpoint.safetensors" in said[0] and ["starts over" in line for line in said[1:]] == [True] * (not before)
    for name in ("weights.safetensors", "predictions.npz"):
        assert (cut.path / name).read_bytes() == (whole.path / name).read_bytes()
    assert [e.train_loss for e in cut.epochs] == [e.train_loss for e in whole.epochs]


def test_a_training_does_not_go_on_with_anothers_state(
    fashion: Dataset, quick: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution._Pace, "due", lambda self: nullcontext(True))
    jobs = [plan(quick("readme-004-mlp", "train.epochs=4"), fashion, seed, "cpu", 1) for seed in (0, 1)]
    runs, said = Runs(tmp_path), list[str]()

    def stop_after_two(sign: Update) -> None:
        if sign.record and sign.record.epoch == 2:
            raise KeyboardInterrupt

    for job in jobs:
        with pytest.raises(KeyboardInterrupt):
            execute(job, runs, listen=stop_after_two)
    mine, other = (job.folder(runs).path for job in jobs)
    shutil.copy(other / "checkpoint.safetensors", mine)
    execute(jobs[0], runs, listen=lambda sign: said.append(sign.said) if sign.said else None)
    assert "is of another run; going on from the state before it" in said[0] and len(said) == 1
    shutil.rmtree(mine)
    shutil.copytree(other, mine)
    with pytest.raises(Damaged, match=r"holds another run .*seed 1"):
        execute(jobs[0], runs)


def test_a_training_whose_environment_was_changed_does_not_go_on(
    fashion: Dataset, quick: Callable[..., Recipe], tmp_path: Path
) -> None:
    job, runs = plan(quick("readme-004-mlp", "train.epochs=3"), fashion, 0, "cpu", 1), Runs(tmp_path)

    def stop(sign: Update) -> None:
        if sign.record:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(job, runs, listen=stop)
    env = job.folder(runs).path / "env.json"
    env.write_text(env.read_text().replace('"threads": 1', '"threads": 2'))
    with pytest.raises(Damaged, match=r"env.json is not what it was .* --fresh"):
        execute(job, runs)


@given(st.dictionaries(st.text().filter(lambda key: key != "seal"), trees), st.integers(0), st.integers(0, 7))
def test_an_object_is_what_was_sealed(tree: dict[str, object], at: int, bit: int) -> None:
    text = json_with_seal(tree).encode()
    assert sealed_json(text) == tree
    content = bytearray(text)
    content[at % len(content)] ^= 1 << bit
    try:
        found = sealed_json(bytes(content))
    except (ValueError, Damaged):
        return
    if b'"seal"' in content:  # else it is one of before there were seals
        assert found == tree or json.dumps(found) == json.dumps(tree)


def test_tensors_are_what_was_sealed() -> None:
    arrays = {"a": np.arange(6.0).reshape(2, 3), "scalar": np.array(3), "empty": np.zeros((0, 2), np.float32)}
    content = tensors_with_seal(arrays)
    assert all(np.array_equal(value, arrays[name]) for name, value in sealed_tensors(content).items())
    for at in range(len(content)):
        changed = bytearray(content)
        changed[at] ^= 1
        try:
            found = sealed_tensors(bytes(changed))
        except Damaged:
            continue
        assert all(np.array_equal(value, arrays[name]) for name, value in found.items()), at
