"""Output that nobody can take, a place without a home, a narrow terminal: one sentence, or none, and nothing is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import platformdirs
import pytest

from fittingroom.spec.errors import FittingroomError
from fittingroom.store import Runs
from fittingroom.store.fetch import home

pytestmark = pytest.mark.slow

Command = Callable[..., "CompletedProcess[str]"]
FITTINGROOM = f"{sys.executable} -m fittingroom"
SHORT = "train readme-004-mlp train.epochs=2 data.limit=500 --no-test"


def shell(line: str, folder: Path, **environment: str) -> CompletedProcess[str]:
    """A line as a person types it; its exit code is that of the first command."""
    return subprocess.run(
        ["bash", "-c", f"{line}; exit ${{PIPESTATUS[0]}}"],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("words", ["recipes", "--help", "recipes fast-mnist", "runs --json"])
def test_a_full_output_is_told(words: str, tmp_path: Path) -> None:
    found = shell(f"{FITTINGROOM} {words} > /dev/full", tmp_path)
    assert found.returncode == 2 and found.stderr == "error: standard output: No space left on device\n"
    assert found.stderr.count("\n") == 1
    assert shell(f"{FITTINGROOM} {words} > /dev/full 2> /dev/full", tmp_path).returncode == 2


@pytest.mark.parametrize("words", ["recipes", "--help", "recipes fast-mnist", "runs --json"])
def test_a_reader_who_has_gone_is_no_fault(words: str, tmp_path: Path) -> None:
    found = shell(f"{FITTINGROOM} {words} | true", tmp_path)
    assert found.returncode == 0 and found.stderr == ""


@pytest.mark.parametrize("ending", ["2>&1 | true", ">&- 2>&-", "<&- >&-"])
def test_work_goes_on_though_nobody_listens(ending: str, tmp_path: Path) -> None:
    assert shell(f"{FITTINGROOM} {SHORT} {ending}", tmp_path).returncode == 0
    [run] = Runs(tmp_path / "runs").list()
    assert run.done


def test_what_a_terminal_cannot_show_is_spelled_out(tmp_path: Path) -> None:
    found = shell(f"{FITTINGROOM} recipes", tmp_path, PYTHONIOENCODING="ascii", COLUMNS="20")
    assert found.returncode == 0 and found.stderr == "" and r"3\xd73 stem" in found.stdout
    assert shell(f"{FITTINGROOM} --help", tmp_path, PYTHONIOENCODING="ascii", COLUMNS="20").returncode == 0


def test_nobody_without_a_home_gets_a_folder_called_tilde(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def nowhere(_: str) -> str:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr(platformdirs, "user_cache_dir", nowhere)
    monkeypatch.delenv("FITTINGROOM_HOME", raising=False)
    with pytest.raises(FittingroomError, match="no home folder to keep data in; name a place: --home"):
        home()
    assert home(tmp_path) == tmp_path.resolve()


def test_what_the_system_refuses_is_a_sentence(here: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr("fittingroom.questions.listing.runs_in", refuses)
    found = here("runs")
    assert found.returncode == 2 and "Traceback" not in found.stderr
    assert "set TMPDIR to a folder that can be written to" in found.stderr
