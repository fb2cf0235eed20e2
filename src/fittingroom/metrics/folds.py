"""Cross-validation as evidence: the runs of all folds of one recipe and seed put together as one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from fittingroom.metrics.scores import scores
from fittingroom.spec.design import Design
from fittingroom.spec.digest import digest
from fittingroom.spec.records import Metrics, Scores
from fittingroom.store import LoadedRun, RunFolder, load_run


def pooled(folders: Mapping[str, Sequence[RunFolder]], fold_N: np.ndarray) -> list[LoadedRun]:
    """A cross-validation's finished runs by recipe, those of one recipe and seed as one run.

    Its logits are of every image of those folds, each by the model that had not seen it (`fold_N` says which fold an image is
    in, or (R,N) where the parts were drawn anew for each seed, in the seeds' order); its other facts are means over the folds.
    """
    found, fold_RN = [], np.atleast_2d(fold_N)
    for recipe, of_recipe in folders.items():
        runs = [load_run(folder) for folder in of_recipe]
        seeds = sorted({run.seed for run in runs})
        first = seeds == list(range(len(seeds)))  # else a seed's place among them tells nothing
        rows = fold_RN[: len(seeds)] if first else fold_RN
        parts = dict(zip(seeds, rows, strict=True)) if len(fold_RN) > 1 else dict.fromkeys(seeds, fold_N.reshape(-1))
        together = {seed: _together(recipe, [run for run in runs if run.seed == seed], parts[seed]) for seed in seeds}
        if len(fold_RN) > 1:
            one = together[seeds[0]]
            design = replace(one.design, repeats_RN=fold_RN)
            together = {
                seed: replace(run, recipe=one.recipe, data=one.data, design=replace(design, folds_N=parts[seed]))
                for seed, run in together.items()
            }
        found += [together[seed] for seed in dict.fromkeys(run.seed for run in runs)]
    return found


def chosen(candidates: Sequence[Sequence[LoadedRun]]) -> tuple[list[LoadedRun], tuple[str, ...]]:
    """What choosing the best of these cross-validated candidates gets, a run for each seed of theirs; and whom each part chose.

    In each part stand the answers of the candidate that is best on all other parts: a part that had a say in the choice would
    flatter it (the winner's curse). Candidates, each with the first seeds of the same row, are given in the order in which equals
    are preferred; those that were given up early are no choice for later seeds.
    """
    most = max(map(len, candidates))
    found = [_chosen([runs[seed] for runs in candidates if len(runs) > seed]) for seed in range(most)]
    return [run for run, _ in found], tuple(name for _, names in found for name in names)


def _chosen(candidates: Sequence[LoadedRun]) -> tuple[LoadedRun, list[str]]:
    fold_N = candidates[0].design.folds_N
    assert fold_N is not None
    by_fold = choices(np.stack([run.logits_NK.argmax(1) == run.labels_N for run in candidates]), fold_N)
    logits_NK = np.zeros_like(candidates[0].logits_NK)
    for fold, c in by_fold.items():
        logits_NK[fold_N == fold] = candidates[c].logits_NK[fold_N == fold]
    names = [candidates[c].name for c in by_fold.values()]
    first = candidates[0]
    recipe = first.recipe.model_copy(update={"name": "the choice"})
    metrics = first.metrics.model_copy(update={"test": scores(logits_NK, first.labels_N)})
    return replace(first, recipe=recipe, logits_NK=logits_NK, metrics=metrics, cost=None), names


def choices(right_CN: np.ndarray, fold_N: np.ndarray) -> dict[int, int]:
    """Which of C candidates each part takes: the one that is right most often on all other parts, the first of equals.

    >>> choices(np.array([[1, 1, 0, 0], [0, 0, 1, 1]]), np.array([0, 0, 1, 1]))  # each was best where it must not be asked
    {0: 1, 1: 0}
    """
    return {int(fold): int(right_CN[:, fold_N != fold].mean(1).argmax()) for fold in np.unique(fold_N)}


def _together(recipe: str, folds: Sequence[LoadedRun], fold_N: np.ndarray) -> LoadedRun:
    first = folds[0]
    spec, held = first.recipe.data, [run.recipe.data.fold for run in folds]
    fold_N = fold_N[np.isin(fold_N, held)]
    several = len(held) > 1
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
        identity=first.identity,
        recipe=first.recipe.model_copy(update={"name": recipe, "data": spec.model_copy(update={"fold": 0})}),
        seed=first.seed,
        data=first.data.model_copy(
            update={
                "title": f"{first.data.name}, {spec.folds}-fold cross-validation"
                if several
                else f"{first.data.name}, {first.recipe.data.fold_title} held out",
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
        design=Design(groups_N, fold_N if several else None),
    )


def _mean(found: Sequence[Scores]) -> Scores:
    return Scores(
        n=found[0].n,
        **{key: float(np.mean([getattr(s, key) for s in found])) for key in ("accuracy", "loss", "ece")},
    )
