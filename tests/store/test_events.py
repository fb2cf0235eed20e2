"""Events: what is appended is read, whatever else is in the file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.records import Epoch
from fittingroom.store import events
from fittingroom.store.events import (
    Answered,
    EpochEnded,
    Event,
    Failed,
    Planned,
    RunBegun,
    RunEnded,
    StudyWritten,
    append,
    read,
    read_on,
)

EPOCH = Epoch(
    epoch=1, lr=0.1, train_loss=1, train_accuracy=0.5, clean_loss=1, clean_accuracy=0.5, clean_n=10,
    val_loss=None, val_accuracy=None, train_s=1, eval_s=1,
)  # fmt: skip
ONE_OF_EACH: list[Event] = [
    Planned(runs=2, finished=1),
    RunBegun(run="a_s0", recipe="a", dataset="mnist", seed=0, epochs=1),
    EpochEnded(run="a_s0", epochs=1, record=EPOCH),
    RunEnded(run="a_s0", finished=True),
    StudyWritten(name="a-b"),
    Answered(question="compare", subject="a-b", sentences=("a is\nbetter", "é"), files=("runs/a-b.html",)),
    Failed(message="mine.toml: 1 fault", faults={"optimizer.lr": "-1 must be > 0"}),
]


def test_what_is_appended_is_read_one_object_a_line(tmp_path: Path) -> None:
    file = tmp_path / "new" / "events"
    for event in ONE_OF_EACH:
        append(file, event)
    assert read(file) == ONE_OF_EACH
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["event"] for line in lines] == [
        "planned",
        "run_begun",
        "epoch",
        "run_ended",
        "study",
        "answer",
        "failed",
    ]
    assert all(1.5e9 < line["time"] < 1e10 for line in lines)


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from(
                [
                    b"",
                    b"{}",
                    b"[]",
                    b"null",
                    b'{"event": "planned"}',
                    b'{"event": "of tomorrow", "time": 1}',
                    b"\xff\xfe",
                ]
            ),
        ),
        max_size=6,
    )
)
def test_lines_that_are_none_of_ours_hide_no_others(
    tmp_path_factory: pytest.TempPathFactory, other: list[bytes]
) -> None:
    """Damaged, of a newer version, no UTF-8; and fields that came later."""
    file = tmp_path_factory.getbasetemp() / "mixed"
    good = ONE_OF_EACH[0].model_dump_json().encode().replace(b"{", b'{"later": [1], ', 1)
    file.write_bytes(b"\n".join([*(line.replace(b"\n", b"") for line in other), good, b""]))
    assert read(file)[-1] == ONE_OF_EACH[0]


def test_a_line_that_is_being_written_is_read_when_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "events"
    append(file, ONE_OF_EACH[0])
    line = ONE_OF_EACH[1].model_dump_json().encode()
    with file.open("ab") as out:
        out.write(line[:30])
    found, first = read_on(file, 0)
    assert found == ONE_OF_EACH[:1] == read(file) and read_on(file, first) == ([], first)
    with file.open("ab") as out:
        out.write(line[30:] + b"\n")
    assert read_on(file, first) == (ONE_OF_EACH[1:2], file.stat().st_size)


def test_files_of_any_size_are_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines lie across the ends of parts; one that is longer than a part is left out, and holds up nothing."""
    monkeypatch.setattr(events, "CHUNK_BYTES", 1000)
    file = tmp_path / "events"
    for i in range(50):
        append(file, Planned(runs=i, finished=0))
    with file.open("ab") as out:
        out.write(b'{"event": "failed", "message": "' + b"x" * 3500 + b'"}\n')
    append(file, ONE_OF_EACH[-1])
    found = read(file)
    assert [event.runs for event in found if isinstance(event, Planned)] == list(range(50)) and found[
        -1
    ] == ONE_OF_EACH[-1]


@pytest.mark.parametrize("kind", ["nothing", "folder", "pipe"])
def test_what_is_no_file_has_no_events(tmp_path: Path, kind: str) -> None:
    match kind:
        case "folder":
            (tmp_path / "events").mkdir()
        case "pipe":
            os.mkfifo(tmp_path / "events")
    assert read(tmp_path / "events") == []


def test_names_of_any_bytes_can_be_told(tmp_path: Path) -> None:
    name = b"caf\xe9.html".decode("utf-8", "surrogateescape")
    append(tmp_path / "events", Answered(question="report", files=(name,)))
    [told] = read(tmp_path / "events")
    assert isinstance(told, Answered) and told.files == ("caf?.html",)


def test_a_pipe_can_be_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(
        [sys.executable, "-c", "print(open('pipe').read())"], cwd=tmp_path, stdout=subprocess.PIPE
    ) as reader:
        append(pipe, ONE_OF_EACH[0])
        assert reader.stdout and json.loads(reader.stdout.read())["runs"] == 2


def test_a_full_disk_is_told() -> None:
    with pytest.raises(FittingroomError, match="no space left"):
        append(Path("/dev/full"), Answered(question="compare", sentences=("long " * 10_000,)))
