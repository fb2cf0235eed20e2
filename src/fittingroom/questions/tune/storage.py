"""Where trials are kept: an embedded journal file, or a database that several people or machines share."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import filelock
import optuna
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial

from fittingroom.questions.tune.propose import distributions
from fittingroom.questions.tune.search import Search
from fittingroom.spec.errors import FittingroomError, need, unknown, without_passwords
from fittingroom.spec.space import Choice, Dimension
from fittingroom.store import Runs
from fittingroom.store.atomic import append_line
from fittingroom.store.chain import Chain, written
from fittingroom.store.seal import Damaged

LOCK_S = 60.0  # a journal that another process holds for longer is given up
REMEDY = "move it away and search anew: what was trained is not trained again"


def journal(runs: Runs) -> Path:
    """Where searches are kept unless a URL is given."""
    return runs.path / "tuning" / "searches.journal"


def open_storage(where: str | Path) -> optuna.storages.BaseStorage:
    """An embedded journal file, or a database by URL. Raises `FittingroomError` if it cannot be opened or is none.

    A line that a power cut left half written is forgotten: what it would have said is found out again.
    """
    if "://" in str(where):
        return _database(str(where))
    path = Path(where)
    with _named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        backend = _Journal(path)
        backend.mend()
        return optuna.storages.JournalStorage(backend)


def _database(url: str) -> optuna.storages.BaseStorage:
    need("sqlalchemy", "a search in a database", "tune")
    kind, _, rest = url.partition("://")
    if kind == "postgresql":
        need("psycopg", "a search in PostgreSQL", "postgresql")
        kind = "postgresql+psycopg"
    try:
        return optuna.storages.RDBStorage(f"{kind}://{rest}", engine_kwargs={"pool_pre_ping": True})
    except Exception as error:  # SQLAlchemy's and the driver's own kinds
        reason = str(error).strip().splitlines()[0]
        raise FittingroomError(without_passwords(f"cannot open the storage {url}: {reason}")) from None


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """What goes wrong with a file, as a message that names it."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is damaged, or no journal"
        raise FittingroomError(f"cannot open the storage {path}: {reason}; --storage names another") from None


