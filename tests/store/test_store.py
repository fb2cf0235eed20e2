"""Run folders: whole files or none, DONE last, damaged files named, names that cannot leave the folder."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fittingroom.spec.errors import FittingroomError, NotFree
from fittingroom.spec.records import Epoch
from fittingroom.store import RunFolder, Runs
from fittingroom.store.atomic import atomic, explained, write
from fittingroom.store.runs import run_name, safe_name


def epoch(number: int) -> Epoch:
    return Epoch(
        epoch=number, lr=0.1, train_loss=1, train_accuracy=0.5, clean_loss=1, clean_accuracy=0.5, clean_n=10,
        val_loss=None, val_accuracy=None, train_s=1, eval_s=1,
    )  # fmt: skip


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    write(tmp_path / "a", "old")
    with pytest.raises(ZeroDivisionError), atomic(tmp_path / "a") as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert (tmp_path / "a").read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("code", "text"),
    [(errno.ENOSPC, "no space left"), (errno.EACCES, "no permission"), (errno.EROFS, "the file system is read-only")],
)
def test_what_the_system_refuses_becomes_a_message_with_a_remedy(tmp_path: Path, code: int, text: str) -> None:
    with pytest.raises(FittingroomError, match=f"cannot write .*/x: {text}.*--runs"), explained(tmp_path / "x"):
        raise OSError(code, "refused")


def test_a_really_full_disk(tmp_path: Path) -> None:
    """/dev/full refuses every write with ENOSPC, as a full disk does."""
    with (
        pytest.raises(FittingroomError, match="no space left"),
        explained(tmp_path / "x"),
        Path("/dev/full").open("wb", 0) as full,
    ):
        full.write(b"x")


def test_a_path_through_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FittingroomError, match="is a file, not a folder"):
        write(tmp_path / "file" / "runs" / "x", "content")


def test_a_line_cut_off_by_a_kill_is_no_epoch(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.append(epoch(1))
    run.append(epoch(2))
    with (tmp_path / "epochs.jsonl").open("a") as file:
        file.write('{"epoch": 3, "lr"')
    assert [e.epoch for e in run.epochs] == [1, 2]
    run.keep_epochs(epoch(1).model_dump_json() + "\n")
    assert [e.epoch for e in run.epochs] == [1]


def test_arrays_survive_with_shape_type_and_value(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    arrays = {"scalar": np.array(3), "empty": np.zeros((0, 2), np.float32), "strided": np.arange(12.0).reshape(3, 4).T}
    run.write_weights(arrays)
    read = run.weights
    assert all(
        read[k].shape == v.shape and read[k].dtype == v.dtype and np.array_equal(read[k], v) for k, v in arrays.items()
    )
    (tmp_path / "weights.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(FittingroomError, match="not readable"):
        _ = run.weights


def test_nothing_is_ever_unpickled(tmp_path: Path) -> None:
    """An .npz with an object array carries a pickle; it must not be loaded."""
    np.savez(tmp_path / "predictions.npz", test_logits=np.array([print], dtype=object), test_labels=np.array([0]))
    with pytest.raises(FittingroomError, match="allow_pickle=False"):
        RunFolder(tmp_path).predictions("test")


@given(st.text(max_size=80))
def test_any_name_is_one_path_component(name: str) -> None:
    safe = safe_name(name)
    assert (
        safe
        and "/" not in safe
        and "\\" not in safe
        and "\0" not in safe
        and safe not in (".", "..")
        and len(safe) <= 60
    )


def test_finding_runs(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    for seed in (0, 1):
        write(runs.path / run_name("T-shirt/top", "x", seed, "abcdef123456") / "run.json", json.dumps({"seed": seed}))
    assert [r.seed for r in runs.list()] == [0, 1]
    assert runs.find("T-shirt-top_x_s1").seed == 1
    with pytest.raises(FittingroomError, match="could be 2 runs"):
        runs.find("T-shirt")
    with pytest.raises(FittingroomError, match="unknown run"):
        runs.find("nothing")
    runs.delete(runs.find("T-shirt-top_x_s1"))
    assert len(runs.list()) == 1


def test_test_readings_are_counted_and_damage_does_not_stop_the_count(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    assert runs.test_reads() == {}
    runs.log_test_read("a", "mnist", "d")
    with (tmp_path / "test_reads.jsonl").open("a") as file:
        file.write("{half a line\n")
    runs.log_test_read("b", "mnist", "d")
    assert runs.test_reads() == {"mnist": 2}


def test_two_processes_never_write_one_run(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from fittingroom.store import RunFolder\n"
        "with RunFolder(Path(sys.argv[1])).lock(): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None and other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(NotFree, match="another process is training"), RunFolder(tmp_path).lock():
            pass
        other.stdin.close()
        other.wait()
    with RunFolder(tmp_path).lock():
        pass


@pytest.mark.parametrize("name", ["metrics.json", "env.json"])
def test_a_damaged_record_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{")
    run = RunFolder(tmp_path)
    with pytest.raises(FittingroomError, match=name):
        _ = run.metrics if name == "metrics.json" else run.environment
    (tmp_path / name).write_text("{}")
    with pytest.raises(FittingroomError, match="damaged"):
        _ = run.metrics if name == "metrics.json" else run.environment
