"""Search: Optuna proposes values for parts of a recipe, trainings judge them on validation images. The test set stays locked.

Trials are proposed in batches, from what earlier batches found and nothing else; a trial is stopped early (pruned) by comparison
with earlier batches alone. So neither the number of workers nor their speed nor a kill changes what is tried, only when: the
same search gives the same trials on a laptop and on a cluster. The price is that a batch waits for its slowest trial.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import time
import uuid
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from fittingroom.data import Dataset
from fittingroom.data.acquire import Say, Tick
from fittingroom.metrics.metric import METRICS, metric
from fittingroom.spec.digest import digest
from fittingroom.spec.errors import FittingroomError, need, unknown, without_passwords
from fittingroom.spec.overrides import apply_overrides
from fittingroom.spec.read import parse_recipe
from fittingroom.spec.recipe import Recipe
from fittingroom.spec.records import Epoch, TrialFacts
from fittingroom.spec.space import Choice, Dimension, Range, as_words
from fittingroom.store import RunFolder, Runs
from fittingroom.study.clock import median_s
from fittingroom.study.execute import Progress
from fittingroom.study.launch import Failed, Launcher, Outcome, Stopped
from fittingroom.study.plan import Job, plan

need("optuna", "fittingroom tune", "tune")

import optuna  # noqa: E402
from optuna.storages.journal import JournalFileBackend  # noqa: E402
from optuna.trial import FrozenTrial, TrialState, create_trial  # noqa: E402

optuna.logging.set_verbosity(optuna.logging.WARNING)

PRUNERS = ("none", "median", "asha", "hyperband")
COSTS = ("train_s", "parameters", "flops", "latency_s")  # objectives that are better when smaller, whatever the metric
BEAT_S = 30.0  # between two signs of life of a driver
YOUNG_S = 10.0  # a trial without a driver is being taken by one on another machine, if it began so lately
DEAD_S = 300.0  # without one, a driver on another machine counts as dead


@dataclass(frozen=True)
class Search:
    """What is searched. `objectives`: a metric on validation images first, then costs; their values in that order."""

    recipe: Recipe
    space: dict[str, Dimension]
    data: Dataset
    objectives: tuple[str, ...] = ("accuracy",)
    pruner: str = "none"
    batch: int = 8
    seed: int = 0
    device: str = "cpu"
    threads: int = 1

    def __post_init__(self) -> None:
        first, *others = self.objectives
        metric(first)
        for name in others:
            if name not in COSTS:
                raise unknown("objective", name, COSTS, "a metric first, then any of: " + ", ".join(COSTS))
        if self.pruner not in PRUNERS:
            raise unknown("pruner", self.pruner, PRUNERS, ", ".join(PRUNERS))
        if others and self.pruner != "none":
            raise FittingroomError("a trial is pruned by one objective; with several, leave --pruner away")
        if not self.space:
            raise FittingroomError(
                f'{self.recipe.name} has no search space; give one, for example "optimizer.lr=log(1e-4,1e-1)", or --space FILE'
            )
        part = self.recipe.data
        if not part.folds and part.val_fraction == 0 and self.data.val is None:
            raise FittingroomError("a search selects on validation images; hold some out: data.val_fraction=0.1")
        self.recipe_of({path: _first(dimension) for path, dimension in self.space.items()})  # paths that lead nowhere

    @property
    def identity(self) -> str:
        """What must agree for two searches to be one."""
        space = {path: repr(dimension) for path, dimension in self.space.items()}
        start = self.recipe.deciding()
        return digest(
            {
                "recipe": start,
                "data": self.data.digest,
                "space": space,
                "objectives": self.objectives,
                "seed": self.seed,
            }
        )

    def recipe_of(self, values: dict[str, Any]) -> Recipe:
        """The recipe with these values of its space. Raises `FittingroomError` for one that is none."""
        tree = self.recipe.model_dump(mode="json", exclude_none=True, exclude={"claims", "measured", "space"})
        words = [word for path, value in values.items() for word in as_words(path, value)]
        # one name for all, so that values found twice are trained once
        return parse_recipe(apply_overrides(tree, words) | {"name": f"{self.recipe.name} trial"}, self.recipe.name)

    def value(self, run: RunFolder, job: Job) -> list[float]:
        """The objectives of a finished run."""
        costs: dict[str, Callable[[], float]] = {
            "train_s": lambda: run.metrics.train_s,
            "parameters": lambda: float(run.structure.parameters),
            "flops": lambda: float(run.structure.flops),
            "latency_s": lambda: _latency_s(run, self.data, job.device),
        }
        return [score(run, self.objectives[0]), *(costs[name]() for name in self.objectives[1:])]


def score(run: RunFolder, metric: str) -> float:
    """A finished run's score on its validation images."""
    held_out = run.predictions("val")
    assert held_out is not None
    return METRICS[metric].score(*held_out)


