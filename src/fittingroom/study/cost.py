"""What a recipe costs on this machine: measured alone, in seconds and bytes, with every core."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch

from fittingroom.data import Images, load, prepare
from fittingroom.data.acquire import Say
from fittingroom.spec.records import Cost
from fittingroom.store import RunFolder
from fittingroom.study.launch import apart
from fittingroom.study.plan import Job, cores, cpu_name, threads_each
from fittingroom.training import fit, predict, prepare_process
from fittingroom.training.fit import restore

WARM_UP_STEPS = 3
MOST_STEPS = 40
TRIES = 2
BUSY = 0.15  # of one core: more than this used by others spoils a measurement
BUDGET_S = 2.0  # of each of the two measurements


class _Enough(Exception):
    """Ends a training that has been timed for long enough."""


def measured_cost(job: Job, seeds: Sequence[RunFolder], say: Say = lambda line: None) -> Cost | None:
    """What `job`'s recipe costs here, written beside its finished runs; measured if none of them knows it.

    Medians, after a warm-up. None, and nothing is written, if other processes were busy meanwhile at every try: two threads
    collapse when anything else wants their cores.
    """
    threads = threads_each()
    here = (machine(), job.device, threads)
    known = [run.cost for run in seeds if run.cost]
    cost = next((c for c in known if (c.machine, c.device, c.threads) == here), None)
    if cost is None:
        say(f"measuring the cost of {job.recipe.name}, alone on the machine")
        # in a process of its own: a used one would show the memory of what it did before
        cost = apart(partial(_measure, job, seeds[0], threads), threads)
    if cost:
        for run in (run for run in seeds if run.cost != cost):
            run.write_cost(cost)
    return cost


def machine() -> str:
    """What a cost is true of: processor, cores, torch."""
    return f"{cpu_name()}, {cores()} cores, torch {torch.__version__}"


def _measure(job: Job, run: RunFolder, threads: int) -> Cost | None:
    prepare_process(threads)
    data = load(job.recipe.data.name, job.home_dir)
    train, _ = prepare(data, job.recipe.data)

    def latency_s(batch: int) -> float:
        images = train.images_NCHW[np.arange(batch) % len(train)]
        return _median_s(lambda: predict(model, images, job.device))

    for _ in range(TRIES):
        others = _others_cpu_s()
        started = time.perf_counter()
        _forget_peak(job.device)
        rate, peak = _train_rate(job, train), _peak_memory_bytes(job.device)
        model = restore(job.recipe, run.arrays("weights"), train, job.device)
        cost = Cost(
            train_images_per_s=rate,
            latency_1_s=latency_s(1),
            latency_250_s=latency_s(250),
            peak_memory_bytes=peak,
            threads=threads,
            device=job.device,
            machine=machine(),
        )
        if _others_cpu_s() - others < BUSY * (time.perf_counter() - started):
            return cost
    return None


def _forget_peak(device: str) -> None:
    """Let the peak of memory begin anew, where the system can, so that it does not show how the images were read."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_memory_bytes(device: str) -> int | None:
    """The peak, of the GPU's memory where one trains, else of this process; None where the system does not tell."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    try:
        import resource
    except ImportError:  # Windows
        return None
    status = Path("/proc/self/status")
    if status.exists():  # getrusage's figure on Linux is at least that of the process that started this one
        told = re.search(r"VmHWM:\s*(\d+) kB", status.read_text())
        return 1024 * int(told[1]) if told else None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else 1024 * peak  # bytes there, KiB elsewhere


def _others_cpu_s() -> float:
    """Processor seconds that all other processes have used so far; 0 where the system does not tell."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0
    user, nice, system, _, _, irq, softirq, *_ = map(int, stat.read_text().split("\n")[0].split()[1:])
    ours = os.times()
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK") - ours.user - ours.system


def _train_rate(job: Job, train: Images) -> float | None:
    """Images a second of the training loop, by the median time of a step. None for a training of one step.

    Between the last step of an epoch and the next one lies an evaluation, which the median does not see unless an epoch
    has but one or two steps.
    """
    marks: list[float] = []

    def tick(images: int, loss_sum: torch.Tensor) -> None:
        loss_sum.item()  # on an accelerator: wait until the step is really done
        marks.append(time.perf_counter())
        if len(marks) >= MOST_STEPS or (len(marks) > WARM_UP_STEPS + 3 and marks[-1] - marks[0] > BUDGET_S):
            raise _Enough

    try:
        for _ in fit(job.recipe, train, None, seed=job.seed, device=job.device, tick=tick):
            pass
    except _Enough:
        pass
    steps = np.diff(marks)
    useful = steps[WARM_UP_STEPS:] if len(steps) > WARM_UP_STEPS else steps
    return min(job.recipe.train.batch_size, len(train)) / float(np.median(useful)) if len(useful) else None


def _median_s(call: Callable[[], object]) -> float:
    call()
    times: list[float] = []
    while len(times) < 5 or (len(times) < 50 and sum(times) < BUDGET_S / 4):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return median(times)
