"""Which packed runs of a folder of evidence are runs of which recipe, and what is still to be trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from fittingroom.metrics.claims import Groups
from fittingroom.spec.digest import NUMERICS
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import Recipe, ShapeSpec
from fittingroom.store import Evidence, LoadedRun, RunFolder
from fittingroom.store.fetch import Say


class Kept:
    """Runs that are packed in a folder, by recipe, data set and seed; more are added as they are trained."""

    def __init__(self, path: Path, say: Say = lambda line: None) -> None:
        """`say` hears how many of its runs count for nothing, and why. Raises `FittingroomError` for what is no folder."""
        if path.exists() and not path.is_dir():
            raise FittingroomError(
                f"{path} is no folder; --evidence takes a folder of packed runs, report one or its files"
            )
        self.evidence = Evidence(path)
        self.told: set[str] = set()
        self.say = say
        there = [*self.evidence.runs()]
        self.all = [run for run in there if run.identity.get("numerics") == NUMERICS]
        if not there:
            self._tell(f"{path} has no packed run yet")
        elif len(self.all) < len(there):
            old = len(there) - len(self.all)
            self._tell(
                f"{old} of {len(there)} runs in {path} were trained by an older fittingroom, whose numbers are others"
            )

    def of(self, recipe: Recipe, dataset: str) -> dict[int, LoadedRun]:
        """The packed runs of `recipe` on a data set by seed: of those in several precisions or devices, where most are."""
        mine = [run for run in self.all if run.data.name == dataset and _is(run, recipe)]
        kept, left = most_alike(mine)
        if left:
            self._tell(f"{left} packed runs of {recipe.name} on {dataset} are of another precision or device than most")
        found: dict[int, LoadedRun] = {}
        for run in kept:
            found.setdefault(run.seed, run)
        return found

    def add(self, folders: Iterable[RunFolder]) -> list[LoadedRun]:
        """Pack runs that are finished; what they are then."""
        packed = [self.evidence.load(self.evidence.pack(folder)) for folder in folders]
        self.all += packed
        return packed

    def groups(self, places: Sequence[tuple[Recipe, str]], seeds: int = 0) -> Groups:
        """The packed runs of each recipe on its data set, in order of their seeds; with `seeds`, only of so many."""
        found: Groups = {}
        for recipe, dataset in places:
            runs = self.of(recipe, dataset)
            mine = [runs[seed] for seed in sorted(runs) if not seeds or seed < seeds]
            if mine:
                found[recipe.name, dataset] = mine
        return found

    def _tell(self, line: str) -> None:
        if line not in self.told:
            self.told.add(line)
            self.say(line)


def most_alike(runs: Sequence[LoadedRun]) -> tuple[list[LoadedRun], int]:
    """Those of the precision and kind of device that most are of, and how many are left out."""

    def kind(run: LoadedRun) -> tuple[str, str]:
        return run.recipe.train.precision, run.environment.device

    usual = Counter(map(kind, runs)).most_common(1)
    kept = [run for run in runs if kind(run) == usual[0][0]]
    return kept, len(runs) - len(kept)


def _is(run: LoadedRun, recipe: Recipe) -> bool:
    """Whether a packed run is one of `recipe`, of which the machine and the data decided what it leaves open.

    Not of a network of one's own, of which only a plan knows whether it is still the same.
    """
    mine = run.recipe
    if mine.name != recipe.name:
        return False
    left_open = {key: getattr(mine.data, key) for key in ShapeSpec.model_fields if getattr(recipe.data, key) is None}
    data = recipe.data.model_copy(update={"name": run.data.name, **left_open})
    precision = mine.train.precision if recipe.train.precision == "auto" else recipe.train.precision
    init = mine.model.init if mine.model.init.partition("@")[0] == recipe.model.init else recipe.model.init
    wanted = recipe.model_copy(
        update={
            "data": data,
            "train": recipe.train.model_copy(update={"precision": precision}),
            "model": recipe.model.model_copy(update={"init": init}),
        }
    )
    return mine.deciding() == wanted.deciding()