# ---------------------------------------------------------------- the storage


def open_storage(where: str | Path) -> optuna.storages.BaseStorage:
    """An embedded journal file, or a database by URL. Raises `FittingroomError` if it cannot be opened."""
    text = str(where)
    if "://" in text:
        need("sqlalchemy", "a search in a database", "tune")
        kind = text.split("://")[0]
        if kind == "postgresql":
            need("psycopg", "a search in PostgreSQL", "postgresql")
            text = "postgresql+psycopg://" + text.split("://", 1)[1]
        try:
            return optuna.storages.RDBStorage(text)
        except Exception as error:  # SQLAlchemy's and the driver's own kinds
            reason = str(error).strip().splitlines()[0]
            raise FittingroomError(without_passwords(f"cannot open the storage {where}: {reason}")) from None
    path = Path(text)
    path.parent.mkdir(parents=True, exist_ok=True)
    backend = JournalFileBackend(str(path), _FileLock(path))  # type: ignore[arg-type]
    return optuna.storages.JournalStorage(backend)


class _FileLock:
    """A lock of the operating system, which lets go when its holder is killed; Optuna's own would block for half a minute."""

    def __init__(self, path: Path) -> None:
        self.lock = filelock.FileLock(path.with_suffix(".lock"))

    def acquire(self) -> bool:
        self.lock.acquire()
        return True

    def release(self) -> None:
        self.lock.release()


def names(storage: optuna.storages.BaseStorage) -> list[str]:
    """The searches in a storage."""
    return sorted(study.study_name for study in optuna.get_all_study_summaries(storage))


def open_study(search: Search, storage: optuna.storages.BaseStorage, name: str, resume: bool) -> optuna.Study:
    """The search `name` in `storage`: a new one, or with `resume` one that must be of the same recipe, space and data."""
    there = name in names(storage)
    if there and not resume:
        raise FittingroomError(
            f'there is a search "{name}" already; --resume goes on with it, --name gives this one another name'
        )
    if resume and not there:
        raise unknown("search", name, names(storage), "fittingroom tune without --resume, to start it")
    larger = METRICS[search.objectives[0]].larger_is_better
    directions = [optuna.study.StudyDirection.MAXIMIZE if larger else optuna.study.StudyDirection.MINIMIZE]
    directions += [optuna.study.StudyDirection.MINIMIZE] * (len(search.objectives) - 1)
    study = optuna.create_study(study_name=name, storage=storage, directions=directions, load_if_exists=True)
    known = study.user_attrs.get("identity")
    if known is None:
        study.set_user_attr("identity", search.identity)
        study.set_user_attr("objectives", list(search.objectives))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([f"validation {search.objectives[0]}", *search.objectives[1:]])
        start = _start_values(search)
        if start is not None:
            study.enqueue_trial(start)  # the recipe as it is: the search cannot end below it
    elif known != search.identity:
        raise FittingroomError(
            f'the search "{name}" is about another recipe, space, objective, pruner, batch, seed or other data; '
            "give the same command as before, or --name for a search of its own"
        )
    return study


