"""A finished run in memory, read once: what verdicts, judgements and reports are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fittingroom.spec.design import ALONE, Design
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import Recipe
from fittingroom.spec.records import Cost, DataFacts, Environment, Epoch, Metrics, Structure
from fittingroom.store.runs import RunFolder


@dataclass(frozen=True)
class LoadedRun:
    """A finished run, read into memory once."""

    folder: RunFolder
    recipe: Recipe
    seed: int
    data: DataFacts
    metrics: Metrics
    environment: Environment
    structure: Structure
    epochs: tuple[Epoch, ...]
    logits_NK: np.ndarray  # of the test images
    labels_N: np.ndarray
    val_logits_NK: np.ndarray | None  # of the validation images; None where nothing was held out
    val_labels_N: np.ndarray | None
    cost: Cost | None
    design: Design = ALONE  # what the test images share
    val_design: Design = ALONE  # and what the validation images do
    identity: Mapping[str, Any] = field(default_factory=dict)  # what `run.json` says
    packed: bool = (
        False  # whether its logits say which class, and not how sure it was; and nothing else is in its folder
    )

    @property
    def name(self) -> str:
        return self.recipe.name


def load_run(folder: RunFolder) -> LoadedRun:
    """A finished and scored run in memory; `FittingroomError` if it is neither."""
    folder.refuse_unfinished()
    predictions = folder.predictions("test")
    if predictions is None and folder.data.n_test == 0:
        raise FittingroomError(
            f"{folder.path} was trained on every picture there is and met no test image; fittingroom cv or best judge its way"
        )
    if predictions is None:
        raise FittingroomError(f"{folder.path} was trained with --no-test; train it again without, to score it")
    val = folder.predictions("val")
    return LoadedRun(
        folder=folder,
        recipe=folder.recipe,
        seed=folder.seed,
        data=folder.data,
        metrics=folder.metrics,
        environment=folder.environment,
        structure=folder.structure,
        epochs=tuple(folder.epochs),
        logits_NK=predictions[0],
        labels_N=predictions[1],
        val_logits_NK=val[0] if val else None,
        val_labels_N=val[1] if val else None,
        cost=folder.cost,
        design=folder.design(),
        val_design=folder.design("val"),
        identity=folder.identity,
    )
