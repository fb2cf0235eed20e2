"""Are trained weights worth starting from? The same recipe from scratch and from a run, on more and more images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fittingroom.data import Dataset
from fittingroom.spec.overrides import apply_overrides
from fittingroom.spec.read import parse_recipe
from fittingroom.spec.recipe import Recipe
from fittingroom.store import RunFolder
from fittingroom.study.run import Trial

SIZES = (10, 100, 1000)  # training images a class; all of them come last
LEAST_STEPS = 300  # of any training here: ten images a class would else be a handful of steps, and nothing learned
ONLY_TUNED = ("model.freeze", "optimizer.layer_decay", "model.init")  # what means nothing from scratch


@dataclass(frozen=True)
class Size:
    """One step of the comparison: so many training images, and the recipes that had them."""

    images: int
    label: str  # "10 a class", "all 5,432"
    scratch: Recipe
    tuned: Recipe

    def trials(self, data: str, seeds: Sequence[int]) -> list[Trial]:
        return [Trial(self.scratch, data, seeds), Trial(self.tuned, data, seeds)]


def both(run: RunFolder, changes: Sequence[str]) -> tuple[Recipe, Recipe]:
    """The recipe of `run` with `changes`, from scratch and from its weights, for pictures in the shape that it knows."""
    c, h, w = run.data.shape
    tree = run.recipe.model_dump(mode="json", exclude_none=True)
    tree["data"] |= {"image_size": [h, w] if h != w else h, "channels": c}
    tree["model"] |= {"init": "", "freeze": 0}
    tree["optimizer"]["layer_decay"] = 1.0
    plain = [word for word in changes if not word.startswith(ONLY_TUNED)]
    scratch = apply_overrides(tree, plain)
    tuned = apply_overrides(tree, list(changes))
    tuned["model"]["init"] = str(run.path)
    where = f"the recipe of {run.name}"
    return parse_recipe(scratch | {"name": "from scratch"}, where), parse_recipe(
        tuned | {"name": f"from {run.recipe.name}" + (" (trained)" if run.recipe.name == "scratch" else "")}, where
    )


def sized(scratch: Recipe, tuned: Recipe, data: Dataset, wanted: Sequence[int] = SIZES) -> list[Size]:
    """The steps for `data`: `wanted` images a class on average, as long as there are so many, then all.

    Nothing is held out and nothing selected: all images of a step are trained on, and the last weights are scored. Both
    recipes take the same number of steps.
    """
    n, k = len(data.train), len(data.classes)
    found = [(each * k, f"{each:,} a class") for each in sorted(set(wanted)) if each * k < n]

    def at(recipe: Recipe, images: int, label: str) -> Recipe:
        limit = images if images < n else None
        part = recipe.data.model_copy(update={"limit": limit, "val_fraction": 0.0, "folds": 0, "fold": 0})
        steps = math.ceil(images / recipe.train.batch_size)
        epochs = max(recipe.train.epochs, math.ceil(LEAST_STEPS / steps))
        train = recipe.train.model_copy(update={"epochs": epochs, "select": "last", "patience": 0})
        return recipe.model_copy(update={"name": f"{recipe.name}, {label}", "data": part, "train": train})

    return [
        Size(images, label, at(scratch, images, label), at(tuned, images, label))
        for images, label in [*found, (n, f"all {n:,}")]
    ]
