"""Jobs on a Ray cluster: trained on any node, recorded here.

The driver alone writes the runs folder. Images go into Ray's object store once and from there once to each node. A training task
gets training and validation images only; it streams back signs of life and, after epochs, the files of its run, which the
driver puts into the run folder: a lost worker's run goes on from there on another. When a run is trained the driver logs that
the test set is about to be read, and only then hands the test images to a second task, which scores.
"""

from __future__ import annotations

import logging
import math
import os
import queue
import socket
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fittingroom.data import Dataset, Images, fold_of, reload
from fittingroom.spec.errors import FittingroomError, NotFree, need
from fittingroom.spec.machine import cores
from fittingroom.spec.recipe import DataSpec
from fittingroom.store import RunFolder, Runs
from fittingroom.store.atomic import write
from fittingroom.store.fetch import Say
from fittingroom.store.litter import scratch
from fittingroom.store.runs import BEFORE, CHECKPOINT
from fittingroom.study.execute import (
    Material,
    Update,
    is_finished,
    material,
    needs_test,
    record_test,
    start_of,
    test_logits,
    train_run,
    unlock_test,
)
from fittingroom.study.job import Job
from fittingroom.study.launch.launcher import Call, Failed, Launcher, ListenToJob, Outcome, Stopped
from fittingroom.training import prepare_process

need("ray", "--launcher ray", "ray")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # before Ray is imported: nothing is sent anywhere
# which GPUs a task without one may see is not ours to change
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray  # noqa: E402
from ray.exceptions import (  # noqa: E402
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayTaskError,
    TaskCancelledError,
    WorkerCrashedError,
)

LOST = (WorkerCrashedError, NodeDiedError, ObjectLostError, OutOfMemoryError)
LOOPBACK = "127.0.0.1"
TRIES = 3  # of a job whose worker is lost
SIGN_S, SEND_S = 0.2, 5.0  # at least so long between two signs of life of a run, and between two sendings of its files
BUSY_SIGN_S, BUSY_SEND_S = 0.01, 0.05  # times the runs in flight, where that is longer: one driver hears them all
PATIENCE_S = 1.0  # of one look for news
KNOCK_S = 10.0  # until a cluster's address counts as dead
FILES_OF_OURS = 128  # open in the driver besides the runs' locks


