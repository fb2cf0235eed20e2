"""What a careful colleague would say about recipes: that one does not suit its data, that their cost is not known."""

from __future__ import annotations

from collections.abc import Iterable

from fittingroom.data import Dataset
from fittingroom.spec.recipe import Recipe
from fittingroom.spec.records import DataFacts

FLIPS = {"hflip", "vflip"}


def unknown_costs(recipes: Iterable[str]) -> str:
    """What is said of recipes whose cost was not measured here."""
    return f"what {', '.join(recipes)} cost here is not known; --costs (costs=True) measures it"


def cautions(recipe: Recipe, data: Dataset | DataFacts) -> list[str]:
    """What a careful colleague would say about this recipe on these data."""
    flips = sorted({step.kind for step in recipe.augment} & FLIPS)
    averaged = ["score.average"] if "flip" in recipe.score.average else []
    if data.may_flip or not (flips or averaged):
        return []
    return [
        f"{recipe.name} mirrors images ({', '.join(flips + averaged)}), but a mirrored image of {data.title} is another thing"
    ]
