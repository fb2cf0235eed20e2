"""Who listens to work. The one here keeps silent; `fittingroom.progress` has those that a person sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fittingroom.store.events import Event
from fittingroom.store.fetch import Tick

if TYPE_CHECKING:
    from fittingroom.study.job import Job
    from fittingroom.study.launch.launcher import ListenToJob


class Progress:
    """Hears what a question does. Every method may be called, none needs to do anything."""

    def note(self, line: str) -> None:
        """What a person should know: pictures left out, cautions, what begins now."""

    @contextmanager
    def work(self, what: str) -> Iterator[Tick]:
        """Something long begins; what this gives is called with the share (0 … 1) that is done."""
        yield lambda share: None

    @contextmanager
    def jobs(self, jobs: Sequence[Job]) -> Iterator[ListenToJob]:
        """Jobs begin; what this gives is called with the number of one and its update, or None when it has ended."""
        yield lambda number, update: None

    def event(self, event: Event) -> None:
        """What a program that watches should know."""


SILENT = Progress()
