"""What a command tells a program that watches it: one JSON object a line.

`fittingroom … --events FILE`, or the variable FITTINGROOM_EVENTS, has a command append to FILE. A file is of one command.
Fields may be added and kinds may come; what is here keeps its meaning. Sentences are for people: take facts from fields.

    {"time":1790000000.0,"event":"planned","runs":2,"finished":0}
    {"time":1790000000.1,"event":"run_begun","run":"fast-mnist_mnist_s0_1f…","recipe":"fast-mnist","dataset":"mnist","seed":0,"epochs":2}
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from fittingroom.spec.printable import printable
from fittingroom.spec.records import Epoch, Record
from fittingroom.store.atomic import append_line

VARIABLE = "FITTINGROOM_EVENTS"
CHUNK_BYTES = 1 << 20  # read at once; no event is longer

# a file's name may be part of it, whose bytes may be no text
Text = Annotated[str, BeforeValidator(lambda text: printable(text) if isinstance(text, str) else text)]


Count = Annotated[int, Field(ge=0, lt=2**53)]  # whole in every reader of JSON


class _Timed(Record):
    """What all events have."""

    time: float = Field(default_factory=time.time, description="Seconds since 1970.")


class Planned(_Timed):
    """How many runs the answer needs, and how many of them were finished before.

    Comes before the first run begins, also where none is missing. A command that plans again (a search, then its winner
    with more seeds) begins to count anew: the latest plan is the one that holds.
    """

    event: Literal["planned"] = "planned"
    runs: Count = Field(description="In all.")
    finished: Count = Field(description="Of these, there already.")


class RunBegun(_Timed):
    """The training of a run begins, or goes on after its last whole epoch."""

    event: Literal["run_begun"] = "run_begun"
    run: Text = Field(description="The name of its folder in the runs folder.")
    recipe: Text
    dataset: Text
    seed: Count
    epochs: Count = Field(description="At most: a run may stop early.")


class EpochEnded(_Timed):
    """An epoch of a run is over and saved."""

    event: Literal["epoch"] = "epoch"
    run: Text
    epochs: Count = Field(description="Of the run, at most.")
    record: Epoch = Field(description="As in the run's epochs.jsonl.")


class RunEnded(_Timed):
    """The training of a run is over: scored and sealed, or ended before that (stopped, pruned, failed)."""

    event: Literal["run_ended"] = "run_ended"
    run: Text
    finished: bool


class StudyWritten(_Timed):
    """The runs of an answer are remembered as a study: `RUNS/studies/NAME.json`."""

    event: Literal["study"] = "study"
    name: Text


class Answered(_Timed):
    """The question has its answer. Comes last; where a question asked others, theirs come before."""

    event: Literal["answer"] = "answer"
    question: Text = Field(description="The command's name: train, compare, export.")
    subject: Text = Field("", description="The run or the study that it is about, where it is about one.")
    sentences: tuple[Text, ...] = Field((), description="What a person reads on standard output.")
    files: tuple[Text, ...] = Field((), description="Paths of what was written: a report, a bundle.")


class Failed(_Timed):
    """There is no answer, because of what a person can mend; the exit code is 2."""

    event: Literal["failed"] = "failed"
    message: Text = Field(description="What a person reads on standard error, faults and all.")
    faults: dict[Text, Text] = Field({}, description='By place in a recipe: {"optimizer.lr": "-1 must be > 0"}.')


Event = Planned | RunBegun | EpochEnded | RunEnded | StudyWritten | Answered | Failed
_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])


def append(path: Path, event: Event) -> None:
    """Write an event behind those that are there. Who reads sees it at once. Raises `FittingroomError` for a full disk."""
    append_line(path, event.model_dump_json(), lasting=False)


def read(path: Path) -> list[Event]:
    """All events of a file; none if there is none. Lines that are damaged, cut off or of a newer kind are left out."""
    found: list[Event] = []
    first = 0
    while (batch := read_on(path, first))[1] > first:
        found, first = [*found, *batch[0]], batch[1]
    return found


def read_on(path: Path, first: int) -> tuple[list[Event], int]:
    """The events of the whole lines that begin at byte `first`, as `read`, and where the next one begins.

    At most `CHUNK_BYTES` at once: there may be more, unless the place stays the same. For who reads a file while it grows.
    """
    try:
        if not path.is_file():  # a pipe would let us wait
            return [], first
        with path.open("rb") as file:
            file.seek(first)
            chunk = file.read(CHUNK_BYTES)
    except OSError:
        return [], first
    lines = chunk.split(b"\n")
    cut = lines.pop()
    if not lines and len(chunk) == CHUNK_BYTES:  # no line of ours: leave it behind
        return [], first + len(chunk)
    events = [event for line in lines if (event := _event(line)) is not None]
    return events, first + len(chunk) - len(cut)


def _event(line: bytes) -> Event | None:
    try:
        return _EVENT.validate_json(line)
    except ValidationError:
        return None