class RayCluster(Launcher):
    """A launcher. `address`: of a running cluster, "auto" to find one; "" starts one on this machine, loopback only."""

    def __init__(self, address: str = "") -> None:
        self.address = address
        self.datasets: dict[tuple[str, DataSpec], Dataset] = {}
        self.images: dict[tuple[str, Any], Any] = {}  # what has been put into the object store
        self.nodes: list[dict[str, float]] = []
        self.looked = -math.inf
        self.most_files = 0
        self.jobs = 0  # that were asked for

    def __enter__(self) -> RayCluster:
        how: dict[str, Any] = {"address": self.address or "local", "log_to_driver": False}
        if not self.address:
            how |= {"num_cpus": cores(), "include_dashboard": False, "_node_ip_address": LOOPBACK}
        try:
            _knock(self.address)
            with _loopback_stays(self.address):
                ray.init(logging_level=logging.CRITICAL, **how)
        except (OSError, RuntimeError, ValueError) as error:
            raise FittingroomError(
                f"no Ray cluster at {self.address or 'this machine'}: {str(error).strip().splitlines()[0]}; "
                "start one with: ray start --head --node-ip-address=127.0.0.1"
            ) from None
        self.most_files = _raise_file_limit()
        return self

    def __exit__(self, *error: object) -> None:
        ray.shutdown()

    def run(self, jobs: Sequence[Job], runs: Runs, listen: ListenToJob, say: Say = lambda line: None) -> list[Outcome]:
        self.jobs = len(jobs)
        with _Flights(self, runs, listen, say) as flights:
            todo = deque(_Flight(number, job, job.folder(runs)) for number, job in enumerate(jobs))
            while todo or flights.flying:
                while todo and len(flights.flying) < self.most_flying(todo[0].job):
                    flights.begin(todo.popleft())
                for reference in _ready(list(flights.flying)):
                    flights.hear(reference)
        return [flights.outcomes[i] for i in range(len(jobs))]

    def results(
        self, call: Call, shared: Any, items: Sequence[Any], threads: int
    ) -> Generator[tuple[int, Any], None, None]:
        there = ray.put(shared)
        task = _call.options(num_cpus=threads, max_retries=TRIES, runtime_env=environment(threads))
        places = {task.remote(call, there, item, threads): place for place, item in enumerate(items)}
        waiting = list(places)
        try:
            while waiting:
                ready, waiting = ray.wait(waiting, timeout=PATIENCE_S)
                for reference in ready:
                    yield places[reference], ray.get(reference)
        except LOST as error:
            raise FittingroomError(
                f"workers were lost {TRIES} times: {str(error).strip().splitlines()[0]}; give the command again"
            ) from None

    def read_test(self, job: Job, run: RunFolder, runs: Runs) -> Test:
        """The test images, in the object store too; that they are read is logged first."""
        data = self._dataset(job)
        images = unlock_test(job, run, runs, data)
        key = ("test", data.digest)
        if key not in self.images:
            self.images[key] = ray.put(images)
        return Test(images, data.digest, self.images[key])

    def scoring(self, job: Job, run: RunFolder, test: Test) -> Any:
        """A reference to what the trained run says of the test images, or to why it failed."""
        threads = run.environment.threads
        return _score.options(**needs(job)).remote(job, run.weights, test.reference, threads)

    def material(self, job: Job) -> tuple[Any, Any, Any]:
        """References to what the job trains on; the same images are put into the object store once."""
        key = (job.data_digest, job.recipe.data)
        if key not in self.images:
            given = material(job, self._dataset(job))
            self.images[key] = (ray.put(given.train), ray.put(given.val), given.facts)
        return self.images[key]  # type: ignore[no-any-return]

    def start(self, job: Job, run: RunFolder) -> Any:
        """A reference to the trained weights that the run begins with; the same ones are put there once."""
        start = start_of(job, run)
        if start is None or job.initial is None:
            return None
        key = ("start", job.initial.sha256)
        if key not in self.images:
            self.images[key] = ray.put(start)
        return self.images[key]

    def _dataset(self, job: Job) -> Dataset:
        key = (job.data_digest, job.recipe.data)
        if key not in self.datasets:
            whole = reload(job.recipe.data.name, job.data_digest, job.home_dir)
            self.datasets[key] = fold_of(whole, job.recipe.data)
        return self.datasets[key]

    def check(self, job: Job) -> None:
        """Raise `FittingroomError` if no node has what the job needs: Ray would wait for one without a word."""
        wanted = resources(job)
        if not self.slots(job):
            largest = ", ".join(f"{max(node.get(kind, 0) for node in self._nodes()):g} {kind}s" for kind in wanted)
            needed = " and ".join(f"{n:g} {kind}s" for kind, n in wanted.items())
            raise FittingroomError(
                f"a run needs {needed} on one node, and the largest of this cluster has {largest}; "
                "OMP_NUM_THREADS=1, or a larger --at-once, asks for less"
            )

    def slots(self, job: Job) -> int:
        """How many such jobs the cluster can run at once now, each on one node."""
        wanted = resources(job).items()
        return sum(min(int(node.get(kind, 0) / n + 1e-6) for kind, n in wanted) for node in self._nodes())

    def at_once(self, job: Job) -> int:
        """How many such jobs share a node, as the run will record."""
        return max(1, int(max(node.get("CPU", 1) for node in self._nodes())) // job.threads)

    def _nodes(self) -> list[dict[str, float]]:
        """What each node has; asked again after a while, since they come and go."""
        if time.monotonic() - self.looked >= PATIENCE_S:
            self.nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            self.looked = time.monotonic()
        return self.nodes

    def most_flying(self, job: Job) -> int:
        """A second job for each that trains waits at the nodes; each holds the lock of its run, which is an open file."""
        return min(2 * self.slots(job) or 1, self.most_files - FILES_OF_OURS)


def _ready(flying: list[Any]) -> list[Any]:
    """All that have news, as soon as one has."""
    if not flying or not ray.wait(flying, num_returns=1, timeout=PATIENCE_S, fetch_local=False)[0]:
        return []
    return list(ray.wait(flying, num_returns=len(flying), timeout=0, fetch_local=False)[0])


def _raise_file_limit() -> int:
    """How many files this process may have open, which is now as many as the system lets it."""
    try:
        import resource
    except ImportError:  # Windows
        return 8192
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS refuses "unlimited"
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft > 0 else 1 << 20


def _knock(address: str) -> None:
    """Raise `OSError` if nobody answers at HOST:PORT: Ray would try for minutes."""
    host, _, port = address.rpartition(":")
    if port.isdecimal() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_S).close()


@contextmanager
def _loopback_stays(address: str) -> Iterator[None]:
    """Ray takes 127.0.0.1 for "my public address", where a cluster bound to loopback cannot be reached."""
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    if not address or address.rpartition(":")[0] in (LOOPBACK, "localhost"):
        ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


@dataclass(frozen=True)
class Test:
    """Unlocked test images, here and in the object store."""

    images: Images
    digest: str
    reference: Any


@dataclass
class _Flight:
    """A job on its way."""

    number: int
    job: Job
    run: RunFolder
    training: bool = True
    locked: bool = False
    lost: int = 0  # workers
    test: Test | None = None
    held: ExitStack = field(default_factory=ExitStack)


