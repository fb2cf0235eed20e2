"""This process, or a local pool of one process a core. Small enough to need no library."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

from fittingroom.spec.errors import FittingroomError
from fittingroom.store import Runs
from fittingroom.store.fetch import Say
from fittingroom.study.execute import Update
from fittingroom.study.job import Job
from fittingroom.study.launch.launcher import Call, Failed, Launcher, ListenToJob, Outcome, attempt
from fittingroom.training import prepare_process

T = TypeVar("T")


def apart(call: Callable[[], T], threads: int) -> T:
    """What `call()` gives in a fresh process with so many OpenMP threads."""
    with _threads_in_environment(threads), _without_main():
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, context) as pool:
            return pool.submit(call).result()


class InThisProcess(Launcher):
    """One job after the other, here."""

    def run(self, jobs: Sequence[Job], runs: Runs, listen: ListenToJob, say: Say = lambda line: None) -> list[Outcome]:
        outcomes = []
        for i, job in enumerate(jobs):
            outcomes.append(attempt(job, runs, 1, partial(listen, i)))
            self.ended(i, outcomes[-1], listen)
        return outcomes

    def results(
        self, call: Call, shared: Any, items: Sequence[Any], threads: int
    ) -> Generator[tuple[int, Any], None, None]:
        prepare_process(threads)
        for place, item in enumerate(items):
            yield place, call(shared, item)


class LocalPool(Launcher):
    """`workers` processes that wait for jobs. A job whose process dies has failed; another process takes its place."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.pool: list[_Worker] = []

    def __exit__(self, *error: object) -> None:
        for worker in self.pool:
            worker.process.terminate()
        for worker in self.pool:
            worker.process.join()
        self.pool = []

    def run(self, jobs: Sequence[Job], runs: Runs, listen: ListenToJob, say: Say = lambda line: None) -> list[Outcome]:
        todo = iter(enumerate(jobs))
        at_once = min(self.workers, len(jobs))
        outcomes: dict[int, Outcome] = {}
        for place in range(at_once):
            if place == len(self.pool):
                self.pool.append(_Worker(jobs[0].threads))
            self.pool[place].begin(*next(todo), runs.path, at_once)
        while len(outcomes) < len(jobs):
            busy = {worker.connection: worker for worker in self.pool if worker.number is not None}
            for connection in wait(list(busy)):
                worker = busy[connection]  # type: ignore[index]
                number, event = worker.hear()
                if isinstance(event, Update):
                    if listen(number, event):
                        worker.stop()
                    continue
                outcomes[number] = event
                if isinstance(event, Failed) and event.lost:
                    place = self.pool.index(worker)
                    worker = self.pool[place] = _Worker(jobs[0].threads)
                self.ended(number, event, listen)
                following = next(todo, None)
                if following:
                    worker.begin(*following, runs.path, at_once)
        return [outcomes[i] for i in range(len(jobs))]

    def results(
        self, call: Call, shared: Any, items: Sequence[Any], threads: int
    ) -> Generator[tuple[int, Any], None, None]:
        context = multiprocessing.get_context("spawn")
        with _threads_in_environment(threads), _without_main():
            pool = ProcessPoolExecutor(min(self.workers, len(items)), context, _hold, (shared, threads))
            try:
                places = {pool.submit(_call, call, item): place for place, item in enumerate(items)}
                for future in as_completed(places):
                    yield places[future], future.result()
            except BrokenProcessPool:
                raise FittingroomError(
                    "a worker process was killed; was the memory used up? fewer at once need less: --at-once 1"
                ) from None
            except BaseException:  # Ctrl-C above all: what runs is not worth the wait
                for process in multiprocessing.active_children():
                    process.terminate()
                raise
            finally:
                pool.shutdown(cancel_futures=True)


_held: Any = None  # of a process in which `LocalPool.each` calls something: what all calls share


def _hold(shared: Any, threads: int) -> None:
    global _held
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends us
    threading.Thread(target=_die_with_parent, daemon=True).start()
    prepare_process(threads)
    _held = shared


def _call(call: Call, item: Any) -> Any:
    return call(_held, item)


class _Worker:
    """A process at the other end of a pipe, and the number of the job that it has."""

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")  # a fork of a process with OpenMP threads hangs
        self.connection, other = context.Pipe()
        self.number: int | None = None
        with _threads_in_environment(threads), _without_main():
            self.process = context.Process(target=_work, args=(other,), daemon=True)
            self.process.start()
        other.close()  # so that the process's end is heard

    def begin(self, number: int, job: Job, runs_path: Path, at_once: int) -> None:
        self.number = number
        with suppress(BrokenPipeError):  # that it is dead is heard next
            self.connection.send((job, runs_path, at_once))

    def stop(self) -> None:
        with suppress(BrokenPipeError):
            self.connection.send(None)

    def hear(self) -> tuple[int, Update | Outcome]:
        """The next event of its job, which it has no more when that is an outcome."""
        assert self.number is not None
        number = self.number
        try:
            event = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            code = self.process.exitcode
            why = "killed; was the memory used up?" if code == -signal.SIGKILL else f"ended with code {code};"
            event = Failed(
                f"a worker process was {why} finished epochs are kept: give the same command again", True, lost=True
            )
        if not isinstance(event, Update):
            self.number = None
        return number, event


def _work(connection: Connection) -> None:
    """A worker process: execute what comes through the pipe until it closes. None, inside a job, stops it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends us
    threading.Thread(target=_die_with_parent, daemon=True).start()

    def tell(progress: Update) -> bool:
        connection.send(progress)
        return connection.poll() and connection.recv() is None

    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent has gone
        while True:
            message = connection.recv()
            if message is not None:  # a stop that came too late
                job, runs_path, at_once = message
                connection.send(attempt(job, Runs(runs_path), at_once, tell))


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
