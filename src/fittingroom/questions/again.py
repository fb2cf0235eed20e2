"""A comparison that was answered here before: its runs are found by what was asked for, without torch, which takes a second."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fittingroom.data import Dataset, catalog
from fittingroom.spec.digest import NUMERICS, digest
from fittingroom.spec.machine import cores
from fittingroom.spec.recipe import Recipe
from fittingroom.store import RunFolder
from fittingroom.store.events import Planned
from fittingroom.store.fetch import home as home_of
from fittingroom.study.cautions import cautions, unknown_costs
from fittingroom.study.sharing import cpu_name
from fittingroom.study.workplace import Workplace

DRIVERS = ("/dev/nvidiactl", "/dev/kfd")  # there, where `auto` may mean a GPU


def asked_for(recipes: Sequence[Recipe], data: Sequence[str | Dataset], seeds: Sequence[int], place: Workplace) -> str:
    """A digest of all that decides which runs a plan names; "" where only a plan can tell.

    Pictures of one's own may have changed, a network of one's own too, weights to start from are looked for among the runs, and
    which GPU can be used is known to torch.
    """
    sets = [*data] or [recipe.data.name for recipe in recipes]
    home = home_of(place.home)
    known = catalog.catalog(home)
    own = [r for r in recipes if r.model.kind == "python" or r.model.init or r.data.exclude]
    gpu = place.device != "cpu" and any(Path(driver).exists() for driver in DRIVERS)  # which torch alone can see
    if own or gpu or not all(isinstance(name, str) and name in known for name in sets):
        return ""
    here = (platform.system(), cpu_name(), cores(), place.device)
    trained = [recipe.deciding() | {"name": recipe.name} for recipe in recipes]
    entries = [catalog.entry(str(name), home).model_dump(mode="json") for name in sets]
    return digest([NUMERICS, _version("torch"), _version("fittingroom"), here, trained, entries, list(seeds)])


def answered(name: str, asked: str, place: Workplace) -> list[RunFolder] | None:
    """The runs of the study `name`, if it was asked for just that and all of them are there and whole; else None.

    Raises `Damaged` for one that is not whole.
    """
    study = place.runs.study(name)
    if not (asked and study and study.plan == asked) or place.costs:
        return None
    folders = [*place.runs.runs_of(study)]
    if not all(folder.done and folder.metrics.test for folder in folders):
        return None
    for folder in folders:
        folder.refuse_another()
        folder.refuse_damaged()
    if any(folder.recipe.model.kind == "python" for folder in folders):  # registered by a person, under a name
        return None
    progress, first = place.progress, {folder.recipe.name: folder for folder in reversed(folders)}
    for line in dict.fromkeys(line for f in folders for line in cautions(f.recipe, f.data)):
        progress.note(f"warning: {line}")
    progress.note(f"{len(folders)} runs: all finished")
    if missed := [name for name in reversed(first) if not any(f.cost for f in folders if f.recipe.name == name)]:
        progress.note(unknown_costs(missed))
    progress.event(Planned(runs=len(folders), finished=len(folders)))
    return folders


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
