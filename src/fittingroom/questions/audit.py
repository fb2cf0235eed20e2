"""What is wrong with the data? Suspect labels, duplicates and outliers, and what they do to scores.

Each fold of the training images is predicted by a model that has not seen it (nor a near duplicate of it); the test images
by all fold models together. These auditors should be of another recipe than the models that are compared: dropping what a
model disagrees with always flatters that model.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np

from fittingroom.data import Dataset, Images, fold_numbers, not_test
from fittingroom.data.dataset import peek
from fittingroom.data.decisions import read_decisions
from fittingroom.data.duplicates import near_pairs
from fittingroom.data.outliers import outliers
from fittingroom.metrics.audit import Measured, describe
from fittingroom.metrics.calibration import probabilities, temperature
from fittingroom.metrics.story import Story, gather
from fittingroom.metrics.suspects import Suspects, find_suspects
from fittingroom.models.pretrained import at_hand
from fittingroom.questions.compare import names, page_of, remember
from fittingroom.questions.crossval import folded
from fittingroom.report.audit_page import Audited
from fittingroom.spec.errors import FittingroomError, need
from fittingroom.spec.pretrained import pretrained
from fittingroom.spec.recipe import Recipe
from fittingroom.store import RunFolder, Runs, Study
from fittingroom.store.atomic import write
from fittingroom.store.fetch import home
from fittingroom.store.seal import json_with_seal
from fittingroom.study.plan import Experiment
from fittingroom.study.run import train
from fittingroom.study.sharing import threads_each
from fittingroom.study.workplace import Workplace
from fittingroom.training import choose_device, predict, prepare_process
from fittingroom.training.rebuild import rebuild

# the recipe whose models audit a data set, unless another is named
AUDITORS = {"mnist": "fast-mnist", "fashion-mnist": "fast-fashion"}
OTHER_AUDITOR = "fast-fashion"
FROZEN, MOST_FROZEN = (
    "frozen",
    5_000,
)  # of up to so many pictures, where the weights are at hand: from few it learns most


def audit(
    data: str | Dataset,
    place: Workplace,
    *,
    auditor: Recipe,
    split: Literal["train", "test"] = "test",
    score: Sequence[str] = (),
    folds: int = 5,
    most: int = 100,
) -> Audited:
    """Find suspect labels, duplicates and outliers in one split, by models of the recipe `auditor`; at least `most` are ranked.

    `score`: runs or studies whose test scores are told with and without the suspects. What was found is kept in the runs
    folder, for the pages. Raises `FittingroomError`.
    """
    if split not in ("train", "test"):
        raise FittingroomError(f'--split is "train" or "test"; got "{split}"')
    if score and split == "train":
        raise FittingroomError("--score goes with --split test: recipes are scored on the test images")
    need("cleanlab", "audit", "audit")
    if auditor.data.limit is not None:
        raise FittingroomError("an audit looks at every image; leave data.limit away")
    runs = place.runs
    compared = gather(runs.select(score)[0], runs) if score else []
    _refuse_flattery(auditor.name, compared)
    loaded = place.load(data, auditor.data)
    elsewhere = [story.data.name for story in compared if story.data.digest != loaded.digest]
    if elsewhere:
        raise FittingroomError(f"--score names runs on {elsewhere[0]}, but the audit is of {loaded.name}")
    name = f"audit-{loaded.name}-{auditor.name}"
    finished = list(chain.from_iterable(train(auditors(auditor, loaded, folds), place, name)))
    remember(place, name, Study(question="audit", runs=names(finished)))
    if split == "train":
        suspects, images = of_train(loaded, finished), not_test(loaded)
    else:
        suspects, images = of_test(loaded, finished, place)
    far_N, distance_N = outliers(images, None if split == "train" else not_test(loaded))
    pairs, rms = near_pairs(images.images_NCHW)
    measured = Measured(far_N, distance_N, images.names_N, pairs.tolist(), rms.tolist())
    about = loaded.name, loaded.title
    found = describe(auditor.name, folds, about, images.classes, suspects, measured, compared, most)
    decisions = runs.decisions_file(loaded.name)
    decided = read_decisions(decisions, loaded.digest)
    doubted = tuple(s for s in found.suspects if decided.get((split, s.index)) != "fine")
    fine = len(found.suspects) - len(doubted)
    found = found.model_copy(update={"suspects": doubted})
    write(runs.audit_file(loaded.name, split), json_with_seal(found.model_dump(mode="json")))
    return Audited(found, images, fine, decisions, page_of(place.runs, f"audit-{loaded.name}-{split}"), name)


def auditor_of(
    data: str | Dataset, runs: Runs, score: Sequence[str] = (), home_dir: Path | None = None
) -> str | Recipe:
    """The recipe whose models audit a data set unless another is named.

    For shipped data, one that is good there. For others, of the recipes that were trained on data of this name among `runs`, the
    best on validation, unless it is scored; else frozen features where they can be had, or a usual one.
    """
    if isinstance(data, Dataset):
        called = {data.name}
    else:  # a table's data are called by its stem
        there = Path(data).expanduser().resolve()
        called = {str(data), there.name, *([there.stem] if there.is_file() else [])}
    for name in called & AUDITORS.keys():
        return AUDITORS[name]
    scored = {run.recipe.name for run in runs.select(score)[0]} if score else set()
    trained = [
        run for run in runs.list() if run.done and run.recipe.data.name in called and run.recipe.name not in scored
    ]
    known = [run for run in trained if run.metrics.val_accuracy is not None and not run.recipe.data.folds]
    if not known:
        few = not isinstance(data, Dataset) and 0 < peek(str(data), home_dir)[0] <= MOST_FROZEN
        return FROZEN if few and at_hand(pretrained()["efficientnet-lite0"], home(home_dir)) else OTHER_AUDITOR
    best = max(known, key=lambda run: run.metrics.val_accuracy or 0.0).recipe
    return best.model_copy(update={"data": best.data.model_copy(update={"limit": None})})


def _refuse_flattery(auditor: str, compared: Sequence[Story]) -> None:
    if any(auditor in story.runs for story in compared):
        raise FittingroomError(
            f"{auditor} is among the scored recipes; what a model disagrees with always flatters it when it is "
            "dropped: audit with another, --recipe NAME"
        )


def auditors(recipe: Recipe, dataset: str | Dataset, k: int) -> list[Experiment]:
    """One training for each of `k` folds of all images, whatever the recipe's limit; its validation part is the fold."""
    # the last epoch's weights: choosing an epoch by the fold would make its predictions less out-of-sample
    train = recipe.train.model_copy(update={"select": "last", "patience": 0})
    whole = recipe.model_copy(
        update={"data": recipe.data.model_copy(update={"limit": None, "exclude": ()}), "train": train}
    )
    return folded(whole, dataset, k, "val", (0,))