class _Journal(JournalFileBackend):
    """Optuna's journal with a lock of the operating system, which lets go when its holder is killed, and with plain words."""

    def __init__(self, path: Path) -> None:
        self.path, self.chain = path, Chain()
        super().__init__(str(path), _Lock(path))  # type: ignore[arg-type]

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        """The entries from this one on, each checked against all before it."""
        first = min(log_number_from, len(self.chain.hashes))
        for number, line in enumerate(super().read_logs(first), first):
            try:
                entry = self.chain.check(number, line)
            except Damaged as error:
                raise Damaged(f"{self.path} is damaged: {error}; {REMEDY}") from None
            if number >= log_number_from:
                yield entry

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write entries, each with a hash of all before it."""
        self._lock.acquire()
        try:
            self._cut_off_half_a_line()
            for _ in self.read_logs(len(self.chain.hashes)):  # what others wrote meanwhile
                pass
            known = len(self.chain.hashes)
            try:
                append_line(self.path, "\n".join(written(self.chain.sealed(log)) for log in logs))
            except BaseException:  # a full disk, say: they are not written, or half of them
                self.chain.forget(known)
                raise
        finally:
            self._lock.release()

    def mend(self) -> None:
        """Drop a last line without an end: whoever wrote it was cut off, since the lock is ours."""
        if not self.path.stat().st_size:
            return
        self._lock.acquire()
        try:
            self._cut_off_half_a_line()
        finally:
            self._lock.release()

    def _cut_off_half_a_line(self) -> None:
        with self.path.open("rb+") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            if file.read() in (b"", b"\n"):
                return
            file.seek(0)
            whole = file.read().rpartition(b"\n")[0]
            if "op_code" not in json.loads(whole.partition(b"\n")[0]):  # no journal: leave it alone
                raise ValueError
            file.truncate(len(whole) + 1)
            os.fsync(file.fileno())


class _Lock:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = filelock.FileLock(path.with_suffix(".lock"))

    def acquire(self) -> bool:
        try:
            self.lock.acquire(timeout=LOCK_S)
        except filelock.Timeout:
            raise FittingroomError(
                f"another process has held {self.path} for {LOCK_S:.0f} s; end it, or give --storage another file"
            ) from None
        return True

    def release(self) -> None:
        self.lock.release()


def names(storage: optuna.storages.BaseStorage) -> list[str]:
    """The searches in a storage."""
    return sorted(optuna_study.study_name for optuna_study in optuna.get_all_study_summaries(storage))


def refuse_unknown(storage: optuna.storages.BaseStorage, name: str) -> None:
    """Raises `FittingroomError` if there is no search of this name."""
    if name not in names(storage):
        raise unknown("search", name, names(storage), "the searches in this storage")


def open_study(search: Search, storage: optuna.storages.BaseStorage, name: str, resume: bool) -> optuna.Study:
    """The search `name` in `storage`: a new one, or with `resume` one that must be the same search."""
    there = name in names(storage)
    if there and not resume:
        raise FittingroomError(
            f'there is a search "{name}" already; --resume goes on with it, --name gives this one another name'
        )
    if resume and not there:
        raise unknown("search", name, names(storage), "fittingroom tune without --resume, to start it")
    optuna_study = optuna.create_study(
        study_name=name, storage=storage, directions=search.directions, load_if_exists=True
    )
    known = optuna_study.user_attrs.get("identity")
    if known is None:
        optuna_study.set_user_attr("identity", search.identity)
        optuna_study.set_user_attr("objectives", list(search.objectives))
        optuna_study.set_user_attr("threads", search.threads)  # of each trial: they decide the last bits
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna_study.set_metric_names([f"validation {search.objectives[0]}", *search.objectives[1:]])
    elif known != search.identity:
        raise FittingroomError(
            f'the search "{name}" is about another recipe, space, objective, pruner, batch, seed or other data; '
            "give the same command as before, or --name for a search of its own"
        )
    return optuna_study


def warm_start(search: Search, optuna_study: optuna.Study, storage: optuna.storages.BaseStorage, name: str) -> int:
    """Copy the finished trials of the search `name` that lie in this space; how many there were.

    They say what to try; they win nothing here, since their images or the rest of their recipe may be others.
    Raises `FittingroomError` for a search that is not there, has other objectives, or no trial in this space.
    """
    refuse_unknown(storage, name)
    earlier = optuna.load_study(study_name=name, storage=storage)
    if earlier.user_attrs.get("objectives") != optuna_study.user_attrs["objectives"]:
        raise FittingroomError(f'the search "{name}" had other objectives ({earlier.user_attrs.get("objectives")})')
    found = [trial for trial in earlier.get_trials(deepcopy=False) if trial.state == TrialState.COMPLETE]
    space = distributions(search)
    # the command may be given again
    there = {trial.user_attrs.get("from") for trial in optuna_study.get_trials(deepcopy=False)}
    found = [trial for trial in found if f"{name} {trial.number}" not in there]
    taken = []
    for trial in found:
        shared = {path: value for path, value in trial.params.items() if path in space}
        if shared and all(_holds(search.space[path], value) for path, value in shared.items()):
            taken.append(
                create_trial(
                    values=trial.values, params=shared, distributions={path: space[path] for path in shared},
                    user_attrs={**trial.user_attrs, "from": f"{name} {trial.number}"},
                )
            )  # fmt: skip
    if not taken and not there - {None}:
        raise FittingroomError(f'none of the {len(found)} finished trials of the search "{name}" lies in this space')
    optuna_study.add_trials(taken)
    return len(taken)


def _holds(dimension: Dimension, kept: Any) -> bool:
    """Whether a parameter of a trial, in which choices are kept as text, lies in a dimension."""
    return kept in dimension.labels() if isinstance(dimension, Choice) else dimension.holds(kept)


# ---------------------------------------------------------------- single trials


def own_trials(optuna_study: optuna.Study) -> list[FrozenTrial]:
    """The trials of this search itself, in their order; a trial's place in it decides what is proposed."""
    return [trial for trial in optuna_study.get_trials(deepcopy=False) if "from" not in trial.user_attrs]


def note(optuna_study: optuna.Study, trial: FrozenTrial, key: str, value: Any) -> None:
    """Write a fact about a trial, unless it has ended: another driver was faster."""
    with suppress(optuna.exceptions.UpdateFinishedTrialError):
        optuna_study._storage.set_trial_user_attr(trial._trial_id, key, value)


def report(optuna_study: optuna.Study, trial: FrozenTrial, curve: dict[int, float]) -> None:
    """Write a trial's values by epoch; Optuna keeps none for several objectives."""
    if len(optuna_study.directions) > 1:
        return
    with suppress(optuna.exceptions.UpdateFinishedTrialError):
        for step, value in curve.items():
            if step not in trial.intermediate_values:
                optuna_study._storage.set_trial_intermediate_value(trial._trial_id, step, value)
