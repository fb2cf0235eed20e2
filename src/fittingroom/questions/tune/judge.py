"""When a trial is hopeless: known from the trials of earlier batches and this trial's own past, and from nothing else."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState

from fittingroom.questions.tune.search import Search
from fittingroom.spec.recipe import Recipe
from fittingroom.spec.records import Epoch


class Judge:
    """Hears the epochs of one batch's trials, and stops those that earlier ones make look hopeless.

    `past` are the trials of earlier batches; a trial is known by its place in the search. What is compared is the
    validation accuracy, or the validation loss where the objective is better when smaller.
    """

    def __init__(self, search: Search, name: str, past: Sequence[FrozenTrial]) -> None:
        self.search, self.name = search, name
        self.pruner = _pruner(search)
        self.trials: dict[int, optuna.Trial] = {}
        self.curves: dict[int, dict[int, float]] = {}
        self.stopped: set[int] = set()
        halves = search.pruner in ("asha", "hyperband")  # these note who came how far
        self.past = self._again(past) if halves else list(past)

    def wants_no_more(self, recipe: Recipe, place: int, epoch: Epoch) -> bool:
        """Whether the trial should stop after this epoch. An epoch that is told twice counts once."""
        curve = self.curves.setdefault(place, {})
        value = epoch.val_accuracy if self.search.larger_is_better else epoch.val_loss
        if place in self.stopped or epoch.epoch in curve or value is None:
            return place in self.stopped
        curve[epoch.epoch] = value
        if self.pruner is not None and epoch.epoch < recipe.train.epochs:  # after the last there is nothing to save
            trial = self.trials[place] = self.trials.get(place) or self._alone(place)
            trial.report(value, epoch.epoch)
            if trial.should_prune():
                self.stopped.add(place)
        return place in self.stopped

    def seen(self, place: int) -> dict[int, float]:
        """The values that were heard of, by epoch."""
        return self.curves.get(place, {})

    def _empty(self) -> optuna.Study:
        return optuna.create_study(study_name=self.name, directions=self.search.directions, pruner=self.pruner)

    def _again(self, past: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """The past as this pruner would have seen it."""
        optuna_study = self._empty()
        for earlier in past:
            trial = optuna_study.ask()
            for step, value in sorted(earlier.intermediate_values.items()):
                trial.report(value, step)
                trial.should_prune()
            if earlier.state == TrialState.COMPLETE:
                optuna_study.tell(trial, earlier.values[0])
            else:
                pruned = earlier.state == TrialState.PRUNED and earlier.intermediate_values
                optuna_study.tell(trial, state=TrialState.PRUNED if pruned else TrialState.FAIL)
        return optuna_study.get_trials(deepcopy=False)

    def _alone(self, place: int) -> optuna.Trial:
        """The trial in a study of its own with the past; Hyperband's brackets hang on its number."""
        optuna_study = self._empty()
        optuna_study.add_trials(self.past)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            before_in_batch = range(place - len(self.past))
            optuna_study.add_trials(optuna.trial.create_trial(state=TrialState.FAIL) for _ in before_in_batch)
            return optuna_study.ask()


def _pruner(search: Search) -> optuna.pruners.BasePruner | None:
    match search.pruner:
        case "median":
            return optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1)
        case "asha":
            return optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
        case "hyperband":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return optuna.pruners.HyperbandPruner(
                    min_resource=1, max_resource=search.most_epochs, reduction_factor=3
                )
    return None
