"""Small real runs for the tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from planned import plan

from fittingroom.data import load
from fittingroom.spec.read import read_recipe
from fittingroom.store import RunFolder, Runs
from fittingroom.study.execute import execute
from fittingroom.study.workplace import Workplace

MadeOnce = Callable[[str, Callable[[Path], object]], Path]  # the fixture `made_once`: of conftest.py


def trained(runs: Runs, recipe: str, *changes: str, data: str = "fashion-mnist", seed: int = 0) -> RunFolder:
    """A finished run, scored on test, made on one thread in float32."""
    read = read_recipe(recipe, ["train.precision=fp32", *changes])
    return execute(plan(read, load(data), seed, "cpu", 1, True, runs), runs)


def resealed(run: RunFolder) -> RunFolder:
    """A finished run whose files a test has written anew, sealed as they are now."""
    (run.path / "DONE").unlink(missing_ok=True)
    run.finish()
    return run


def exported(folder: Path, recipe: str, *changes: str, data: str = "fashion-mnist") -> None:
    """A runs folder with one run that is trained and exported: for `made_once`."""
    from fittingroom.export import export  # heavy, and conftest.py is everybody's

    runs = Runs(folder)
    run = trained(runs, recipe, *changes, data=data)
    export(run, Workplace(runs=runs))
