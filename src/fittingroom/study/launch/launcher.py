"""What a launcher is: it executes jobs somewhere, and says of each what came of it."""

from __future__ import annotations

import re
import time
from abc import abstractmethod
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from typing import Any

from fittingroom.spec.errors import FittingroomError, NotFree
from fittingroom.store import RunFolder, Runs
from fittingroom.store.fetch import Say, Tick
from fittingroom.study.execute import Update, execute
from fittingroom.study.job import Job


@dataclass(frozen=True)
class Failed:
    """Why a job ended without a result. `mistake` is the user's to mend, else `text` is a traceback.

    `lost`: its worker died; `taken`: another process has it.
    """

    text: str
    mistake: bool
    lost: bool = False
    taken: bool = False


@dataclass(frozen=True)
class Stopped:
    """The listener wanted no more of a job. What it had checkpointed is there."""


Outcome = str | Failed | Stopped  # a finished run's name, or why there is none
ListenToJob = Callable[[int, Update | None], bool | None]  # number of the job; None when it has ended; True stops it
Call = Callable[[Any, Any], Any]  # of what all calls share, and of one item
LOOK_S = 1.0  # between two looks whether a run that another process has is free


class Launcher(AbstractContextManager["Launcher"]):
    """Does work somewhere. Usable again until it is left."""

    def __exit__(self, *error: object) -> None:
        """Let go of what does the work; here, nothing."""

    def check(self, job: Job) -> None:
        """Raise `FittingroomError` if such a job cannot be run here at all; any can, unless a launcher knows better."""

    @abstractmethod
    def run(self, jobs: Sequence[Job], runs: Runs, listen: ListenToJob, say: Say = lambda line: None) -> list[Outcome]:
        """Execute jobs, and give an outcome for each, in their order."""

    def ended(self, number: int, outcome: Outcome, listen: ListenToJob) -> None:
        """Tell `listen` that a job has ended, unless another process has it: it may be asked for again."""
        if not (isinstance(outcome, Failed) and outcome.taken):
            listen(number, None)

    @abstractmethod
    def results(
        self, call: Call, shared: Any, items: Sequence[Any], threads: int
    ) -> Generator[tuple[int, Any], None, None]:
        """The place of an item and `call(shared, item)`, of every item, as they come."""

    def each(
        self, call: Call, shared: Any, items: Sequence[Any], threads: int, tick: Tick = lambda share: None
    ) -> list[Any]:
        """`call(shared, item)` of every item, in their order; `shared` travels once to each who needs it."""
        found: dict[int, Any] = {}
        with closing(self.results(call, shared, items, threads)) as results:
            for place, result in results:
                found[place] = result
                tick(len(found) / len(items))
        return [found[place] for place in range(len(items))]


def launch(
    jobs: Sequence[Job],
    runs: Runs,
    launcher: Launcher,
    listen: ListenToJob = lambda job, p: None,
    say: Say = lambda line: None,
    wait: bool = False,
) -> list[RunFolder]:
    """Execute `jobs` and give their runs in the same order. With `wait`, those that another process has are waited for.

    A job that fails does not stop the others; when all have ended, one `FittingroomError` names the failures. An
    interruption ends all workers; what they had checkpointed is there for the next call.
    """
    outcomes = run_and_wait(jobs, runs, launcher, listen, say) if wait else launcher.run(jobs, runs, listen, say)
    failures = [(job, found) for job, found in zip(jobs, outcomes, strict=True) if isinstance(found, Failed)]
    if failures:
        if len(jobs) == 1 and failures[0][1].mistake:
            raise FittingroomError(failures[0][1].text)
        lines = [f"  {job.title}, seed {job.seed}: {failed.text}" for job, failed in failures]
        crashed = not all(failed.mistake for _, failed in failures)
        error = RuntimeError if crashed else FittingroomError
        raise error(f"{len(failures)} of {len(jobs)} runs failed:\n" + "\n".join(lines))
    return [RunFolder(runs.path / str(name)) for name in outcomes]


def run_and_wait(
    jobs: Sequence[Job], runs: Runs, launcher: Launcher, listen: ListenToJob, say: Say = lambda line: None
) -> list[Outcome]:
    """As `launcher.run`, but no two jobs of one run folder together; those that another process has are asked for again."""
    outcomes: dict[int, Outcome] = {}
    said = False
    while waiting := [number for number in range(len(jobs)) if number not in outcomes]:
        first = {jobs[number].identity["digest"]: number for number in reversed(waiting)}
        now = sorted(first.values())
        found = launcher.run([jobs[n] for n in now], runs, lambda place, sign, now=now: listen(now[place], sign), say)  # type: ignore[misc]
        taken = [n for n, outcome in zip(now, found, strict=True) if isinstance(outcome, Failed) and outcome.taken]
        outcomes |= {n: outcome for n, outcome in zip(now, found, strict=True) if n not in taken}
        if taken and len(taken) == len(now):
            if not said:
                say(f"waiting for {len(taken)} run{'s' * (len(taken) > 1)} that another process trains")
            said = True
            time.sleep(LOOK_S)
    return [outcomes[number] for number in range(len(jobs))]


class _StopWanted(Exception):
    """Raised inside a job whose listener wants no more of it."""


def attempt(job: Job, runs: Runs, at_once: int, listen: Callable[[Update], bool | None]) -> Outcome:
    """Execute `job` until it is done, fails, or `listen` says True."""

    def tell(progress: Update) -> None:
        if listen(progress):
            raise _StopWanted

    try:
        return execute(job, runs, at_once=at_once, listen=tell).name
    except _StopWanted:
        return Stopped()
    except FittingroomError as error:
        return Failed(str(error), mistake=True, taken=isinstance(error, NotFree))
    except Exception as error:
        import traceback

        asked = re.search(r"allocate (\d+) bytes", str(error))  # torch's allocator raises a RuntimeError
        if asked or isinstance(error, MemoryError):
            much = f": one layer asks for {int(asked[1]) / 1e9:,.1f} GB" if asked else ""
            remedy = "make train.batch_size, the pictures or the network smaller"
            return Failed(f"a step of this training takes more memory than there is{much}; {remedy}", mistake=True)
        return Failed(traceback.format_exc(), mistake=False)
