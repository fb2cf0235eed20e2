"""Which packed runs of a folder of evidence are runs of which recipe, and what is still to be trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from fittingroom.metrics.claims import Groups
from fittingroom.spec.digest import NUMERICS
from fittingroom.spec.recipe import Recipe
from fittingroom.store import Evidence, LoadedRun, RunFolder
from fittingroom.store.fetch import Say


class Kept:
    """Runs that are packed in a folder, by recipe, data set and seed; more are added as they are trained."""

    def __init__(self, path: Path, say: Say = lambda line: None) -> None:
        """`say` hears how many of its runs count for nothing, and why."""
        self.evidence = Evidence(path)
        self.say = say
        self.all = [*self.evidence.runs()]
        if old := [run for run in self.all if run.identity.get("numerics") != NUMERICS]:
            say(
                f"{len(old)} of {len(self.all)} runs in {path} were trained by an older fittingroom, whose numbers are others"
            )
        self.all = [run for run in self.all if run.identity.get("numerics") == NUMERICS]

    def of(self, recipe: Recipe, dataset: str) -> dict[int, LoadedRun]:
        """The packed runs of `recipe` on a data set by seed; of those in several precisions, in the one that most are in."""
        mine = [run for run in self.all if run.data.name == dataset and _is(run, recipe)]
        precisions = Counter(run.recipe.train.precision for run in mine)
        found: dict[int, LoadedRun] = {}
        for run in mine:
            if run.recipe.train.precision == precisions.most_common(1)[0][0]:
                found.setdefault(run.seed, run)
        if len(found) < len(mine):
            self.say(
                f"{len(mine) - len(found)} packed runs of {recipe.name} on {dataset} are of another precision or device"
            )
        return found

    def add(self, folders: Iterable[RunFolder]) -> None:
        """Pack runs that are finished."""
        for folder in folders:
            self.all.append(self.evidence.load(self.evidence.pack(folder)))

    def groups(self, places: Sequence[tuple[Recipe, str]], seeds: int = 0) -> Groups:
        """The packed runs of each recipe on its data set, in order of their seeds; with `seeds`, only of so many."""
        found: Groups = {}
        for recipe, dataset in places:
            runs = self.of(recipe, dataset)
            mine = [runs[seed] for seed in sorted(runs) if not seeds or seed < seeds]
            if mine:
                found[recipe.name, dataset] = mine
        return found


def _is(run: LoadedRun, recipe: Recipe) -> bool:
    """Whether a packed run is one of `recipe`, whose precision may have been left to the machine."""
    precision = run.recipe.train.precision if recipe.train.precision == "auto" else recipe.train.precision
    train = recipe.train.model_copy(update={"precision": precision})
    data = recipe.data.model_copy(update={"name": run.data.name})
    wanted = recipe.model_copy(update={"train": train, "data": data})
    return run.recipe.name == recipe.name and run.recipe.deciding() == wanted.deciding()
