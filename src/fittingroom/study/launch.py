"""Who executes jobs: this process, or a local pool of one process a core. Small enough to need no library."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

from fittingroom.data.acquire import Say, Tick
from fittingroom.spec.errors import FittingroomError, NotFree
from fittingroom.store import RunFolder, Runs
from fittingroom.study.execute import Progress, execute
from fittingroom.study.plan import Job
from fittingroom.training import prepare_process


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
ListenToJob = Callable[[int, Progress | None], bool | None]  # number of the job; None when it has ended; True stops it
Call = Callable[[Any, Any], Any]  # of what all calls share, and of one item
T = TypeVar("T")
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


def launcher(name: str, at_once: int, workers: int = 1) -> Launcher:
    """The launcher of this name: "local", which runs so many jobs `at_once`; "ray" or "ray=ADDRESS".

    With several `workers`, Ray trains each job with so many processes together. Raises `FittingroomError` for an unknown one.
    """
    kind, _, address = name.partition("=")
    if name != "local" and kind != "ray":
        raise FittingroomError(f'unknown launcher "{name}"; it is one of: local, ray, ray=ADDRESS')
    if workers > 1:
        from fittingroom.study.ray_team import RayTeam

        return RayTeam(address)
    if kind == "ray":
        from fittingroom.study.ray_cluster import RayCluster

        return RayCluster(address)
    return LocalPool(at_once) if at_once > 1 else InThisProcess()


def launch(
    jobs: Sequence[Job],
    runs: Runs,
    by: Launcher,
    listen: ListenToJob = lambda job, p: None,
    say: Say = lambda line: None,
    wait: bool = False,
) -> list[RunFolder]:
    """Execute `jobs` and give their runs in the same order. With `wait`, those that another process has are waited for.

    A job that fails does not stop the others; when all have ended, one `FittingroomError` names the failures. An
    interruption ends all workers; what they had checkpointed is there for the next call.
    """
    outcomes = run_and_wait(jobs, runs, by, listen, say) if wait else by.run(jobs, runs, listen, say)
    failures = [(job, found) for job, found in zip(jobs, outcomes, strict=True) if isinstance(found, Failed)]
    if failures:
        if len(jobs) == 1 and failures[0][1].mistake:
            raise FittingroomError(failures[0][1].text)
        lines = [f"  {job.recipe.name}, seed {job.seed}: {failed.text}" for job, failed in failures]
        crashed = not all(failed.mistake for _, failed in failures)
        error = RuntimeError if crashed else FittingroomError
        raise error(f"{len(failures)} of {len(jobs)} runs failed:\n" + "\n".join(lines))
    return [RunFolder(runs.path / str(name)) for name in outcomes]


def run_and_wait(
    jobs: Sequence[Job], runs: Runs, by: Launcher, listen: ListenToJob, say: Say = lambda line: None
) -> list[Outcome]:
    """As `by.run`, but no two jobs of one run folder together, and those that another process has are asked for again."""
    outcomes: dict[int, Outcome] = {}
    said = False
    while waiting := [number for number in range(len(jobs)) if number not in outcomes]:
        first = {jobs[number].identity["digest"]: number for number in reversed(waiting)}
        now = sorted(first.values())
        found = by.run([jobs[n] for n in now], runs, lambda place, sign, now=now: listen(now[place], sign), say)  # type: ignore[misc]
        taken = [n for n, outcome in zip(now, found, strict=True) if isinstance(outcome, Failed) and outcome.taken]
        outcomes |= {n: outcome for n, outcome in zip(now, found, strict=True) if n not in taken}
        if taken and len(taken) == len(now):
            if not said:
                say(f"waiting for {len(taken)} run{'s' * (len(taken) > 1)} that another process trains")
            said = True
            time.sleep(LOOK_S)
    return [outcomes[number] for number in range(len(jobs))]


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
                if isinstance(event, Progress):
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

    def hear(self) -> tuple[int, Progress | Outcome]:
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
        if not isinstance(event, Progress):
            self.number = None
        return number, event


class _StopWanted(Exception):
    """Raised inside a job whose listener wants no more of it."""


def attempt(job: Job, runs: Runs, at_once: int, listen: Callable[[Progress], bool | None]) -> Outcome:
    """Execute `job` until it is done, fails, or `listen` says True."""

    def tell(progress: Progress) -> None:
        if listen(progress):
            raise _StopWanted

    try:
        return execute(job, runs, at_once=at_once, listen=tell).name
    except _StopWanted:
        return Stopped()
    except FittingroomError as error:
        return Failed(str(error), mistake=True, taken=isinstance(error, NotFree))
    except Exception:
        import traceback

        return Failed(traceback.format_exc(), mistake=False)


def _work(connection: Connection) -> None:
    """A worker process: execute what comes through the pipe until it closes. None, inside a job, stops it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends us
    threading.Thread(target=_die_with_parent, daemon=True).start()

    def tell(progress: Progress) -> bool:
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
