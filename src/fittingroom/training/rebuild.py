"""The trained network of a run once more: of the sources that it keeps, or of those that its digest proves."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from fittingroom.augment import AUGMENTATIONS
from fittingroom.data import Images
from fittingroom.models import MODELS, with_sources
from fittingroom.models.source import joined
from fittingroom.spec.digest import NUMERICS, digest
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import AugmentSpec, Recipe
from fittingroom.store import RunFolder
from fittingroom.store.seal import Damaged
from fittingroom.training.fit import restore

CLOSE = 0.02  # of a logit, or of their standard deviation where that is more


def rebuild(run: RunFolder, like: Images, device: str = "cpu") -> nn.Module:
    """The network of a finished run, for images and classes like those of `like`, in evaluation mode.

    Raises `FittingroomError` that says what to do for a network that cannot be made again here.
    """
    return restore(recipe_of(run), run.weights, like, device)


def refuse_other_answers(run: RunFolder, said_NK: np.ndarray, recorded_NK: np.ndarray) -> None:
    """Raise `Damaged` if a run's weights, scored anew, say something else of its images than what is recorded.

    Another machine's last bits may decide between classes that were as good as equal; nothing else.
    """
    best_N2 = np.sort(recorded_NK, axis=1)[:, -2:]
    sure_N = best_N2[:, 1] - best_N2[:, 0] > CLOSE * max(1.0, float(recorded_NK.std()))
    n = int(((said_NK.argmax(1) != recorded_NK.argmax(1)) & sure_N).sum())
    if n:
        raise Damaged(
            f"{run.path}: its weights, scored anew, give {n:,} of {len(recorded_NK):,} images another answer than "
            f"predictions.npz has; one of the two is not what it was. Train it again: fittingroom runs {run.name} "
            "--delete --all, then the command that trained it"
        )


def recipe_of(run: RunFolder) -> Recipe:
    """The recipe of a run, by which its network can be made on any machine that has what it imports.

    A run of before recipes kept the sources of a network of one's own is given them from the files of today, if its
    digest proves that they are the same. Raises `FittingroomError` otherwise.
    """
    recipe, data = run.recipe, run.data
    if recipe.model.kind != "python" or recipe.model.sources:
        return recipe
    remedy = f"put the file back as it was, or train {recipe.name} anew: fittingroom train --fresh"
    try:
        model = with_sources(recipe.model, data.shape, len(data.classes))
    except FittingroomError as error:
        gone = "keeps no source of its network, which cannot be made again"
        raise FittingroomError(f"{run.name} {gone}: {error}; {remedy}") from None
    found, about = recipe.model_copy(update={"model": model}), run.identity
    given = data.digest, about["seed"], about["device"], run.environment.workers, about["numerics"]
    if not recipe.model.init and run_digest(found, "", *given) != about["digest"]:
        raise FittingroomError(
            f"{run.name} keeps no source of its network, and {recipe.model.target} is not what it was trained with; {remedy}"
        )
    return found


def run_digest(
    recipe: Recipe, init: str, data: str, seed: int, device: str, workers: int = 1, numerics: int = NUMERICS
) -> str:
    """The digest of all that decides a run's result. `init` and `data` are digests; `recipe` is resolved."""
    tree = _complete(recipe).deciding()
    sources = tree["model"].pop("sources", None)
    if init:
        tree["model"]["init"] = init
    deciding: dict[str, Any] = {
        "recipe": tree,
        "data": data,
        "seed": seed,
        "device": device,
        "model_source": joined(sources) if sources else None,
        "numerics": numerics,
    }
    return digest(deciding | ({"workers": workers} if workers > 1 else {}))


def _complete(recipe: Recipe) -> Recipe:
    """The recipe with every default of its augmentations and its model written out: a default may change later."""
    augment = tuple(
        AugmentSpec(kind=step.kind, **AUGMENTATIONS.complete(step.kind, step.params, f"augment.{i}"))
        for i, step in enumerate(recipe.augment)
    )
    model = recipe.model
    if model.kind in MODELS.functions:
        model = model.model_copy(update={"args": MODELS.complete(model.kind, model.args, "model.args")})
    return recipe.model_copy(update={"augment": augment, "model": model})