def warm_start(study: optuna.Study, storage: optuna.storages.BaseStorage, name: str) -> int:
    """Copy the finished trials of another search with the same objectives and space, as far as it goes; how many there were."""
    if name not in names(storage):
        raise unknown("search", name, names(storage), "the searches in this storage")
    earlier = optuna.load_study(study_name=name, storage=storage)
    if earlier.user_attrs.get("objectives") != study.user_attrs["objectives"]:
        raise FittingroomError(f'the search "{name}" had other objectives ({earlier.user_attrs.get("objectives")})')
    found = [trial for trial in earlier.get_trials(deepcopy=False) if trial.state == TrialState.COMPLETE]
    study.add_trials(
        create_trial(
            values=t.values, params=t.params, distributions=t.distributions,
            user_attrs={**t.user_attrs, "from": f"{name} {t.number}"},
        )
        for t in found
    )  # fmt: skip
    return len(found)


# ---------------------------------------------------------------- the search itself


def run_search(
    search: Search,
    study: optuna.Study,
    runs: Runs,
    by: Launcher,
    *,
    trials: int | None = None,
    minutes: float | None = None,
    tick: Tick = lambda share: None,
    say: Say = lambda line: None,
) -> None:
    """Go on until `trials` have ended in all, or for so many `minutes`; a batch that has begun is finished.

    Trials that a killed driver left behind are taken up first: their trainings go on after their last whole epoch.
    """
    began = time.monotonic()
    with _Driver(runs.path / "tuning" / "drivers", study) as driver:
        while True:
            with driver.turn:
                mine = driver.orphans()
                here = [trial for trial in study.get_trials(deepcopy=False) if "from" not in trial.user_attrs]
                ended = sum(trial.state.is_finished() for trial in here)
                elsewhere = sum(trial.state == TrialState.RUNNING for trial in here) - len(mine)
                if not mine:
                    late = minutes is not None and time.monotonic() - began > 60 * minutes
                    wanted = min(search.batch, trials - ended - elsewhere) if trials is not None else search.batch
                    if late or (wanted <= 0 and not elsewhere):
                        return
                    mine = _ask(search, study, wanted) if wanted > 0 else []
                for number in mine:
                    driver.own(number)
            if not mine:  # the last ones run elsewhere, and may be the best
                time.sleep(1)
                continue

            def at(trials_done: float, before: int = ended) -> None:
                of_time = (time.monotonic() - began) / (60 * minutes) if minutes else 0.0
                tick(min(1.0, max((before + trials_done) / trials if trials else 0.0, of_time)))

            _run_batch(search, study, mine, runs, by, driver, at, say)


