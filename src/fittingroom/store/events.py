"""What a command tells a program that watches it: one JSON object a line."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from fittingroom.spec.records import Epoch, Record
from fittingroom.store.atomic import append_line


class _Event(Record):
    time: float = Field(default_factory=time.time)


class Planned(_Event):
    event: Literal["planned"] = "planned"
    runs: int
    finished: int


class RunBegun(_Event):
    event: Literal["run_begun"] = "run_begun"
    run: str
    recipe: str
    dataset: str
    seed: int
    epochs: int


class EpochEnded(_Event):
    event: Literal["epoch"] = "epoch"
    run: str
    epochs: int
    record: Epoch


class RunEnded(_Event):
    event: Literal["run_ended"] = "run_ended"
    run: str
    finished: bool


class StudyWritten(_Event):
    event: Literal["study"] = "study"
    name: str


class Answered(_Event):
    event: Literal["answer"] = "answer"
    question: str
    subject: str
    sentences: tuple[str, ...]
    files: tuple[str, ...]


class Failed(_Event):
    event: Literal["failed"] = "failed"
    message: str
    faults: dict[str, str]


Event = Annotated[
    Planned | RunBegun | EpochEnded | RunEnded | StudyWritten | Answered | Failed, Field(discriminator="event")
]


def append(path: Path, event: Event) -> None:
    append_line(path, event.model_dump_json())
