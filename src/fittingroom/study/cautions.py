"""What a careful colleague would say about a recipe and its data, before it is trained."""

from __future__ import annotations

from fittingroom.data import Dataset
from fittingroom.spec.recipe import Recipe
from fittingroom.spec.records import DataFacts

FLIPS = {"hflip", "vflip"}


def cautions(recipe: Recipe, data: Dataset | DataFacts) -> list[str]:
    """What a careful colleague would say about this recipe on these data."""
    flips = sorted({step.kind for step in recipe.augment} & FLIPS)
    averaged = ["score.average"] if "flip" in recipe.score.average else []
    if data.may_flip or not (flips or averaged):
        return []
    return [
        f"{recipe.name} mirrors images ({', '.join(flips + averaged)}), but a mirrored image of {data.title} is another thing"
    ]
