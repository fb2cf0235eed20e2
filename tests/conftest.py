"""Real Fashion-MNIST, acquired once by the product itself, in small parts."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings
from trained import MadeOnce

from fittingroom.data import Dataset, Images, load
from fittingroom.spec.read import read_recipe
from fittingroom.spec.recipe import Recipe

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job: what we start would not hear Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")  # a busy machine is slow now and then

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def fashion() -> Dataset:
    return load("fashion-mnist")


@pytest.fixture(scope="session")
def few(fashion: Dataset) -> tuple[Images, Images]:
    """600 real images to train on and 200 to validate on."""
    return fashion.train.take(np.arange(600)), fashion.train.take(np.arange(600, 800))


@pytest.fixture
def quick() -> Callable[..., Recipe]:
    """A recipe that trains on 600 real images in a second or less; overrides win."""

    def make(name: str = "readme-004-mlp", *overrides: str) -> Recipe:
        return read_recipe(name, ["train.epochs=2", "data.limit=600", "train.precision=fp32", *overrides])

    return make


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """Makes a folder of this name by a function that fills it; workers of pytest-xdist share it."""
    base = tmp_path_factory.getbasetemp()
    place = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def made(name: str, fill: Callable[[Path], object]) -> Path:
        with FileLock(place / f"{name}.lock"):
            if not (place / name).exists():
                part = place / f"{name}.part"
                part.mkdir()
                fill(part)
                part.rename(place / name)
        return place / name

    return made


@pytest.fixture(scope="session")
def without_torch() -> str:
    """The head of a script in which torch is not installed, as on the base install."""
    return (
        "import sys\n"
        "class Without:\n"
        "    def __init__(self, finder): self.finder = finder\n"
        "    def __getattr__(self, name): return getattr(self.finder, name)\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        return None if name.split('.')[0] == 'torch' else self.finder.find_spec(name, path, target)\n"
        "sys.meta_path[:] = map(Without, sys.meta_path)\n"
    )


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Runs `fittingroom ARGS` as a user would, in a process of its own, inside the test's folder."""

    def run(*args: str, **kwargs: object) -> subprocess.CompletedProcess[str]:
        options = {"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 600, **kwargs}
        return subprocess.run([sys.executable, "-m", "fittingroom", *args], **options)  # type: ignore[call-overload,no-any-return]

    return run


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `fittingroom ARGS` in this process, inside the test's folder: the same entry point without its start."""

    def run(*args: str, input: str = "") -> subprocess.CompletedProcess[str]:
        from fittingroom.__main__ import run as command

        monkeypatch.setattr(sys, "argv", ["fittingroom", *args])
        monkeypatch.setattr(sys, "stdin", io.StringIO(input))
        before = signal.getsignal(signal.SIGTERM)
        try:
            with pytest.raises(SystemExit) as left:
                command()
        finally:
            signal.signal(signal.SIGTERM, before)
        said = capsys.readouterr()
        return subprocess.CompletedProcess(args, int(left.value.code or 0), said.out, said.err)

    return run
