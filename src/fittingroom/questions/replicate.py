"""Do claims stand? Which runs they need, and what the finished runs say of them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from fittingroom.metrics.claims import Judgement, Trials, judge
from fittingroom.questions.answer import Answer, Table
from fittingroom.report import charts
from fittingroom.report.claims_page import HEAD, headline, row, write_claims_page
from fittingroom.report.theme import Draw
from fittingroom.spec.ablation import without
from fittingroom.spec.errors import FittingroomError, unknown
from fittingroom.spec.read import read_recipe, shipped_recipes
from fittingroom.spec.recipe import Claim, Recipe
from fittingroom.store import LoadedRun, RunFolder, load_run
from fittingroom.study.plan import Experiment
from fittingroom.study.run import train
from fittingroom.study.workplace import Workplace

QUICK = "train.epochs=2"


@dataclass(frozen=True, repr=False, eq=False)
class Replicated(Answer):
    """Each claim judged, and the runs behind them by recipe and data set."""

    judgements: Sequence[Judgement]
    groups: Groups
    command: str
    page: Path

    @property
    def sentences(self) -> list[str]:
        return [headline(self.judgements)]

    @property
    def table(self) -> Table:
        return [[HEAD[0], *HEAD[2:]], *([cells[0], *cells[2:]] for cells in map(row, self.judgements))]

    def json(self) -> dict[str, Any]:
        return {"claims": [j.model_dump(mode="json") for j in self.judgements]}

    def _write(self, path: Path) -> None:
        write_claims_page(self.judgements, self.groups, path, self.command)

    def _draw(self) -> Iterator[tuple[str, Draw]]:
        runs = {f"{recipe} on {dataset}": [r.epochs for r in group] for (recipe, dataset), group in self.groups.items()}
        yield "accuracy_curves", lambda dark: charts.curves(runs, "accuracy")


def replicate(
    words: Sequence[str],
    place: Workplace,
    *,
    claims: Sequence[str] = (),
    changes: Sequence[str] = (),
    seeds: int | None = None,
    quick: bool = False,
) -> Replicated:
    """Re-run recipes that carry claims, and judge every one: reproduced, beaten, not reproduced or undecided.

    `words`: README numbers, recipes or files; none: all that ship. `claims`: only those ids. `seeds` None: 10, 3 or 1, by the
    length of a run. `quick`: two epochs each, for a look. Raises `FittingroomError`.
    """
    changed = [*changes, *[QUICK] * quick]
    found = claimed(words, claims, changed)
    groups = grouped(list(chain.from_iterable(train(experiments(found, seeds), place))))
    options = [*(f"--claim={name}" for name in claims), *([f"--seeds={seeds}"] if seeds else []), *["--quick"] * quick]
    command = shlex.join(["fittingroom", "replicate", *words, *changes, *options])
    return Replicated(judgements(found, groups, changed), groups, command, place.runs.path / "claims.html")


@dataclass(frozen=True)
class Claimed:
    """A claim about a recipe, with the recipe it is compared with, both with the overrides applied."""

    claim: Claim
    recipe: Recipe
    than: Recipe | None

    @property
    def places(self) -> list[tuple[Recipe, str]]:
        """The recipes and data sets whose runs answer it."""
        places = [self.claim.dataset, self.claim.than_dataset] if self.claim.than_dataset else [self.claim.dataset]
        return [(recipe, place) for recipe in (self.recipe, self.than) if recipe for place in places]


def claimed(words: Sequence[str], ids: Sequence[str] = (), overrides: Sequence[str] = ()) -> list[Claimed]:
    """The claims of `words` (README numbers, recipe names, recipe files; none: all that ship), only `ids` if given.

    Raises `FittingroomError` for a word, an id or a compared recipe that does not exist.

    >>> [q.claim.id for q in claimed(["004"], ["004-mlp-mnist"])]
    ['004-mlp-mnist']
    """
    shipped = {name: read_recipe(name) for name in shipped_recipes()}
    numbers = sorted({c.id.split("-")[0] for r in shipped.values() for c in r.claims})
    chosen: dict[str, Path] = {}  # recipe name or file → the folder beside which it looks for others
    for word in words or numbers:
        of_readme = [name for name, r in shipped.items() if any(c.id.startswith(f"{word}-") for c in r.claims)]
        if not (of_readme or word in shipped or Path(word).suffix or Path(word).exists()):
            raise unknown("README or recipe", word, [*numbers, *shipped], "fittingroom replicate --help")
        chosen |= dict.fromkeys(of_readme, Path()) or {word: Path() if word in shipped else Path(word).parent}
    recipes = [(read_recipe(name, list(overrides)), folder) for name, folder in chosen.items()]
    for recipe, _ in recipes:
        if not recipe.claims:
            raise FittingroomError(f"{recipe.name} makes no claims; how to add some: docs/replicate-a-readme.md")
    found = [(claim, recipe, folder) for recipe, folder in recipes for claim in recipe.claims]
    known = [claim.id for claim, *_ in found]
    for name in ids:
        if name not in known:
            raise unknown("claim", name, known, "fittingroom recipes --json")
    return [
        Claimed(claim, recipe, _than(claim, recipe, folder, overrides))
        for claim, recipe, folder in found
        if not ids or claim.id in ids
    ]


def _than(claim: Claim, recipe: Recipe, folder: Path, overrides: Sequence[str]) -> Recipe | None:
    beside = folder / claim.than
    try:
        if claim.without:
            return without(recipe, claim.without)
        return read_recipe(beside if beside.is_file() else claim.than, list(overrides)) if claim.than else None
    except FittingroomError as error:
        raise FittingroomError(f"{recipe.name}, claim {claim.id}: {error}") from None


def experiments(claims: Sequence[Claimed], seeds: int | None = None) -> list[Experiment]:
    """Every recipe × data set that the claims need, once."""
    needed: dict[tuple[str, str], tuple[Recipe, str]] = {}
    for recipe, place in (pair for claim in claims for pair in claim.places):
        known, _ = needed.setdefault((recipe.name, place), (recipe, place))
        if known.deciding() != recipe.deciding():
            raise FittingroomError(f'two different recipes are called "{recipe.name}"; give one a name of its own')
    return [Experiment(recipe, place, range(seeds) if seeds else None) for recipe, place in needed.values()]


Groups = dict[tuple[str, str], list[LoadedRun]]  # by recipe name and data set


def grouped(folders: Sequence[RunFolder]) -> Groups:
    """Finished runs in memory, by recipe and data set."""
    loaded: Groups = {}
    for folder in folders:
        run = load_run(folder)
        loaded.setdefault((run.name, run.data.name), []).append(run)
    return loaded


def judgements(claims: Sequence[Claimed], groups: Groups, changes: Sequence[str] = ()) -> list[Judgement]:
    """Judge every question from the finished runs. The spread of few seeds is pooled over all recipes among them.

    `changes` (overrides) are kept in every judgement: it is about changed recipes.
    """
    found = []
    for q in claims:
        here, there = q.claim.dataset, q.claim.than_dataset
        own, than = q.recipe.name, q.than.name if q.than else ""
        trials = Trials(
            own=groups[own, here],
            than=groups.get((than, here), []),
            own_there=groups.get((own, there), []),
            than_there=groups.get((than, there), []),
            others=[runs for (name, place), runs in groups.items() if place == here and name not in (own, than)],
        )
        found.append(judge(q.claim, q.recipe.name, trials).model_copy(update={"changed": tuple(changes)}))
    return found
