"""What killed commands leave is removed by the next that meets it, and what somebody holds is not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from waiting import until

from fittingroom.store import litter as room
from fittingroom.store.atomic import write
from fittingroom.store.bundles import write_folder
from fittingroom.store.litter import litter, remove, scratch

Command = Callable[..., "CompletedProcess[str]"]
KILLED = """
import os, signal, sys
from pathlib import Path
from fittingroom.store.{where} import {what}
with {what}({arguments}) as made:
    {write}
    print("made", flush=True)
    {then}
"""


def aged(path: Path) -> Path:
    """As if it lay there for a day."""
    yesterday = time.time() - 86_400
    os.utime(path, (yesterday, yesterday))
    return path


@pytest.fixture
def unmet(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has met no folder yet."""
    monkeypatch.setattr(room, "_SWEPT", set())


def in_a_process(folder: Path, what: str, then: str) -> subprocess.Popen[str]:
    """Somebody who makes a file or a folder there, and then …"""
    file = what == "atomic"
    code = KILLED.format(
        where="atomic" if file else "litter",
        what=what,
        arguments=f"Path({str(folder / 'cake')!r})" if file else f"'cake', Path({str(folder)!r})",
        write='made.write(b"half"); made.flush()' if file else '(made / "half").write_bytes(b"half")',
        then=then,
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "made\n"
    return process


@pytest.mark.parametrize("what", ["atomic", "scratch"])
def test_what_was_killed_goes_with_the_next_command_and_what_is_held_stays(
    tmp_path: Path, what: str, unmet: None
) -> None:
    with in_a_process(tmp_path, what, "os.kill(os.getpid(), signal.SIGKILL)") as killed:
        killed.wait()
    [left] = tmp_path.iterdir()
    assert litter(tmp_path) == []  # so young that its maker may not have come to hold it
    with in_a_process(tmp_path, what, "sys.stdin.read()") as at_work:
        [held] = set(tmp_path.iterdir()) - {left}
        aged(left)
        aged(held)
        assert litter(tmp_path) == [left]
        write(tmp_path / "other", b"")  # any command that writes there
        assert {path.name for path in tmp_path.iterdir()} == {held.name, "other"}
        at_work.kill()
        at_work.wait()
    until(lambda: litter(tmp_path) == [held])


def test_names_of_others_are_nobodys_litter(tmp_path: Path) -> None:
    of_before = [".cake.abcdefgh.part", ".making-abcdefgh", ".fetch-abcdefgh"]
    others = [
        ".bashrc.original.old",
        ".profile.20240101.old",
        ".fetch-metadata.txt",
        "a.part",
        "cake.abcdefgh.fittingroom-part",
    ]
    for name in (*others, *of_before, ".cake.abcdefgh.fittingroom-part"):
        (tmp_path / name).write_bytes(b"")
        aged(tmp_path / name)
    assert [path.name for path in litter(tmp_path)] == [".cake.abcdefgh.fittingroom-part"]
    assert {path.name for path in litter(tmp_path, ours=True)} == {*of_before, ".cake.abcdefgh.fittingroom-part"}


def test_a_folder_that_was_to_be_replaced_has_its_name_again(tmp_path: Path, unmet: None) -> None:
    """Killed after the old one had gone out of the way, before the new one had its name."""
    write_folder(tmp_path / "cake", {"mark": "old"}, "mark")
    aged((tmp_path / "cake").rename(tmp_path / ".cake.abcdefgh.fittingroom-old"))
    room._SWEPT.clear()
    write(tmp_path / "other", b"")
    assert (tmp_path / "cake" / "mark").read_text() == "old" and not (
        tmp_path / ".cake.abcdefgh.fittingroom-old"
    ).exists()
    (tmp_path / ".cake.ijklmnop.fittingroom-old").mkdir()  # there is a new one: the old one goes
    remove(tmp_path / ".cake.ijklmnop.fittingroom-old")
    assert (tmp_path / "cake" / "mark").read_text() == "old" and not (
        tmp_path / ".cake.ijklmnop.fittingroom-old"
    ).exists()


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "dear").write_bytes(b"dear")
    (tmp_path / "there").mkdir()
    link = tmp_path / "there" / ".cake.abcdefgh.fittingroom-part"
    link.symlink_to(tmp_path / "mine")
    os.utime(link, (0, 0), follow_symlinks=False)
    aged(tmp_path / "mine")
    assert litter(tmp_path / "there") == [] and (tmp_path / "mine" / "dear").exists()


def test_scratch_is_gone_after_a_failure(tmp_path: Path) -> None:
    with pytest.raises(ValueError), scratch("cake", tmp_path) as place:
        (place / "half").write_bytes(b"")
        raise ValueError
    assert not list(tmp_path.iterdir())


def test_tidy_says_and_removes(here: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    left = []
    for folder, name in (
        ("runs/a", ".weights.abcdefgh.fittingroom-part"),
        ("home/images", ".making.abcdefgh.fittingroom-part"),
        ("temporary", ".fittingroom.abcdefgh.fittingroom-part"),
    ):
        (tmp_path / folder / name).mkdir(parents=True)
        (tmp_path / folder / name / "half").write_bytes(b"x" * 1234)
        left.append(aged(tmp_path / folder / name))
    aged_other = tmp_path / "temporary" / ".other.abcdefgh.fittingroom-part"
    aged_other.mkdir()
    aged(aged_other)
    words = ("runs", "--tidy", "--runs", str(tmp_path / "runs"), "--home", str(tmp_path / "home"))
    told = here(*words)
    assert told.returncode == 0 and "removed 3" in told.stdout and told.stdout.count("1,234 bytes") == 3
    assert not any(path.exists() for path in left) and aged_other.exists()
    assert "no killed command left anything" in here(*words).stdout