class _Flights:
    """The jobs of one call that are on their way, by the reference from which their news comes, and what came of the others."""

    def __init__(self, cluster: RayCluster, runs: Runs, listen: ListenToJob, say: Say) -> None:
        self.cluster, self.runs, self.listen, self.say = cluster, runs, listen, say
        self.flying: dict[Any, _Flight] = {}
        self.outcomes: dict[int, Outcome] = {}

    def __enter__(self) -> _Flights:
        return self

    def __exit__(self, *error: object) -> None:
        for reference, flight in self.flying.items():  # after an interruption
            with suppress(Exception):
                ray.cancel(reference, force=False)
            flight.held.close()

    def begin(self, flight: _Flight) -> None:
        """Send a job off; one that is finished, or cannot be begun, has ended."""
        try:
            self._send(flight)
        except FittingroomError as error:
            self._end(flight, Failed(str(error), mistake=True, taken=isinstance(error, NotFree)))
            return
        if is_finished(flight.run, flight.job):
            self._end(flight, flight.run.name)

    def hear(self, reference: Any) -> None:
        """Take one piece of news."""
        flight = self.flying[reference]
        outcome = self._news(flight, reference)
        if outcome is not None:
            self._end(flight, outcome)

    def _end(self, flight: _Flight, outcome: Outcome) -> None:
        flight.held.close()
        self.outcomes[flight.number] = outcome
        self.cluster.ended(flight.number, outcome, self.listen)

    def _send(self, flight: _Flight) -> None:
        """What the run folder of a job holds goes along with it."""
        cluster, job = self.cluster, flight.job
        if is_finished(flight.run, job):
            return
        cluster.check(job)
        if not flight.locked:
            flight.held.enter_context(flight.run.lock())
            flight.locked = True
        if flight.run.done:
            self._score(flight)
            return
        train, val, facts = cluster.material(job)
        generator = _train.options(**needs(job)).remote(
            job, train, val, facts, cluster.start(job, flight.run), files(flight.run), cluster.at_once(job),
            Outbox(min(cluster.jobs, cluster.most_flying(job))),
        )  # fmt: skip
        self.flying[generator] = flight

    def _news(self, flight: _Flight, reference: Any) -> Outcome | None:
        """An outcome when the job has ended."""
        try:
            event = ray.get(next(reference) if flight.training else reference)
        except StopIteration:
            del self.flying[reference]
            return None if flight.training else Stopped()
        except LOST as error:
            del self.flying[reference]
            return self._lost(flight, error)
        except TaskCancelledError:
            del self.flying[reference]
            return Stopped()
        except RayTaskError as error:
            del self.flying[reference]
            return Failed(str(error), mistake=False)
        if isinstance(event, Failed):
            del self.flying[reference]
            return event
        if not flight.training:
            del self.flying[reference]
            assert flight.test is not None
            record_test(flight.run, self.runs, flight.test.digest, flight.test.images, event)
            flight.run.finish()
            return flight.run.name
        unpack(event.files, flight.run)
        if event.sign is not None and self.listen(flight.number, event.sign):
            ray.cancel(reference, force=False)
            del self.flying[reference]
            return Stopped()
        if event.last:
            del self.flying[reference]
            if needs_test(flight.job, flight.run):
                self._score(flight)
                return None
            flight.run.finish()
            return flight.run.name
        return None

    def _lost(self, flight: _Flight, error: Exception) -> Outcome | None:
        flight.lost += 1
        if flight.lost >= TRIES:
            why = str(error).strip().splitlines()[0]
            return Failed(f"its worker was lost {TRIES} times: {why}", True, lost=True)
        self.say(f"{flight.run.name} lost its worker; it goes on elsewhere after epoch {len(flight.run.epochs)}")
        try:
            self._send(flight)
        except FittingroomError as wrong:
            return Failed(str(wrong), mistake=True)
        return None

    def _score(self, flight: _Flight) -> None:
        flight.training = False
        flight.test = flight.test or self.cluster.read_test(flight.job, flight.run, self.runs)
        self.flying[self.cluster.scoring(flight.job, flight.run, flight.test)] = flight


@dataclass(frozen=True)
class News:
    """What a training sends to the driver: a sign of life, files of its run, and whether that was the last."""

    sign: Update | None
    files: Mapping[str, bytes]
    last: bool = False