def _ask(search: Search, study: optuna.Study, n: int) -> list[int]:
    """Propose `n` trials from what has ended so far; the same ones whenever that is the same."""
    before = len(study.get_trials(deepcopy=False))
    distributions = {path: _distribution(dimension) for path, dimension in search.space.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.sampler = optuna.samplers.TPESampler(seed=search.seed + 7919 * before, multivariate=True)
        return [study.ask(distributions).number for _ in range(n)]


def _run_batch(
    search: Search, study: optuna.Study, numbers: Sequence[int], runs: Runs, by: Launcher, driver: _Driver,
    at: Callable[[float], None], say: Say,
) -> None:  # fmt: skip
    """Train these trials, try crashed ones once more, and tell Optuna of all in their order."""
    jobs: dict[int, Job] = {}
    told: dict[int, str] = {}  # why a trial cannot be trained
    for number in numbers:
        try:
            recipe = search.recipe_of(_values(search, _trial(study, number)))
            jobs[number] = plan(
                recipe, search.data, search.seed, search.device, search.threads, score_test=False, runs=runs
            )
        except FittingroomError as error:
            told[number] = str(error)
    done: dict[int, float] = {}
    judge = _Judge(search.pruner, study, numbers)
    order = sorted(jobs, key=lambda number: -jobs[number].work)

    def hear(place: int, sign: Progress | None) -> bool:
        number = order[place]
        driver.beat()
        done[number] = (
            1.0 if sign is None else (sign.epoch - 1 + sign.images / sign.of) / jobs[number].recipe.train.epochs
        )
        at(sum(done.values()))
        if sign is None or sign.record is None:
            return False
        return judge.wants_no_more(jobs[number].recipe, number, sign.record)

    for (
        number
    ) in order:  # what is on disk, from before a kill or of a trial with the same values, counts as if just heard
        for epoch in jobs[number].folder(runs).epochs:
            judge.wants_no_more(jobs[number].recipe, number, epoch)
    order = [number for number in order if number not in judge.stopped]
    outcomes: dict[int, Outcome] = dict(zip(order, by.run([jobs[n] for n in order], runs, hear, say), strict=True))
    crashed = [n for n in order if isinstance(found := outcomes[n], Failed) and (found.lost or not found.mistake)]
    if crashed:
        for number in crashed:
            failed = outcomes[number]
            assert isinstance(failed, Failed)
            _set(study, number, "crashed", failed.text)
            say(f"trial {number} crashed and is tried once more: {failed.text.strip().splitlines()[-1]}")
        order = crashed
        outcomes |= dict(zip(order, by.run([jobs[n] for n in order], runs, hear, say), strict=True))
    for number in numbers:
        outcome = outcomes.get(number, Failed(told.get(number, ""), mistake=True))
        if number in judge.stopped:  # whether or not its last epochs had come meanwhile
            outcome = Stopped()
        if len(search.objectives) == 1:  # Optuna keeps no curves for several
            for step, value in judge.seen(number).items():
                with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
                    _trial_handle(study, number).report(value, step)
        if isinstance(outcome, Failed):
            _set(study, number, "error", outcome.text)
            study.tell(number, state=TrialState.FAIL, skip_if_finished=True)
            say(f"trial {number} failed: {outcome.text.strip().splitlines()[-1]}")
            continue
        run = jobs[number].folder(runs)
        _set(study, number, "run", run.name)
        if isinstance(outcome, Stopped):
            study.tell(number, state=TrialState.PRUNED, skip_if_finished=True)
            say(f"trial {number}: stopped after {len(judge.seen(number))} epochs")
            continue
        _set(study, number, "epochs", run.metrics.epochs)
        _set(study, number, "train_s", run.metrics.train_s)
        values = search.value(run, jobs[number])
        study.tell(number, values, skip_if_finished=True)
        by_metric = METRICS[search.objectives[0]]
        say(f"trial {number}: {by_metric.show(values[0])}{by_metric.unit} on validation")


class _Judge:
    """Decides when a trial is hopeless, knowing the trials of earlier batches and this trial's own past, and nothing else."""

    def __init__(self, pruner: str, study: optuna.Study, batch: Sequence[int]) -> None:
        self.pruner = _pruner(pruner)
        self.name = study.study_name
        self.past = [t for t in study.get_trials(deepcopy=False) if t.number < min(batch) and t.state.is_finished()]
        self.trials: dict[int, optuna.Trial] = {}
        self.curves: dict[int, dict[int, float]] = {}
        self.stopped: set[int] = set()

    def wants_no_more(self, recipe: Recipe, number: int, epoch: Epoch) -> bool:
        """Whether trial `number` should stop after this epoch. An epoch that is told twice counts once."""
        curve = self.curves.setdefault(number, {})
        if number in self.stopped or epoch.epoch in curve or epoch.val_accuracy is None:
            return number in self.stopped
        curve[epoch.epoch] = epoch.val_accuracy
        if self.pruner is not None and epoch.epoch < recipe.train.epochs:  # after the last there is nothing to save
            trial = self.trials[number] = self.trials.get(number) or self._alone(number)
            trial.report(epoch.val_accuracy, epoch.epoch)
            if trial.should_prune():
                self.stopped.add(number)
        return number in self.stopped

    def seen(self, number: int) -> dict[int, float]:
        """The values that were reported, by epoch."""
        return self.curves.get(number, {})

    def _alone(self, number: int) -> optuna.Trial:
        """The trial in a study of its own, in which the past happened again; Hyperband's brackets hang on its number."""
        study = optuna.create_study(study_name=self.name, direction="maximize", pruner=self.pruner)
        by_number = {t.number: t for t in self.past}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for n in range(number):
                earlier = by_number.get(n)
                again = study.ask()
                for step, value in sorted(earlier.intermediate_values.items()) if earlier else ():
                    again.report(value, step)
                    again.should_prune()  # a halving pruner notes who came how far
                if earlier and earlier.state == TrialState.COMPLETE:
                    study.tell(again, earlier.values[0])
                else:
                    pruned = earlier and earlier.state == TrialState.PRUNED and earlier.intermediate_values
                    study.tell(again, state=TrialState.PRUNED if pruned else TrialState.FAIL)
            return study.ask()


def _pruner(name: str) -> optuna.pruners.BasePruner | None:
    match name:
        case "median":
            return optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1)
        case "asha":
            return optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
        case "hyperband":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return optuna.pruners.HyperbandPruner(min_resource=1, reduction_factor=3)
    return None


