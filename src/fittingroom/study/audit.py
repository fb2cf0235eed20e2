"""Suspect labels: what out-of-sample predictions say against the labels, by confident learning.

Each fold of the training images is predicted by a model that has not seen it (nor a near duplicate of it); the test images
by all fold models together. These auditors should be of another recipe than the models that are compared: dropping what a
model disagrees with always flatters that model.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from scipy.special import softmax

from fittingroom.data import Dataset, Images, fold_numbers, not_test
from fittingroom.metrics.calibration import temperature
from fittingroom.metrics.suspects import Suspects, find_suspects
from fittingroom.spec.recipe import Recipe
from fittingroom.store import RunFolder, Runs
from fittingroom.study.crossval import folded
from fittingroom.study.plan import threads_each
from fittingroom.study.run import Trial
from fittingroom.training import choose_device, predict, prepare_process
from fittingroom.training.rebuild import rebuild


def auditors(recipe: Recipe, dataset: str, k: int) -> list[Trial]:
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


def probabilities(logits_NK: np.ndarray, t: float) -> np.ndarray:
    """Probabilities (N,K) that mean what they say: softmax at temperature `t`, fitted on images the model did not see."""
    return np.asarray(softmax(logits_NK.astype(np.float64) / t, axis=1))


def of_test(data: Dataset, runs: Sequence[RunFolder], log: Runs, device: str = "auto") -> tuple[Suspects, Images]:
    """Judge the test labels by the mean of the fold models; and the test images. The reading is logged."""
    images = data.test.unlock(partial(log.log_test_read, f"audit by {runs[0].recipe.name}", data.name, data.digest))
    prepare_process(threads_each())
    chosen = choose_device(device)
    p_NK = np.zeros((len(images), len(data.classes)))
    for run in runs:
        held_out = run.predictions("val")
        assert held_out is not None
        model = rebuild(run, data.train, chosen)
        p_NK += probabilities(predict(model, images, chosen), temperature(*held_out)) / len(runs)
    return find_suspects("test", p_NK, images.labels_N), images