class Outbox:
    """Packs what a training says: signs of life, and the files of its run after an epoch, neither too often.

    How often is too often hangs on how many runs one driver hears (`in_flight`).
    """

    def __init__(self, in_flight: int = 1) -> None:
        self.sign_s = max(SIGN_S, BUSY_SIGN_S * in_flight)
        self.send_s = max(SEND_S, BUSY_SEND_S * in_flight)
        self.signed = self.sent = -math.inf  # by the worker's clock
        self.there: dict[str, bytes] = {}  # what the driver has

    def pack(self, sign: Update, run: RunFolder) -> News | None:
        """News of this sign, or None if it can be spared; a finished epoch never is."""
        now = time.monotonic()
        if sign.record is None and now - self.signed < self.sign_s:
            return None
        self.signed = now
        if self.sent == -math.inf:
            self.sent = now
        if sign.record is None or now - self.sent < self.send_s:
            return News(sign, {})
        self.sent = now
        return News(sign, self.changed(run))

    def changed(self, run: RunFolder) -> dict[str, bytes]:
        """The files of the run that are not there yet, or no more the same."""
        now = {name: content for name, content in files(run).items() if name != BEFORE}  # which the driver keeps itself
        found = {name: content for name, content in now.items() if self.there.get(name) != content}
        self.there |= found
        return found


def unpack(there: Mapping[str, bytes], run: RunFolder) -> None:
    """Write the files of a run; its checkpoint last, as in training: what comes before is made again if that is missing."""
    run.path.mkdir(parents=True, exist_ok=True)
    for name in sorted(there, key=lambda name: name == CHECKPOINT):
        if name == CHECKPOINT:
            run.keep_before()
        write(run.path / name, there[name])


class _Cancelled(Exception):
    """Raised in a training whose task was cancelled."""


def resources(job: Job) -> dict[str, float]:
    """What of a node a job asks for. A GPU is shared by as many runs as its memory has room for."""
    whole = job.workers > 1  # one of a team has a GPU of its own
    gpus = {"GPU": 1.0 if whole else min(1.0, max(0.05, job.gpu_share))} if job.device == "cuda" else {}
    return {"CPU": job.threads, **gpus}


def needs(job: Job) -> dict[str, Any]:
    """What a job asks for, in the words of a Ray task."""
    gpus = resources(job).get("GPU", 0.0)
    return {"num_cpus": job.threads, "num_gpus": gpus, "max_retries": 0, "runtime_env": environment(job.threads)}


def environment(threads: int) -> dict[str, Any]:
    """Of a worker with so many threads, as Ray wants it told."""
    return {"env_vars": {"OMP_NUM_THREADS": str(threads)}}


def files(run: RunFolder) -> dict[str, bytes]:
    """A run's files by name, all but the lock and `DONE`."""
    there = run.path.glob("*") if run.path.is_dir() else ()
    wanted = (f for f in there if f.is_file() and not f.name.startswith(".") and f.name != "DONE")
    return {f.name: f.read_bytes() for f in wanted}


@ray.remote(num_returns="streaming")
def _train(
    job: Job, train: Images, val: Images | None, facts: Any, start: Any, sent: Mapping[str, bytes], at_once: int,
    outbox: Outbox,
) -> Iterator[News | Failed]:  # fmt: skip
    """On a node: train in a folder of its own, and stream what happens. Never sees a test image."""
    news: queue.Queue[News | Failed] = queue.Queue()
    cancelled = threading.Event()
    with scratch("fittingroom") as folder:
        run = job.folder(Runs(folder))
        unpack(sent, run)
        outbox.there |= sent

        def tell(sign: Update) -> None:
            if cancelled.is_set():
                raise _Cancelled
            packed = outbox.pack(sign, run)
            if packed:
                news.put(packed)

        def work() -> None:
            try:
                prepare_process(run.environment.threads if run.epochs else job.threads)
                train_run(job, run, Material(train, val, facts), start, at_once, tell)
                news.put(News(None, outbox.changed(run), last=True))
            except _Cancelled:
                news.put(Failed("cancelled", mistake=True))
            except FittingroomError as error:
                news.put(Failed(str(error), mistake=True))
            except BaseException:
                import traceback

                news.put(Failed(traceback.format_exc(), mistake=False))

        thread = threading.Thread(target=work, daemon=True)  # the main thread hears of a cancellation
        thread.start()
        try:
            while True:
                event = news.get()
                yield event
                if isinstance(event, Failed) or event.last:
                    return
        finally:
            cancelled.set()
            thread.join()


@ray.remote
def _score(job: Job, weights: dict[str, np.ndarray], test: Images, threads: int) -> dict[str, np.ndarray] | Failed:
    """On a node: what the weights say of the test images."""
    prepare_process(threads)
    try:
        return test_logits(job, weights, test)
    except FittingroomError as error:
        return Failed(str(error), mistake=True)


@ray.remote
def _call(call: Call, shared: Any, item: Any, threads: int) -> Any:
    """On a node: one of `RayCluster.each`."""
    prepare_process(threads)
    return call(shared, item)
