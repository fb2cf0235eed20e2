"""`fittingroom runs --verify`: on real runs, whole, damaged, of before, and such as do not agree with themselves."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trained import MadeOnce, resealed, trained

from fittingroom.questions.verify import verify
from fittingroom.spec.errors import FittingroomError
from fittingroom.store import RunFolder, Runs, Study
from fittingroom.store.seal import Damaged

OLD = "2026-11-20T10:00:00+00:00\n"  # what DONE held before there were seals
HOSTILE = [b"", b"{", b"[" * 100_000, b"null", b"[]", b"\xff\xfe", b'{"runs": 3}', b'{"question": [], "runs": []}']


@pytest.fixture
def runs(made_once: MadeOnce, tmp_path: Path) -> Runs:
    """Two finished runs, and a study of them."""

    def fill(folder: Path) -> None:
        made = Runs(folder)
        for seed in (0, 1):
            trained(made, "readme-004-mlp", "train.epochs=2", "data.limit=600", seed=seed)
        made.write_study("both", Study(runs=tuple(run.name for run in made.list())))

    shutil.copytree(made_once("two runs to verify", fill), tmp_path / "runs")
    return Runs(tmp_path / "runs")


def states(runs: Runs) -> list[str]:
    return [row["state"] for row in verify(runs)]


def test_whole_renamed_and_of_before(runs: Runs) -> None:
    one, other = runs.list()
    (one.path / "DONE").write_text(OLD)
    assert states(runs) == ["sealed now", "whole"] and states(runs) == ["whole", "whole"]
    other.path.rename(runs.path / "mine")
    assert f"the folder was renamed: it holds {other.name}" in [row["why"] for row in verify(runs)]


def disagree(run: RunFolder, how: str) -> None:
    """Change what a seal alone would tell, and seal it."""

    def change(name: str, edit: Callable[[dict[str, Any]], None]) -> None:
        tree = json.loads((run.path / name).read_text())
        edit(tree)
        (run.path / name).write_text(json.dumps(tree))

    match how:
        case "scores":
            change("metrics.json", lambda m: m["test"].update(accuracy=0.99))
        case "epochs":
            (run.path / "epochs.jsonl").write_text((run.path / "epochs.jsonl").read_text().split("\n")[0] + "\n")
        case "structure":
            change("structure.json", lambda s: s.update(parameters=7))
        case "weights":
            weights = run.weights
            (run.path / "DONE").unlink()
            run.write_weights({name: value for name, value in weights.items() if not name.endswith("bias")})
        case "numbers":
            weights = run.weights
            (run.path / "DONE").unlink()
            run.write_weights({name: value * np.float32("nan") for name, value in weights.items()})
        case "rows":
            said = np.load(run.path / "predictions.npz")
            (run.path / "DONE").unlink()
            run.write_npz("predictions", {name: said[name][:50] for name in said})
        case _:
            said = np.load(run.path / "predictions.npz")
            logits, labels = said["test_logits"], said["test_labels"]
            wrong = {
                "label 99": {"test_labels": np.full_like(labels, 99)},
                "nan": {"test_logits": logits * np.float32("nan")},
                "three dimensions": {"test_logits": logits[None]},
                "strings": {"test_labels": labels.astype(str)},
            }
            (run.path / "DONE").unlink()
            run.write_npz("predictions", {name: said[name] for name in said} | wrong[how])


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("scores", "the answers in predictions.npz do not give the test scores in metrics.json"),
        ("epochs", "epochs.jsonl has 1 epochs, metrics.json 2"),
        ("structure", "structure.json is not the network's"),
        ("weights", "weights.safetensors and recipe.toml do not agree"),
        ("numbers", "holds numbers that are none"),
        ("rows", "answers to 50 val images, data.json knows 60"),
        ("label 99", "predictions.npz holds no answers"),
        ("nan", "predictions.npz holds no answers"),
        ("three dimensions", "predictions.npz holds no answers"),
        ("strings", "predictions.npz holds no answers"),
    ],
)
def test_files_that_do_not_agree_are_told_though_each_is_whole(runs: Runs, how: str, why: str) -> None:
    [one, _] = runs.list()
    disagree(one, how)
    resealed(one)
    found = verify(runs)
    assert [row["state"] for row in found] == ["damaged", "whole"] and why in found[0]["why"]


@pytest.mark.parametrize("content", HOSTILE)
def test_a_damaged_study_is_one_line_and_the_rest_goes_on(
    runs: Runs, content: bytes, here: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    file = runs.path / "studies" / "both.json"
    file.write_bytes(content)
    with pytest.raises(Damaged, match=r"both.json .*its runs are untouched: ask the same question once more"):
        runs.study("both")
    told: list[str] = []
    assert runs.whole_studies(told.append) == {} and len(told) == 1
    assert [row["what"] for row in verify(runs) if row["state"] == "damaged"] == ["study both"]


def test_a_changed_study_is_not_believed(runs: Runs) -> None:
    file = runs.path / "studies" / "both.json"
    file.write_text(file.read_text().replace("_s1_", "_s0_"))
    with pytest.raises(Damaged, match="is not what it was when it was written"):
        runs.study("both")


@pytest.mark.parametrize("line", [b"\xff\xfe", b"[]", b"null", b"[" * 100_000, b'{"dataset": "mnist", "seal": "0"}'])
def test_a_damaged_reading_of_the_test_set_is_told_and_the_others_count(runs: Runs, line: bytes) -> None:
    log = runs.path / "test_reads.jsonl"
    log.write_bytes(log.read_bytes() + line + b"\n")
    assert runs.test_reads() == {"fashion-mnist": 2}
    [wrong] = runs.damaged_reads()
    assert wrong.startswith(f"line 3 of {log} is") and "which one is not known any more" in wrong


def test_the_command(runs: Runs, here: Callable[..., Any]) -> None:
    one, _ = runs.list()
    assert "2 verified, none damaged" in here("runs", "--verify", "--runs", str(runs.path)).stdout
    (one.path / "metrics.json").write_text((one.path / "metrics.json").read_text().replace("0.", "0.9", 1))
    told = here("runs", "--verify", "--runs", str(runs.path))
    assert (
        told.returncode == 2 and "1 of 2 are damaged" in told.stderr and "its scores cannot be believed" in told.stdout
    )
    listed = here("runs", "--runs", str(runs.path))
    assert listed.returncode == 0 and "damaged" in listed.stdout and "finished" in listed.stdout
    for words in (("report", one.name), ("export", one.name), ("train", str(one.path / "recipe.toml"))):
        told = here(*words, "--runs", str(runs.path))
        assert told.returncode == 2 and "metrics.json" in told.stderr and "Traceback" not in told.stderr, words
    with pytest.raises(FittingroomError, match="metrics.json"):
        runs.select([one.name])
    again = here("train", str(one.path / "recipe.toml"), "--fresh", "--runs", str(runs.path))
    assert (
        again.returncode == 0
        and "2 verified, none damaged" in here("runs", "--verify", "--runs", str(runs.path)).stdout
    )
    (one.path / "weights.safetensors").write_bytes(b"")
    told = here("train", str(one.path / "recipe.toml"), "--runs", str(runs.path))
    assert told.returncode == 2 and "the trained network cannot be believed" in told.stderr
    assert here("runs", one.name, "--delete", "--all", "--yes", "--runs", str(runs.path)).returncode == 0


def put(one: RunFolder, other: RunFolder) -> None:
    """`other`'s files in `one`'s folder."""
    shutil.rmtree(one.path)
    shutil.copytree(other.path, one.path)


def test_a_run_in_another_ones_folder_is_nobodys_answer(runs: Runs, here: Callable[..., Any]) -> None:
    one, other = runs.list()
    recipe = str(shutil.copy(one.path / "recipe.toml", runs.path / "mine.toml"))
    put(one, other)
    for words in (("train", recipe), ("report", "both"), ("export", one.name), ("runs", "--verify")):
        told = here(*words, "--runs", str(runs.path))
        assert told.returncode == 2 and "holds another run (readme-004-mlp, seed 1, digest" in told.stderr + told.stdout
    assert here("train", recipe, "--fresh", "--runs", str(runs.path)).returncode == 0
    assert states(runs) == ["whole", "whole"]


def test_what_was_put_in_anothers_place_is_told(runs: Runs) -> None:
    runs.write_study("mine", Study(question="cv", runs=(), settings={}), {"fold_N": np.arange(4)})
    runs.write_study("yours", Study(question="cv", runs=(), settings={}), {"fold_N": np.arange(4)[::-1]})
    assert runs.study_arrays("mine")["fold_N"].tolist() == [0, 1, 2, 3] and states(runs) == ["whole", "whole"]
    studies = runs.path / "studies"
    shutil.copy(studies / "mine.npz", studies / "yours.npz")
    with pytest.raises(Damaged, match=r"yours.npz .* or belongs to another"):
        runs.study_arrays("yours")
    shutil.copy(studies / "both.json", studies / "mine.json")
    with pytest.raises(Damaged, match="holds the study both"):
        runs.study("mine")
    [kept] = runs.path.glob("thumbnails/*.npz")
    with np.load(kept) as arrays:
        changed = {name: arrays[name][::-1] if name == "images" else arrays[name] for name in arrays}
    np.savez(kept, **changed)
    wrong = [row["what"] for row in verify(runs) if row["state"] == "damaged"]
    assert wrong == ["study mine", "study yours", f"pictures {kept.name}"]


@pytest.mark.parametrize("name", ["DONE", "run.json", "weights.safetensors"])
@pytest.mark.parametrize("kind", ["folder", "pipe", "nothing"])
def test_what_is_no_file_is_a_sentence(runs: Runs, name: str, kind: str) -> None:
    one, _ = runs.list()
    (one.path / name).unlink()
    if kind != "nothing":
        (os.mkfifo if kind == "pipe" else os.mkdir)(one.path / name)
    [row, _] = verify(runs)
    missing = name == "DONE" and kind == "nothing"
    assert row["state"] == ("not finished" if missing else "damaged")
    assert missing or f"{one.path / name} is {'missing' if kind == 'nothing' else 'no plain file'}" in row["why"]


def test_the_advice_works_and_harms_nothing_else(runs: Runs, here: Callable[..., Any]) -> None:
    one, _ = runs.list()
    shutil.copytree(one.path, runs.path / f"{one.name}-backup")
    assert here("runs", one.name, "--delete", "--all", "--yes", "--runs", str(runs.path)).returncode == 0
    assert [run.name for run in runs.list()] == [f"{one.name}-backup", runs.list()[1].name]
    (runs.path / "linked").symlink_to(runs.path / f"{one.name}-backup")
    told = here("runs", "linked", "--delete", "--yes", "--runs", str(runs.path))
    assert told.returncode == 2 and "is a link to" in told.stderr and runs.list()[0].done


def test_a_stray_file_is_of_no_run(runs: Runs) -> None:
    one, _ = runs.list()
    (one.path / "deletion.json").write_text("{}")
    with pytest.raises(Damaged, match="nobody sealed it"):
        one.deletion()
    assert states(runs) == ["damaged", "whole"]
