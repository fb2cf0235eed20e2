"""Several jobs at once: one process a core, each with its own share of threads. Small enough to need no library."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.queues import Queue
from typing import Any, TypeVar

from fittingroom.spec.errors import FittingroomError
from fittingroom.store import RunFolder, Runs
from fittingroom.study.execute import Listen, Progress, execute
from fittingroom.study.plan import Job


@dataclass(frozen=True)
class Failed:
    """Why a job ended without a result. `mistake` is the user's to mend, else `text` is a traceback."""

    text: str
    mistake: bool


T = TypeVar("T")
ListenToJob = Callable[[int, Progress | None], None]  # number of the job; None when it is finished


def launch(jobs: Sequence[Job], runs: Runs, workers: int, listen: ListenToJob = lambda job, p: None) -> list[RunFolder]:
    """Execute `jobs`, `workers` at a time, and give their runs in the same order.

    A job that fails does not stop the others; when all have ended, one `FittingroomError` names the failures. An
    interruption ends all workers; what they had checkpointed is there for the next call.
    """
    workers = min(workers, len(jobs))
    outcomes = _in_processes(jobs, runs, workers, listen) if workers > 1 else _one_by_one(jobs, runs, listen)
    failures = [(jobs[i], outcome) for i, outcome in sorted(outcomes.items()) if isinstance(outcome, Failed)]
    if failures:
        lines = [f"  {job.recipe.name}, seed {job.seed}: {failed.text}" for job, failed in failures]
        crashed = not all(failed.mistake for _, failed in failures)
        error = RuntimeError if crashed else FittingroomError
        raise error(f"{len(failures)} of {len(jobs)} runs failed:\n" + "\n".join(lines))
    return [RunFolder(runs.path / str(outcomes[i])) for i in range(len(jobs))]


def apart(call: Callable[[], T], threads: int) -> T:
    """What `call()` gives in a fresh process with so many OpenMP threads."""
    with _threads_in_environment(threads), _without_main():
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, context) as pool:
            return pool.submit(call).result()


def _one_by_one(jobs: Sequence[Job], runs: Runs, listen: ListenToJob) -> dict[int, str | Failed]:
    outcomes = {}
    for i, job in enumerate(jobs):
        outcomes[i] = _attempt(job, runs, 1, partial(listen, i))
        listen(i, None)
    return outcomes


def _attempt(job: Job, runs: Runs, at_once: int, listen: Listen) -> str | Failed:
    """The finished run's name, or why there is none."""
    try:
        return execute(job, runs, at_once=at_once, listen=listen).name
    except FittingroomError as error:
        return Failed(str(error), mistake=True)
    except Exception:
        import traceback

        return Failed(traceback.format_exc(), mistake=False)


def _in_processes(jobs: Sequence[Job], runs: Runs, workers: int, listen: ListenToJob) -> dict[int, str | Failed]:
    context = multiprocessing.get_context("spawn")  # a fork of a process with OpenMP threads hangs
    todo: Queue[int | None] = context.Queue()
    events: Queue[tuple[int, Progress | str | Failed]] = context.Queue()
    for number in [*range(len(jobs)), *[None] * workers]:
        todo.put(number)
    with _threads_in_environment(jobs[0].threads), _without_main():
        processes = [
            context.Process(target=_work, args=(list(jobs), runs.path, workers, todo, events), daemon=True)
            for _ in range(workers)
        ]
        for process in processes:
            process.start()
    outcomes: dict[int, str | Failed] = {}
    try:
        while len(outcomes) < len(jobs):
            try:
                number, event = events.get(timeout=0.5)
            except queue.Empty:
                dead = [p.exitcode for p in processes if p.exitcode]
                if dead:
                    why = (
                        "killed; was the memory used up?"
                        if dead[0] == -signal.SIGKILL
                        else f"ended with code {dead[0]}"
                    )
                    raise FittingroomError(
                        f"a worker process was {why}; finished epochs are kept: give the same command again"
                    ) from None
                continue
            if isinstance(event, Progress):
                listen(number, event)
            else:
                outcomes[number] = event
                listen(number, None)
    finally:
        for process in processes:
            if len(outcomes) < len(jobs):
                process.terminate()
            process.join()
    return outcomes


def _work(jobs: list[Job], runs_path: Any, at_once: int, todo: Queue[Any], events: Queue[Any]) -> None:
    """A worker process: take numbers of jobs until None comes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends us
    threading.Thread(target=_die_with_parent, daemon=True).start()
    while (number := todo.get()) is not None:
        job = jobs[number]
        outcome = _attempt(job, Runs(runs_path), at_once, partial(_post, events, number))
        events.put((number, outcome))


def _post(events: Queue[Any], number: int, progress: Progress) -> None:
    events.put((number, progress))


def _die_with_parent() -> None:
    """A parent that was killed cannot end its workers; they notice."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


@contextmanager
def _without_main() -> Iterator[None]:
    """A spawned process runs the parent's main script again; ours don't need it, and a user's may have no guard."""
    main = sys.modules["__main__"]
    hidden: dict[str, Any] = {
        name: main.__dict__.pop(name) for name in ("__file__", "__spec__") if name in main.__dict__
    }
    main.__spec__ = None
    try:
        yield
    finally:
        main.__dict__.update(hidden)


@contextmanager
def _threads_in_environment(threads: int) -> Iterator[None]:
    """OpenMP reads its thread count once, when a process starts."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
