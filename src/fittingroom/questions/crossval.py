"""Cross-validation: each image but those of the test set is scored once, by a model that has not seen it.

The parts are stratified, and near duplicates are never divided. In each, validation images are carved from the other parts,
so that a recipe which selects on validation does not select on what it is scored on. The real test set stays locked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Literal

import numpy as np

from fittingroom.data import Dataset, fold_numbers, not_test
from fittingroom.data.pixels import shrunk
from fittingroom.metrics.story import Story, of_study
from fittingroom.metrics.verdict import Question
from fittingroom.questions.compare import names, page_of, refuse_unfit, remember, study_name
from fittingroom.report.page import Compared
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import Recipe
from fittingroom.store import Runs, Study
from fittingroom.study.execute import THUMBNAIL_BYTES
from fittingroom.study.plan import Experiment, plan
from fittingroom.study.run import run
from fittingroom.study.workplace import Workplace


def cv(
    recipes: Sequence[Recipe],
    place: Workplace,
    *,
    folds: int = 5,
    data: str | Dataset = "",
    seeds: Sequence[int] = range(3),
    redraw: bool = False,
    question: Question = Question(),
    changes: Sequence[str] = (),
) -> Compared:
    """Cross-validate recipes on one data set and judge them. `changes` are overrides that they have, for the study's name.

    `redraw`: each seed divides the images anew (repeated cross-validation), so that no one division decides.

    Raises `FittingroomError`, also for recipes that make other pictures or parts of the data.
    """
    if not recipes:
        raise FittingroomError("name at least one recipe; see: fittingroom recipes")
    sets = dict.fromkeys(data or r.data.name for r in recipes)
    if len(sets) > 1:
        raise FittingroomError(
            f"the recipes name several data sets ({', '.join(map(str, sets))}); give one with --data"
        )
    [dataset] = sets
    parts = f"{folds}-folds{'-redrawn' if redraw else ''}"
    name = study_name(["cv", *(r.name for r in recipes)], [dataset, parts], f"{len(seeds)}-seeds", changes)
    trainings = [folded(recipe, dataset, folds, "test", seeds, redraw) for recipe in recipes]
    planned = plan(list(chain.from_iterable(trainings)), place, name)
    jobs = planned.all_jobs
    drawn = [job.recipe.data.split_seed - (job.seed if redraw else 0) for job in jobs]
    if len({(job.data_digest, seed, job.recipe.data.near) for job, seed in zip(jobs, drawn, strict=True)}) > 1:
        raise FittingroomError("the recipes make other pictures or parts of these data; cross-validate them apart")
    images = planned.loaded[0]
    refuse_unfit(question, planned)
    finished = iter(run(planned, place))
    runs = {
        recipe.name: list(chain.from_iterable(next(finished) for _ in mine))
        for recipe, mine in zip(recipes, trainings, strict=True)
    }
    study = Study(
        question="cv",
        runs=names(list(chain.from_iterable(runs.values()))),
        asked=question.asked,
        settings={"folds": folds, "recipes": {recipe: names(mine) for recipe, mine in runs.items()}},
    )
    remember(place, name, study, fold_N=parts_of(images, trainings[0]))
    return Compared([with_pictures(name, place.runs, images, question)], place.runs, page_of(place.runs, name), name)


def with_pictures(name: str, runs: Runs, images: Dataset, question: Question = Question()) -> Story:
    """The story of the cross-validation of this name, with the pictures that were held out, which are kept for reports."""
    [story] = of_study(name, runs, question)
    if story.thumbnails_NCHW is None:
        whole = not_test(images)
        if len(whole) > len(story.labels_N):  # one part was held out, the first
            whole = whole.take(np.flatnonzero(runs.study_arrays(name)["fold_N"] == 0))  # drawn once
        runs.write_thumbnails(story.data.digest, shrunk(whole.images_NCHW, THUMBNAIL_BYTES), whole.names_N)
        kept, names_N = runs.kept_pictures(story.data.digest)
        story = replace(story, thumbnails_NCHW=kept, names_N=names_N)
    return story


def folded(
    recipe: Recipe,
    dataset: str | Dataset,
    k: int,
    fold_is: Literal["val", "test"],
    seeds: Sequence[int],
    redraw: bool = False,
) -> list[Experiment]:
    """One training for each of `k` parts; the part is what it validates on, or what it is scored on.

    `redraw`: each seed's parts are its own.

    >>> from fittingroom.spec.read import read_recipe
    >>> [e.part for e in folded(read_recipe("readme-004-mlp"), "mnist", 2, "test", [0])]
    ['fold 1 of 2', 'fold 2 of 2']
    """
    found: list[Experiment] = []
    for mine in [[seed] for seed in seeds] if redraw else [seeds]:
        shift = mine[0] if redraw else 0
        for fold in range(k):
            changed = {"folds": k, "fold": fold, "fold_is": fold_is, "split_seed": recipe.data.split_seed + shift}
            part = recipe.data.model_copy(update=changed)
            found.append(
                Experiment(
                    recipe.model_copy(update={"data": part}),
                    dataset,
                    mine,
                    part=f"{part.fold_title}, division {shift}" if shift else part.fold_title,
                    score_test=fold_is == "test",
                    costs=not found,  # one part costs like another
                )
            )
    return found


def parts_of(data: Dataset, trainings: Sequence[Experiment]) -> np.ndarray:
    """The part (N,) of each image; (R,N), in the order of their seeds, where `trainings` divide them R times."""
    first = [one for one in trainings if one.recipe.data.fold == 0]
    found = [fold_numbers(data, one.recipe.data) for one in sorted(first, key=lambda one: min(one.seeds or [0]))]
    return np.stack(found) if len(found) > 1 else found[0]
