"""Whose a trial is, when several processes search together, and which of them still live."""

from __future__ import annotations

import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path

import filelock
import optuna
from optuna.trial import FrozenTrial, TrialState

from fittingroom.questions.tune.storage import own_trials

BEAT_S = 30.0  # between two signs of life of a driver
DEAD_S = 300.0  # without one, a driver on another machine counts as dead


class Driver:
    """This process as one that runs trials: it holds a lock while it lives, and a thread beats for those on other machines.

    `turn` is held from looking at what there is to owning a part of it, by one driver of this machine at a time.
    """

    def __init__(self, folder: Path, optuna_study: optuna.Study) -> None:
        self.folder, self.optuna_study, self.name = folder, optuna_study, uuid.uuid4().hex[:12]
        folder.mkdir(parents=True, exist_ok=True)
        self.lock = filelock.FileLock(self._file(self.name))
        self.turn = filelock.FileLock(folder / "turn.lock")
        self.ended = threading.Event()
        self.beats = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Driver:
        self.lock.acquire()
        self.optuna_study.set_user_attr(f"alive {self.name}", time.time())
        self.beats.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.ended.set()
        self.beats.join()
        self.turn.release(force=True)
        self._bury(self.name)
        self.lock.release()

    def _beat(self) -> None:
        while not self.ended.wait(BEAT_S):
            with suppress(Exception):  # a storage that is away for a moment
                self.optuna_study.set_user_attr(f"alive {self.name}", time.time())

    def orphans(self) -> list[FrozenTrial]:
        """The running trials whose driver is dead."""
        running = [trial for trial in own_trials(self.optuna_study) if trial.state == TrialState.RUNNING]
        owners = {trial.user_attrs.get("driver", "") for trial in running}
        dead = {owner for owner in owners if not self._lives(owner)}
        return [trial for trial in running if trial.user_attrs.get("driver", "") in dead]

    def _lives(self, driver: str) -> bool:
        if driver == self.name:
            return True
        last = float(self.optuna_study.user_attrs.get(f"alive {driver}", 0.0))
        if last and self._file(driver).exists():  # of this machine
            try:
                with filelock.FileLock(self._file(driver), timeout=0):
                    self._bury(driver)
                return False
            except filelock.Timeout:
                return True
        return time.time() - last < DEAD_S

    def _bury(self, driver: str) -> None:
        self.optuna_study.set_user_attr(f"alive {driver}", 0.0)
        self._file(driver).unlink(missing_ok=True)

    def _file(self, driver: str) -> Path:
        return self.folder / f"{driver}.lock"
