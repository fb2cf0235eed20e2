"""Which claims a person means, each with the recipe that it is about and the one it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fittingroom.spec.ablation import without
from fittingroom.spec.errors import FittingroomError, unknown
from fittingroom.spec.read import read_recipe, shipped_recipes
from fittingroom.spec.recipe import Claim, Recipe
from fittingroom.spec.reported import Figure, Reported, is_reported


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


def claimed(
    words: Sequence[str],
    ids: Sequence[str] = (),
    overrides: Sequence[str] = (),
    see: str = "fittingroom replicate --help",
) -> list[Claimed]:
    """The claims of `words` (README numbers, recipe names, recipe files; none: all that ship), only `ids` if given.

    Raises `FittingroomError` for a word, an id or a compared recipe that does not exist.

    >>> [q.claim.id for q in claimed(["004"], ["004-mlp-mnist"])]
    ['004-mlp-mnist']
    """
    shipped = {name: read_recipe(name) for name in shipped_recipes()}
    numbers = sorted({c.id.split("-")[0] for r in shipped.values() for c in r.claims})
    chosen: dict[str, Path] = {}  # recipe name or file → the folder beside which it looks for others
    for word in words or numbers:
        if Path(word).suffix and Path(word).is_file() and is_reported(Path(word)):
            raise FittingroomError(
                f"{word} holds figures and no recipe that could be trained; weigh them: fittingroom claims {word}"
            )
        of_readme = [name for name, r in shipped.items() if any(c.id.startswith(f"{word}-") for c in r.claims)]
        if not (of_readme or word in shipped or Path(word).suffix or Path(word).exists()):
            raise unknown("README or recipe", word, [*numbers, *shipped], see)
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


def figures_of(words: Sequence[str], see: str = "") -> list[Reported]:
    """Of the claims of `words` those that state an order of test accuracies and whose figures are stated, too.

    Raises `FittingroomError` as `claimed` does, and where there are none.

    >>> [(r.id, [str(f) for f in r.figures]) for r in figures_of(["002"])]
    [('002-cnn2-above-cnn1', ['readme-002-cnn2 91.37 %', 'readme-002-cnn1 90.1 %'])]
    """
    found = [one for claim in claimed(words, see=see) if (one := stated_figures(claim))]
    if not found:
        raise FittingroomError(f"{', '.join(words)}: no order of test accuracies is claimed with the figures of both")
    return found


def stated_figures(one: Claimed) -> Reported | None:
    """The figures that are stated of the two recipes of a claimed order, if both are."""
    claim = one.claim
    if (
        claim.statistic != "test_accuracy"
        or claim.relation == "equal"
        or claim.than_dataset
        or not (claim.than and one.than)
    ):
        return None
    figures = [_stated(recipe, claim.dataset) for recipe in (one.recipe, one.than)]
    if claim.relation == "below":
        figures.reverse()
    better, worse = figures
    if better is None or worse is None or better.accuracy < worse.accuracy:
        return None
    return Reported(id=claim.id, text=claim.text, source=one.recipe.source, figures=(better, worse), on=claim.dataset)


def _stated(recipe: Recipe, dataset: str) -> Figure | None:
    for claim in recipe.claims:
        alone = not (claim.than or claim.without) and claim.relation == "equal" and claim.statistic == "test_accuracy"
        if alone and claim.dataset == dataset and claim.stated is not None:
            low, high = claim.bounds
            return Figure(name=recipe.name, accuracy=claim.stated, rounding=(high - low) / 2)
    return None
