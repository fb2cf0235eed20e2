"""The search itself: take up what a killed driver left, propose, train, tell; batch after batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from fittingroom.metrics.metric import METRICS
from fittingroom.questions.tune.drivers import Driver
from fittingroom.questions.tune.judge import Judge
from fittingroom.questions.tune.propose import distributions, propose
from fittingroom.questions.tune.search import Search, values
from fittingroom.questions.tune.storage import note, own_trials, report
from fittingroom.spec.errors import FittingroomError
from fittingroom.store import Runs
from fittingroom.store.fetch import Say, Tick
from fittingroom.study.execute import Update
from fittingroom.study.job import Job, resolve
from fittingroom.study.launch import Failed, Launcher, Outcome, Stopped, run_and_wait


def run_search(
    search: Search,
    optuna_study: optuna.Study,
    runs: Runs,
    launcher: Launcher,
    *,
    trials: int | None = None,
    minutes: float | None = None,
    tick: Tick = lambda share: None,
    say: Say = lambda line: None,
) -> None:
    """Go on until there are `trials` in all and they have ended, or for so many `minutes`; a batch that has begun is finished.

    Trials that a killed driver left behind are taken up first: their trainings go on after their last whole epoch.
    """
    began = time.monotonic()

    def spent() -> float:
        return (time.monotonic() - began) / (60 * minutes) if minutes else float(minutes is not None)

    with _told_plainly(), Driver(runs.path / "tuning" / "drivers", optuna_study) as driver:
        while True:
            with driver.turn:
                mine = _take(search, optuna_study, driver, 0 if spent() >= 1 else trials)
            everyone = own_trials(optuna_study)
            if not mine:
                if spent() >= 1 or all(trial.state.is_finished() for trial in everyone):
                    return
                time.sleep(1)  # the last ones run elsewhere, and may be the best
                continue
            ended = sum(trial.state.is_finished() for trial in everyone)

            def at(trials_done: float, before: int = ended) -> None:
                tick(min(1.0, max((before + trials_done) / trials if trials else 0.0, spent())))

            _run_batch(search, optuna_study, mine, runs, launcher, at, say)


@contextmanager
def _told_plainly() -> Iterator[None]:
    try:
        yield
    except optuna.exceptions.StorageInternalError as error:
        raise FittingroomError(
            f"the storage does not answer ({str(error).strip().splitlines()[0]}); what was told to it is kept: --resume goes on"
        ) from None


def _take(search: Search, optuna_study: optuna.Study, driver: Driver, trials: int | None) -> list[int]:
    """The places of the trials that this driver runs next, all of one batch: orphans, and what the batch lacks of `trials`."""
    everyone = own_trials(optuna_study)
    place_of = {trial.number: place for place, trial in enumerate(everyone)}
    orphans = driver.orphans()
    batch = min((place_of[trial.number] for trial in orphans), default=len(everyone)) // search.batch
    for trial in orphans:
        if place_of[trial.number] // search.batch == batch:
            note(optuna_study, trial, "driver", driver.name)
    end = (batch + 1) * search.batch if trials is None else min((batch + 1) * search.batch, trials)
    lacking = range(len(everyone), end) if len(everyone) // search.batch == batch else range(0)
    if lacking:
        earlier = [trial for trial in optuna_study.get_trials(deepcopy=False) if "from" in trial.user_attrs]
        known = earlier + [trial for trial in everyone[: batch * search.batch] if trial.state.is_finished()]
        space, owned = distributions(search), {"driver": driver.name}
        for point in propose(search, lacking, known):  # each in one writing: a kill leaves no half of one
            optuna_study.add_trial(
                create_trial(state=TrialState.RUNNING, params=point, distributions=space, user_attrs=owned)
            )
    return [  # looked up: a driver on another machine may have been between
        place
        for place, trial in enumerate(own_trials(optuna_study))
        if trial.state == TrialState.RUNNING and trial.user_attrs.get("driver") == driver.name
    ]


def _run_batch(
    search: Search, optuna_study: optuna.Study, places: Sequence[int], runs: Runs, launcher: Launcher,
    at: Callable[[float], None], say: Say,
) -> None:  # fmt: skip
    """Train these trials, try crashed ones once more, and tell Optuna of all in their order."""
    everyone = own_trials(optuna_study)
    trials = {place: everyone[place] for place in places}
    jobs: dict[int, Job] = {}
    outcomes: dict[int, Outcome] = {}
    for place, trial in trials.items():
        try:
            recipe = search.recipe_of(values(search, trial.params))
            job = resolve(recipe, search.data, search.device, runs, threads=search.threads, score_test=False)
            jobs[place] = replace(job, seed=search.seed, part="trial", study=f"tune-{optuna_study.study_name}")
        except FittingroomError as error:
            outcomes[place] = Failed(str(error), mistake=True)
    done: dict[int, float] = {}
    first = min(places) // search.batch * search.batch
    judge = Judge(search, optuna_study.study_name, [trial for trial in everyone[:first] if trial.state.is_finished()])
    for place, job in jobs.items():  # what is on disk, of before a kill or of a trial with the same values
        for epoch in job.folder(runs).epochs:
            judge.wants_no_more(job.recipe, place, epoch)

    def train(order: Sequence[int]) -> None:
        def hear(number: int, sign: Update | None) -> bool:
            place = order[number]
            epochs = jobs[place].recipe.train.epochs
            done[place] = 1.0 if sign is None else (sign.epoch - 1 + sign.images / sign.of) / epochs
            at(sum(done.values()))
            if sign is None or sign.record is None:
                return False
            return judge.wants_no_more(jobs[place].recipe, place, sign.record)

        outcomes.update(
            zip(order, run_and_wait([jobs[place] for place in order], runs, launcher, hear, say), strict=True)
        )

    longest_first = sorted(jobs, key=lambda place: -jobs[place].work)
    train([place for place in longest_first if place not in judge.stopped])
    crashed = [
        place
        for place in longest_first
        if isinstance(found := outcomes.get(place), Failed) and (found.lost or not found.mistake)
    ]
    for place in crashed:
        text = outcomes[place].text  # type: ignore[union-attr]
        note(optuna_study, trials[place], "crashed", text)
        say(f"trial {trials[place].number} crashed and is tried once more: {text.strip().splitlines()[-1]}")
    if crashed:
        train(crashed)
    for place, trial in trials.items():
        # stopped is stopped, whether or not its last epochs had come meanwhile
        outcome = Stopped() if place in judge.stopped else outcomes[place]
        _tell(search, optuna_study, trial, outcome, judge.seen(place), jobs.get(place), runs, say)


def _tell(
    search: Search, optuna_study: optuna.Study, trial: FrozenTrial, outcome: Outcome, curve: dict[int, float],
    job: Job | None, runs: Runs, say: Say,
) -> None:  # fmt: skip
    """Write what became of a trial."""
    report(optuna_study, trial, curve)
    if isinstance(outcome, Failed) or job is None:
        text = outcome.text if isinstance(outcome, Failed) else ""
        note(optuna_study, trial, "error", text)
        optuna_study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
        say(f"trial {trial.number} failed: {text.strip().splitlines()[-1]}")
        return
    run = job.folder(runs)
    note(optuna_study, trial, "run", run.name)
    if isinstance(outcome, Stopped):
        optuna_study.tell(trial.number, state=TrialState.PRUNED, skip_if_finished=True)
        say(f"trial {trial.number}: stopped after {len(curve)} epochs")
        return
    note(optuna_study, trial, "epochs", run.metrics.epochs)
    note(optuna_study, trial, "train_s", run.metrics.train_s)
    found = search.value(run, job)
    optuna_study.tell(trial.number, found, skip_if_finished=True)
    metric = METRICS[search.objectives[0]]
    say(f"trial {trial.number}: {metric.show(found[0])}{metric.unit} on validation")