class _Driver:
    """This process as one that runs trials: it holds a lock while it lives, and beats for those on other machines."""

    def __init__(self, folder: Path, study: optuna.Study) -> None:
        self.folder, self.study, self.name = folder, study, uuid.uuid4().hex[:12]
        folder.mkdir(parents=True, exist_ok=True)
        self.lock = filelock.FileLock(folder / f"{self.name}.lock")
        self.turn = filelock.FileLock(folder / "turn.lock")  # held from looking at what there is to owning a part of it
        self.beaten = 0.0

    def __enter__(self) -> _Driver:
        self.lock.acquire()
        self.beat()
        return self

    def __exit__(self, *error: object) -> None:
        self.turn.release(force=True)
        self.lock.release()
        (self.folder / f"{self.name}.lock").unlink(missing_ok=True)

    def beat(self) -> None:
        """A sign of life in the storage, at most every `BEAT_S`."""
        if time.monotonic() - self.beaten > BEAT_S or not self.beaten:
            self.beaten = time.monotonic()
            self.study.set_user_attr(f"alive {self.name}", time.time())

    def own(self, number: int) -> None:
        _set(self.study, number, "driver", self.name)

    def orphans(self) -> list[int]:
        """The running trials whose driver is dead (or this one)."""
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        young = datetime.datetime.now() - datetime.timedelta(seconds=YOUNG_S)
        owner = {t.number: t.user_attrs.get("driver") for t in running}
        lives = {driver: self._lives(driver) for driver in set(owner.values()) if driver}
        return [
            t.number
            for t in running
            if not lives.get(
                driver := owner[t.number], not driver and bool(t.datetime_start and t.datetime_start > young)
            )
        ]

    def _lives(self, driver: str) -> bool:
        if driver == self.name:
            return False
        path = self.folder / f"{driver}.lock"
        if path.exists():
            lock = filelock.FileLock(path, timeout=0)
            try:
                with lock:
                    pass
            except filelock.Timeout:
                return True
            path.unlink(missing_ok=True)
            return False
        return time.time() - float(self.study.user_attrs.get(f"alive {driver}", 0.0)) < DEAD_S


# ---------------------------------------------------------------- what was found


def facts(search: Search, study: optuna.Study) -> list[TrialFacts]:
    """All trials that have ended, in their order."""
    return [
        TrialFacts(
            number=t.number,
            state={TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}.get(t.state, "failed"),
            values=tuple(t.values) if t.state == TrialState.COMPLETE else (),
            params=_values(search, t),
            epochs=int(t.user_attrs.get("epochs", len(t.intermediate_values))),
            train_s=t.user_attrs.get("train_s"),
            run=t.user_attrs.get("run", ""),
            error=str(t.user_attrs.get("error", "")),
            crashed="crashed" in t.user_attrs,
            earlier=t.user_attrs.get("from", ""),
        )
        for t in study.get_trials(deepcopy=False)
        if t.state.is_finished()
    ]


def best(search: Search, study: optuna.Study) -> TrialFacts:
    """The trial with the best first objective. Raises `FittingroomError` if none was completed."""
    done = [trial for trial in facts(search, study) if trial.state == "complete"]
    if not done:
        failed = [trial.error.strip().splitlines()[-1] for trial in facts(search, study) if trial.error]
        raise FittingroomError(
            "no trial was completed" + (f"; the first failed because: {failed[0]}" if failed else "")
        )
    sign = 1 if METRICS[search.objectives[0]].larger_is_better else -1
    return max(done, key=lambda trial: (sign * trial.values[0], -trial.number))


