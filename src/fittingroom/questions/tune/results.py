"""What a search found."""

from __future__ import annotations

import contextlib
import warnings

import numpy as np
import optuna
from optuna.trial import TrialState

from fittingroom.questions.tune.search import Search, values
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.records import TrialFacts


def facts(search: Search, optuna_study: optuna.Study) -> list[TrialFacts]:
    """All trials that have ended, in their order."""
    return [
        TrialFacts(
            number=t.number,
            state={TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}.get(t.state, "failed"),
            values=tuple(t.values) if t.state == TrialState.COMPLETE else (),
            params=values(search, t.params),
            epochs=int(t.user_attrs.get("epochs", len(t.intermediate_values))),
            train_s=t.user_attrs.get("train_s"),
            run=t.user_attrs.get("run", ""),
            error=str(t.user_attrs.get("error", "")),
            crashed="crashed" in t.user_attrs,
            earlier=t.user_attrs.get("from", ""),
        )
        for t in optuna_study.get_trials(deepcopy=False)
        if t.state.is_finished()
    ]


def best(search: Search, optuna_study: optuna.Study) -> TrialFacts:
    """This search's own trial with the best first objective, the first of equals. Raises `FittingroomError` if there is none."""
    found = [trial for trial in facts(search, optuna_study) if not trial.earlier]
    done = [trial for trial in found if trial.state == "complete"]
    if not done:
        failed = [trial.error.strip().splitlines()[-1] for trial in found if trial.error]
        raise FittingroomError(
            "no trial was completed" + (f"; the first failed because: {failed[0]}" if failed else "")
        )
    sign = 1 if search.larger_is_better else -1
    return max(done, key=lambda trial: (sign * trial.values[0], -trial.number))


def front(search: Search, optuna_study: optuna.Study) -> set[int]:
    """The numbers of the search's own trials that none of them beats in every objective; {} with a single objective."""
    done = [trial for trial in facts(search, optuna_study) if trial.state == "complete" and not trial.earlier]
    if len(search.objectives) == 1 or not done:
        return set()
    costs_NO = np.array([trial.values for trial in done])
    if search.larger_is_better:
        costs_NO[:, 0] *= -1
    no_worse_NN = (costs_NO[:, None] <= costs_NO).all(2)
    better_NN = no_worse_NN & (costs_NO[:, None] < costs_NO).any(2)
    return {done[place].number for place in np.flatnonzero(~better_NN.any(axis=0))}


def importance(optuna_study: optuna.Study) -> dict[str, float]:
    """How much each dimension explains of the first objective (shares, the largest first); {} where that cannot be told.

    By fANOVA: how much of a random forest's variance each dimension makes (Hutter, Hoos and Leyton-Brown 2014, ICML). PED-ANOVA,
    which looks at the best tenth only, called the width unimportant that nine trials show to be: docs/log.md 2026-11-21.
    """
    done = optuna_study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len({trial.values[0] for trial in done}) < 2:
        return {}
    with warnings.catch_warnings(), contextlib.suppress(ValueError, RuntimeError):
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        found = optuna.importance.get_param_importances(optuna_study, evaluator=evaluator, target=lambda t: t.values[0])
        return {path: float(share) for path, share in found.items() if share == share}
    return {}
