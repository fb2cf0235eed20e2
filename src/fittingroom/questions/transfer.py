"""Are trained weights worth starting from? The same recipe from scratch and from a run, on more and more images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from fittingroom.data import Dataset
from fittingroom.metrics.story import gather
from fittingroom.metrics.transfer import step
from fittingroom.metrics.verdict import Question
from fittingroom.questions.compare import names, page_of, remember
from fittingroom.report.transfer_page import Transferred
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.overrides import apply_overrides
from fittingroom.spec.read import parse_recipe
from fittingroom.spec.recipe import Recipe
from fittingroom.store import RunFolder, Runs, Study
from fittingroom.study.workplace import Workplace

SIZES = (10, 100, 1000)  # training images a class; all of them come last
LEAST_STEPS = 300  # of any training here: ten images a class would else be a handful of steps, and nothing learned
ONLY_TUNED = (
    "model.freeze",
    "model.head_epochs",
    "optimizer.layer_decay",
    "model.init",
)  # what means nothing from scratch
# what is said of one source, and no other is read by
OF_THEIRS = ("group", "near", "range", "path", "label", "images")
SCRATCH = "from scratch"


def transfer(
    run: RunFolder,
    place: Workplace,
    *,
    data: str | Dataset,
    changes: Sequence[str] = (),
    per_class: Sequence[int] = SIZES,
    seeds: Sequence[int] = range(3),
    question: Question = Question(),
) -> Transferred:
    """Train the recipe of a finished run on `data`, from its weights and from scratch, with more and more images a class.

    `changes` are overrides for both: `model.freeze=body` keeps all layers but the last, `optimizer.layer_decay=0.5` lets early
    layers learn more slowly. Raises `FittingroomError`.
    """
    from fittingroom.study.plan import Experiment
    from fittingroom.study.run import train

    if not data:
        raise FittingroomError("say which data the weights should help on: --data NAME or --data PATH")
    run.refuse_unfinished()
    scratch, tuned = both(run, changes)
    images = place.load(data, scratch.data)
    question.point(images.classes)
    name = f"transfer-{run.recipe.name}-{images.name}"
    steps = sized([scratch, tuned], images, per_class)
    experiments = [
        Experiment(recipe, images, seeds, part=size.label, costs=False) for size in steps for recipe in size.recipes
    ]
    finished = iter(train(experiments, place, name))
    of_step = [names(list(chain.from_iterable(next(finished) for _ in size.recipes))) for size in steps]
    settings = {
        "source": run.recipe.name,
        "dataset": images.title,
        "steps": [
            {"images": size.images, "label": size.label, "runs": mine}
            for size, mine in zip(steps, of_step, strict=True)
        ],
    }
    runs = tuple(chain.from_iterable(of_step))
    study = Study(question="transfer", runs=runs, settings=settings, asked=question.asked)
    remember(place, name, study)
    return _judged(study, place.runs, question, page_of(place.runs, name), name)


def reported(study: Study, name: str, runs: Runs, question: Question) -> Transferred:
    """The transfer of before that is called so, judged again. Needs no torch."""
    return _judged(study, runs, question.or_else(study.asked), page_of(runs, "report"), name)


def _judged(study: Study, runs: Runs, question: Question, page: Path, name: str) -> Transferred:
    about = study.settings
    steps = []
    for one in about["steps"]:
        [story] = gather([RunFolder(runs.path / name) for name in one["runs"]], runs, question)
        steps.append(step(one["images"], one["label"], SCRATCH, story.comparison))
    return Transferred(steps, about["source"], about["dataset"], page, name)


@dataclass(frozen=True)
class Size:
    """One step: so many training images, and the recipes that have them."""

    images: int
    label: str  # "10 a class", "all 5,432"
    recipes: tuple[Recipe, ...]


def both(run: RunFolder, changes: Sequence[str]) -> tuple[Recipe, Recipe]:
    """The recipe of `run` with `changes`, from scratch and from its weights, for pictures in the shape that it knows."""
    c, h, w = run.data.shape
    tree = run.recipe.model_dump(mode="json", exclude_none=True)
    tree["data"] = {key: value for key, value in tree["data"].items() if key not in OF_THEIRS}
    tree["data"] |= {"image_size": [h, w] if h != w else h, "channels": c}
    tree["model"] |= {"init": "", "freeze": 0, "freeze_norm": False, "head_epochs": 0}
    tree["optimizer"]["layer_decay"] = 1.0
    plain = [word for word in changes if not word.startswith(ONLY_TUNED)]
    scratch = apply_overrides(tree, plain)
    tuned = apply_overrides(tree, list(changes))
    tuned["model"]["init"] = str(run.path)
    where = f"the recipe of {run.name}"
    return parse_recipe(scratch | {"name": SCRATCH}, where), parse_recipe(
        tuned | {"name": f"from {run.recipe.name}" + (" (trained)" if run.recipe.name == "scratch" else "")}, where
    )


def sized(recipes: Sequence[Recipe], data: Dataset, per_class: Sequence[int] = SIZES) -> list[Size]:
    """The steps for `data`: so many images `per_class` on average, as long as there are so many, then all.

    Nothing is held out and nothing selected: all images of a step are trained on, and the last weights are scored. All
    recipes take the same number of steps.
    """
    n, k = len(data.train), len(data.classes)
    about = "about " if data.train.groups_N is not None else ""  # whole groups
    found = [(each * k, f"{about}{each:,} a class") for each in sorted(set(per_class)) if each * k < n]

    def at(recipe: Recipe, images: int) -> Recipe:
        limit = images if images < n else None
        part = recipe.data.model_copy(update={"limit": limit, "val_fraction": 0.0, "folds": 0, "fold": 0})
        steps = math.ceil(images / recipe.train.batch_size)
        epochs = max(recipe.train.epochs, math.ceil(LEAST_STEPS / steps))
        train = recipe.train.model_copy(update={"epochs": epochs, "select": "last", "patience": 0})
        return recipe.model_copy(update={"data": part, "train": train})

    return [
        Size(images, label, tuple(at(recipe, images) for recipe in recipes))
        for images, label in [*found, (n, f"all {n:,}")]
    ]
