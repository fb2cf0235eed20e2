"""One training shared by several workers of a Ray cluster, through Ray Train: each sees a part of every batch.

Every worker trains in a scratch folder of its own, to the same end; what the first one writes comes to the driver, which alone
writes the run folder. When a worker is lost the others stop, and all go on together from the last checkpoint that came.
"""

from __future__ import annotations

import os
import socket
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from fittingroom.spec.errors import FittingroomError, NotFree, need
from fittingroom.store import RunFolder, Runs
from fittingroom.store.fetch import Say
from fittingroom.store.litter import scratch
from fittingroom.study.execute import (
    Material,
    Update,
    is_finished,
    needs_test,
    record_test,
    train_run,
)
from fittingroom.study.job import Job
from fittingroom.study.launch.launcher import Failed, ListenToJob, Outcome, Stopped
from fittingroom.study.launch.ray_cluster import (
    LOST,
    TRIES,
    News,
    Outbox,
    RayCluster,
    environment,
    files,
    resources,
    unpack,
)
from fittingroom.training import prepare_process
from fittingroom.training.team import PeerLost, Team

need("pyarrow", "--workers", "ray")
os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")

import ray  # noqa: E402
import torch  # noqa: E402
from ray.train import FailureConfig, RunConfig, ScalingConfig, get_context  # noqa: E402
from ray.train.backend import Backend  # noqa: E402
from ray.train.collective import broadcast_from_rank_zero  # noqa: E402
from ray.train.torch import TorchConfig, TorchTrainer, get_device  # noqa: E402
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: E402

LOOK_S = 0.1  # between two looks for news


class RayTeam(RayCluster):
    """A launcher that trains one job after the other, each with as many processes of the cluster as it has workers."""

    def run(self, jobs: Sequence[Job], runs: Runs, listen: ListenToJob, say: Say = lambda line: None) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for number, job in enumerate(jobs):
            try:
                outcomes.append(self._one(job, runs, partial(listen, number), say))
            except FittingroomError as error:
                outcomes.append(Failed(str(error), mistake=True, taken=isinstance(error, NotFree)))
            self.ended(number, outcomes[-1], listen)
        return outcomes

    def _one(self, job: Job, runs: Runs, listen: Callable[[Update], bool | None], say: Say) -> Outcome:
        run = job.folder(runs)
        if is_finished(run, job):
            return run.name
        with run.lock():
            for tried in range(1, TRIES + 1):
                if run.done:
                    break
                self.check(job)
                outcome = self._train(job, run, listen)
                if outcome is None:
                    break
                if not (isinstance(outcome, Failed) and outcome.lost) or tried == TRIES:
                    return outcome
                say(f"{run.name} lost a worker; all go on together after epoch {len(run.epochs)}")
            if needs_test(job, run):
                test = self.read_test(job, run, runs)
                try:
                    said = ray.get(self.scoring(job, run, test))
                except LOST as error:
                    return _lost(error)
                if isinstance(said, Failed):
                    return said
                record_test(run, runs, test.digest, test.images, said)
            run.finish()
        return run.name

    def _train(self, job: Job, run: RunFolder, listen: Callable[[Update], bool | None]) -> Outcome | None:
        """Train until the end (None), or until a worker fails, dies, or `listen` wants no more."""
        train, val, facts = self.material(job)
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        line = _Line.options(scheduling_strategy=here).remote()  # type: ignore[attr-defined]
        given = {
            "job": job, "train": train, "val": val, "facts": facts, "start": self.start(job, run),
            "files": files(run), "line": line,
        }  # fmt: skip
        ended: list[Exception | None] = []
        with scratch("fittingroom") as nothing:
            trainer = TorchTrainer(
                _train_a_part,
                train_loop_config=given,
                torch_config=_OurGroup(),
                scaling_config=ScalingConfig(
                    num_workers=job.workers,
                    use_gpu=job.device == "cuda",
                    resources_per_worker=resources(job),
                    placement_strategy="SPREAD",
                ),
                run_config=RunConfig(  # type: ignore[call-arg]
                    storage_path=str(nothing),  # nothing of ours goes there
                    # a new try takes the newest checkpoint: that is ours to do
                    failure_config=FailureConfig(max_failures=0, controller_failure_limit=0),  # type: ignore[call-arg]
                    worker_runtime_env=environment(job.threads),
                ),
            )

            def fit() -> None:
                try:
                    trainer.fit()
                    ended.append(None)
                except Exception as error:  # of the workers, the controller or Ray
                    ended.append(error)

            thread = threading.Thread(target=fit, daemon=True)
            thread.start()
            outcome: Outcome | None = None
            while thread.is_alive():
                thread.join(LOOK_S)
                outcome = self._news(line, run, listen) or outcome
            outcome = self._news(line, run, listen) or outcome
            ray.kill(line)
        return outcome if outcome is not None or ended[0] is None else _lost(ended[0])

    def _news(self, line: Any, run: RunFolder, listen: Callable[[Update], bool | None]) -> Outcome | None:
        """Take all news; why the training is over, if they say so."""
        for news in ray.get(line.take.remote()):
            if isinstance(news, Failed):
                return news
            unpack(news.files, run)
            if news.sign is not None and listen(news.sign):
                ray.get(line.stop.remote())
                return Stopped()
        return None

    def check(self, job: Job) -> None:
        super().check(job)
        room = self.slots(job)
        if room < job.workers:
            raise FittingroomError(
                f"--workers {job.workers}: the cluster has room for {room}; give fewer workers, "
                "or a larger cluster with --launcher ray=ADDRESS"
            )


