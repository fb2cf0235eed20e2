"""Cross-validation: each image but those of the test set is scored once, by a model that has not seen it.

The parts are stratified, and near duplicates are never divided. In each, validation images are carved from the other parts,
so that a recipe which selects on validation does not select on what it is scored on. The real test set stays locked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from fittingroom.data import Dataset, fold_numbers, not_test
from fittingroom.data.pixels import shrunk
from fittingroom.metrics.scores import scores
from fittingroom.spec.digest import digest
from fittingroom.spec.recipe import DataSpec, Recipe
from fittingroom.spec.records import Metrics, Scores
from fittingroom.store import LoadedRun, RunFolder, Runs, load_run
from fittingroom.study.execute import THUMBNAIL_BYTES
from fittingroom.study.run import Trial


def folded(recipe: Recipe, dataset: str, k: int, fold_is: Literal["val", "test"], seeds: Sequence[int]) -> list[Trial]:
    """One training for each of `k` parts; the part is what it validates on, or what it is scored on.

    >>> from fittingroom.spec.read import read_recipe
    >>> [t.recipe.name for t in folded(read_recipe("readme-004-mlp"), "mnist", 2, "test", [0])]
    ['readme-004-mlp fold 1 of 2', 'readme-004-mlp fold 2 of 2']
    """
    return [
        Trial(
            recipe.model_copy(
                update={
                    "name": f"{recipe.name} fold {fold + 1} of {k}",
                    "data": recipe.data.model_copy(update={"folds": k, "fold": fold, "fold_is": fold_is}),
                }
            ),
            dataset,
            seeds,
        )
        for fold in range(k)
    ]


def pooled(folders: Sequence[RunFolder], data: Dataset, runs: Runs) -> list[LoadedRun]:
    """The finished runs of `folded(…, "test", …)`, those of one recipe and seed put together as one run.

    Its logits are of every image of `not_test(data)`, each by the model that had not seen it; its other facts are means
    over the parts. The images go where reports look for them.
    """
    loaded = [load_run(folder) for folder in folders]
    numbers = {spec: fold_numbers(data, spec) for spec in {run.recipe.data for run in loaded}}
    found = []
    for name, seed in dict.fromkeys((_whole_name(run), run.seed) for run in loaded):
        parts = [run for run in loaded if (_whole_name(run), run.seed) == (name, seed)]
        found.append(_together(name, parts, numbers, not_test(data).labels_N))
    images = not_test(data).images_NCHW
    for content in {run.data.digest for run in found}:
        if not runs.thumbnails_file(content).exists():
            runs.write_thumbnails(content, shrunk(images, THUMBNAIL_BYTES))
    return found


def _together(
    name: str, parts: Sequence[LoadedRun], numbers: dict[DataSpec, np.ndarray], labels_N: np.ndarray
) -> LoadedRun:
    first = parts[0]
    spec = first.recipe.data
    logits_NK = np.zeros((len(labels_N), first.logits_NK.shape[1]), np.float32)
    for part in parts:
        logits_NK[numbers[part.recipe.data] == part.recipe.data.fold] = part.logits_NK
    metrics = [part.metrics for part in parts]
    return LoadedRun(
        folder=first.folder,
        recipe=first.recipe.model_copy(update={"name": name, "data": spec.model_copy(update={"fold": 0})}),
        seed=first.seed,
        data=first.data.model_copy(
            update={
                "title": f"{first.data.name}, {spec.folds}-fold cross-validation",
                "digest": digest([part.data.digest for part in parts]),
                "n_test": len(labels_N),
            }
        ),
        metrics=Metrics(
            train=_mean([m.train for m in metrics]),
            val=_mean([m.val for m in metrics if m.val]) if first.metrics.val else None,
            test=scores(logits_NK, labels_N),
            test_averaged=None,
            epochs=round(float(np.mean([m.epochs for m in metrics]))),
            selected_epoch=round(float(np.mean([m.selected_epoch for m in metrics]))),
            train_s=float(np.mean([m.train_s for m in metrics])),
            eval_s=float(np.mean([m.eval_s for m in metrics])),
        ),
        environment=first.environment,
        structure=first.structure,
        epochs=first.epochs,
        logits_NK=logits_NK,
        labels_N=labels_N,
        val_logits_NK=first.val_logits_NK,
        val_labels_N=first.val_labels_N,
        cost=next((part.cost for part in parts if part.cost), None),
    )


def _whole_name(run: LoadedRun) -> str:
    return run.name.removesuffix(f" fold {run.recipe.data.fold + 1} of {run.recipe.data.folds}")


def _mean(found: Sequence[Scores]) -> Scores:
    return Scores(
        n=found[0].n,
        **{key: float(np.mean([getattr(s, key) for s in found])) for key in ("accuracy", "loss", "ece")},
    )
