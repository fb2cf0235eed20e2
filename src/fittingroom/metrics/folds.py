"""Cross-validation as evidence: the runs of all folds of one recipe and seed put together as one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fittingroom.metrics.scores import scores
from fittingroom.spec.design import Design
from fittingroom.spec.digest import digest
from fittingroom.spec.records import Metrics, Scores
from fittingroom.store import LoadedRun, RunFolder, load_run


def pooled(folders: Mapping[str, Sequence[RunFolder]], fold_N: np.ndarray) -> list[LoadedRun]:
    """A cross-validation's finished runs by recipe, those of one recipe and seed as one run.

    Its logits are of every image, each by the model that had not seen it (`fold_N` says which fold an image is in); its other
    facts are means over the folds.
    """
    found = []
    for recipe, of_recipe in folders.items():
        runs = [load_run(folder) for folder in of_recipe]
        for seed in dict.fromkeys(run.seed for run in runs):
            found.append(_together(recipe, [run for run in runs if run.seed == seed], fold_N))
    return found


def _together(recipe: str, folds: Sequence[LoadedRun], fold_N: np.ndarray) -> LoadedRun:
    first = folds[0]
    spec = first.recipe.data
    logits_NK = np.zeros((len(fold_N), first.logits_NK.shape[1]), np.float32)
    labels_N = np.zeros(len(fold_N), np.int64)
    groups_N = None if first.design.groups_N is None else np.zeros(len(fold_N), np.int64)
    for run in folds:
        mine = fold_N == run.recipe.data.fold
        logits_NK[mine], labels_N[mine] = run.logits_NK, run.labels_N
        if groups_N is not None and run.design.groups_N is not None:
            groups_N[mine] = run.design.groups_N
    metrics = [run.metrics for run in folds]
    return LoadedRun(
        folder=first.folder,
        recipe=first.recipe.model_copy(update={"name": recipe, "data": spec.model_copy(update={"fold": 0})}),
        seed=first.seed,
        data=first.data.model_copy(
            update={
                "title": f"{first.data.name}, {spec.folds}-fold cross-validation",
                "digest": digest([run.data.digest for run in folds]),
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
        val_logits_NK=None if first.val_logits_NK is None else np.concatenate([r.val_logits_NK for r in folds]),
        val_labels_N=None if first.val_labels_N is None else np.concatenate([r.val_labels_N for r in folds]),
        val_design=Design(
            None
            if any(r.val_design.groups_N is None for r in folds)
            else np.concatenate([r.val_design.groups_N for r in folds]),
            np.concatenate([np.full(r.data.n_val, r.recipe.data.fold) for r in folds]),
        ),
        cost=next((run.cost for run in folds if run.cost), None),
        design=Design(groups_N, fold_N),
    )


def _mean(found: Sequence[Scores]) -> Scores:
    return Scores(
        n=found[0].n,
        **{key: float(np.mean([getattr(s, key) for s in found])) for key in ("accuracy", "loss", "ece")},
    )