def _lost(error: Exception) -> Failed:
    return Failed(f"a worker was lost: {str(error).strip().splitlines()[-1]}", mistake=True, lost=True)


@ray.remote(num_cpus=0)
class _Line:
    """Between the first worker and the driver: news one way, "stop" the other."""

    def __init__(self) -> None:
        self.news: list[News | Failed] = []
        self.wanted = True

    def put(self, news: News | Failed) -> bool:
        self.news.append(news)
        return self.wanted

    def take(self) -> list[News | Failed]:
        taken, self.news = self.news, []
        return taken

    def stop(self) -> None:
        self.wanted = False


class _OurGroup(TorchConfig):
    """Ray Train would gather the processes through a port that is open to the whole network; `_gather` does it in its place."""

    @property
    def backend_cls(self) -> type[Backend]:
        return Backend


def _gather(team: Team, backend: str) -> None:
    """Make torch's default process group of the workers; the first one listens, at its node's address in the cluster only."""
    node = ray.util.get_node_ip_address()
    if node.startswith("127."):  # gloo and NCCL would ask what the host's name resolves to
        loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
        os.environ |= {"GLOO_SOCKET_IFNAME": loopback, "NCCL_SOCKET_IFNAME": loopback}
    listening = socket.create_server((node, 0)) if team.rank == 0 else None
    host, port = broadcast_from_rank_zero(listening and listening.getsockname()[:2])
    descriptor = listening.detach() if listening else None
    store = torch.distributed.TCPStore(  # type: ignore[attr-defined]
        host, port, team.size, is_master=team.rank == 0, master_listen_fd=descriptor
    )
    torch.distributed.init_process_group(backend, store=store, rank=team.rank, world_size=team.size)


class _Unwanted(Exception):
    """Ends a training of which the driver wants no more."""


def _train_a_part(given: Mapping[str, Any]) -> None:
    """On a worker: the same as all others, each with its part of every batch."""
    job, line = given["job"], given["line"]
    context = get_context()
    team = Team(context.get_world_rank(), context.get_world_size())
    first = team.rank == 0

    def send(news: News | Failed) -> None:
        if not ray.get(line.put.remote(news)):
            raise _Unwanted

    if job.device == "cuda":
        torch.cuda.set_device(get_device())
    _gather(team, "nccl" if job.device == "cuda" else "gloo")
    with scratch("fittingroom") as folder:
        run = job.folder(Runs(folder))
        unpack(given["files"], run)
        prepare_process(run.environment.threads if run.epochs else job.threads)
        outbox = Outbox()
        outbox.there |= given["files"]

        def tell(sign: Update) -> None:
            packed = outbox.pack(sign, run) if first else None
            if packed:
                send(packed)

        try:  # whoever fails raises, and Ray ends the others, who would wait for it
            train, val, start = (x and ray.get(x) for x in (given["train"], given["val"], given["start"]))
            train_run(job, run, Material(train, val, given["facts"]), start, 1, tell, team)
        except (_Unwanted, PeerLost):
            raise
        except FittingroomError as error:
            send(Failed(str(error), mistake=True))
            raise
        except Exception:
            send(Failed(traceback.format_exc(), mistake=False))
            raise
        if first:
            send(News(None, outbox.changed(run), last=True))