def of_train(data: Dataset, runs: Sequence[RunFolder]) -> Suspects:
    """Judge the training labels from the fold runs' stored validation predictions."""
    spec = runs[0].recipe.data
    assert spec.limit is None  # else the folds are not of all images
    images, fold_N = not_test(data), fold_numbers(data, spec)
    p_NK = np.zeros((len(images), len(data.classes)))
    for run in runs:
        held_out = run.predictions("val")
        assert held_out is not None
        p_NK[fold_N == run.recipe.data.fold] = probabilities(held_out[0], temperature(*held_out))
    return find_suspects("train", p_NK, images.labels_N)


def of_test(data: Dataset, runs: Sequence[RunFolder], place: Workplace) -> tuple[Suspects, Images]:
    """Judge the test labels by the mean of the fold models; and the test images. The reading is logged."""
    who = f"audit by {runs[0].recipe.name} {runs[0].part}"
    images = data.test.unlock(partial(place.runs.log_test_read, who, data.name, data.digest))
    prepare_process(threads_each())
    chosen = choose_device(place.device)
    p_NK = np.zeros((len(images), len(data.classes)))
    for run in runs:
        held_out = run.predictions("val")
        assert held_out is not None
        model = rebuild(run, data.train, chosen)
        p_NK += probabilities(predict(model, images, chosen), temperature(*held_out)) / len(runs)
    return find_suspects("test", p_NK, images.labels_N), images