def front(search: Search, study: optuna.Study) -> set[int]:
    """The numbers of the trials that no other beats in every objective."""
    return {trial.number for trial in study.best_trials} if len(search.objectives) > 1 else set()


def importance(study: optuna.Study) -> dict[str, float]:
    """How much each dimension explains of the first objective (shares, the largest first); {} where that cannot be told.

    By PED-ANOVA (Watanabe, Bansal and Hutter 2023, arXiv:2304.10255).
    """
    with warnings.catch_warnings(), contextlib.suppress(ValueError, RuntimeError):
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        found = optuna.importance.get_param_importances(study, evaluator=evaluator, target=lambda t: t.values[0])
        return {path: share for path, share in found.items() if share == share}
    return {}


# ---------------------------------------------------------------- small things


def _first(dimension: Dimension) -> Any:
    return dimension.values[0] if isinstance(dimension, Choice) else _number(dimension, dimension.low)


def _number(dimension: Range, value: float) -> float | int:
    return int(value) if dimension.whole else float(value)


def _distribution(dimension: Dimension) -> optuna.distributions.BaseDistribution:
    if isinstance(dimension, Choice):
        return optuna.distributions.CategoricalDistribution(dimension.labels())
    if dimension.whole:
        return optuna.distributions.IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return optuna.distributions.FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def _values(search: Search, trial: FrozenTrial) -> dict[str, Any]:
    """A trial's parameters as values of the recipe."""
    return {
        path: json.loads(value) if isinstance(search.space.get(path), Choice) else value
        for path, value in trial.params.items()
    }


def _start_values(search: Search) -> dict[str, Any] | None:
    """The starting recipe as a point of the space; None if it is outside."""
    tree = search.recipe.model_dump(mode="json", exclude_none=True, exclude_defaults=False)
    found: dict[str, Any] = {}
    for path, dimension in search.space.items():
        node: Any = tree
        with contextlib.suppress(KeyError, IndexError, ValueError, TypeError):
            for key in path.split("&")[0].strip().split("."):
                node = node[int(key)] if isinstance(node, list) else node[key]
        if isinstance(dimension, Range):
            if not isinstance(node, int | float) or not dimension.low <= node <= dimension.high:
                return None
            found[path] = _number(dimension, node)
        else:
            pairs = zip(dimension.values, dimension.labels(), strict=True)
            label = next((label for value, label in pairs if _covers(node, value)), None)
            if label is None:
                return None
            found[path] = label
    return found


def _covers(node: Any, value: Any) -> bool:
    """Whether a resolved part of a recipe says what `value` says; what it says beyond are defaults."""
    if isinstance(value, dict) and isinstance(node, dict):
        return all(key in node and _covers(node[key], v) for key, v in value.items())
    if isinstance(value, list) and isinstance(node, list):
        return len(value) == len(node) and all(map(_covers, node, value))
    return bool(node == value)


def _trial(study: optuna.Study, number: int) -> FrozenTrial:
    return study.get_trials(deepcopy=False)[number]


def _trial_handle(study: optuna.Study, number: int) -> optuna.Trial:
    return optuna.Trial(study, _trial(study, number)._trial_id)


def _set(study: optuna.Study, number: int, key: str, value: Any) -> None:
    with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):  # another driver was faster
        _trial_handle(study, number).set_user_attr(key, value)


def _latency_s(run: RunFolder, data: Dataset, device: str) -> float:
    """Seconds for one image, in this process, while no trial runs."""
    from fittingroom.training import predict
    from fittingroom.training.fit import restore

    model = restore(run.recipe, run.arrays("weights"), data.train, device)
    one = data.train.images_NCHW[:1]
    return median_s(lambda: predict(model, one, device))


def journal(runs: Runs) -> Path:
    """Where searches are kept unless a URL is given."""
    return runs.path / "tuning" / "searches.journal"
