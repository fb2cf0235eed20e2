"""How far a command is, by its events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from fittingroom.store.events import Answered, EpochEnded, Event, Failed, Planned, RunBegun, RunEnded, StudyWritten


@dataclass(frozen=True)
class Training:
    """A run that a command trains, or has trained."""

    began: float  # seconds since 1970
    epochs: int  # at most
    first: int = 1  # epoch of this command's: a run that goes on has some already
    last: int = 0
    finished: bool | None = None  # None while it trains

    @property
    def share(self) -> float:
        """How much of the run this command has trained; all of one that stopped early."""
        last = self.last if self.finished is None else self.epochs
        return max(0, last - self.first + 1) / max(1, self.epochs)

    @property
    def left(self) -> float:
        """How much of the run is still to be trained."""
        return max(0, self.epochs - self.last) / max(1, self.epochs) if self.finished is None else 0.0


@dataclass(frozen=True)
class Progress:
    """What a command's events say, the latest of each kind."""

    planned: Planned | None = None
    trainings: Mapping[str, Training] = field(default_factory=dict)  # of that plan, by the run's name
    study: str = ""
    answer: Answered | None = None
    failed: Failed | None = None
    latest: float = 0.0  # event's time, seconds since 1970

    def after(self, events: Iterable[Event]) -> Progress:
        """The progress with these events, too."""
        new, trainings, latest = self, dict(self.trainings), self.latest
        for event in events:
            latest = event.time
            match event:
                case Planned():
                    new, trainings = replace(new, planned=event), {}
                case RunBegun():
                    trainings[event.run] = Training(event.time, event.epochs)
                case EpochEnded() if known := trainings.get(event.run):
                    n = max(1, min(event.record.epoch, event.epochs))
                    trainings[event.run] = replace(known, first=known.first if known.last else n, last=n)
                case RunEnded() if known := trainings.get(event.run):
                    trainings[event.run] = replace(known, finished=event.finished)
                case StudyWritten():
                    new = replace(new, study=event.name)
                case Answered():
                    new = replace(new, answer=event)
                case Failed():
                    new = replace(new, failed=event)
        return replace(new, trainings=trainings, latest=latest)

    @property
    def run(self) -> str:
        """The name of the run that the command is about; "" where that is not known, or there are several."""
        if len(self.trainings) == 1 and (self.planned is None or self.planned.runs == 1):
            return next(iter(self.trainings))
        return self.answer.subject if self.answer else ""

    @property
    def under_way(self) -> list[str]:
        """The names of the runs that train."""
        return [name for name, training in self.trainings.items() if training.finished is None]

    @property
    def finished(self) -> int:
        """How many of the planned runs are finished."""
        before = self.planned.finished if self.planned else 0
        return before + sum(training.finished is True for training in self.trainings.values())

    @property
    def given_up(self) -> int:
        """How many runs have ended unfinished."""
        return sum(training.finished is False for training in self.trainings.values())

    @property
    def left(self) -> float:
        """How many of the planned runs are still to be trained, and parts of runs."""
        waiting = self.planned.runs - self.planned.finished - len(self.trainings) if self.planned else 0
        return max(0, waiting) + sum(training.left for training in self.trainings.values())

    def left_s(self, now: float) -> float | None:
        """How long that may take, as it took so far; None before an epoch is over, and at the end."""
        done = sum(training.share for training in self.trainings.values())
        if not (done and self.left):
            return None
        took_s = self.latest - min(training.began for training in self.trainings.values())
        return max(0.0, took_s / done * self.left - (now - self.latest))
