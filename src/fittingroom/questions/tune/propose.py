"""What to try next: from what earlier batches found, and nothing else."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial

from fittingroom.questions.tune.search import Search, start
from fittingroom.spec.space import Choice, Dimension


def propose(search: Search, places: Sequence[int], known: Sequence[FrozenTrial]) -> list[dict[str, Any]]:
    """Points of the space for the trials at these `places` of the search. The first of all is the recipe as it is.

    Each is drawn by Optuna's tree-structured Parzen estimator with a seed of its own (Bergstra et al. 2011; Watanabe 2023,
    arXiv:2304.11127), so that a place gets the same point from the same knowledge, in whatever process.
    """
    apart = optuna.create_study(directions=search.directions)  # in memory: a kill leaves no half of a proposal
    apart.add_trials(known)
    space, points = distributions(search), []
    for place in places:
        point = start(search) if place == 0 else None
        if point is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                apart.sampler = optuna.samplers.TPESampler(seed=search.seed + 7919 * place, multivariate=True)
                point = apart.ask(space).params
        points.append(point)
    return points


def distributions(search: Search) -> dict[str, BaseDistribution]:
    """The space in Optuna's terms."""
    return {path: _distribution(dimension) for path, dimension in search.space.items()}


def _distribution(dimension: Dimension) -> BaseDistribution:
    if isinstance(dimension, Choice):
        return CategoricalDistribution(dimension.labels())
    if dimension.whole:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)
