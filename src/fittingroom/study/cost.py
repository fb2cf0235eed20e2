"""What a recipe costs on this machine: measured alone, in seconds and bytes, with every core."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from fittingroom.data import fold_of, prepare, reload
from fittingroom.spec.machine import cores
from fittingroom.spec.recipe import Recipe
from fittingroom.spec.records import Cost
from fittingroom.store import RunFolder
from fittingroom.store.fetch import Say
from fittingroom.study.clock import Quiet, busy_now, forget_peak, median_s, peak_memory_bytes, step_s
from fittingroom.study.job import Job
from fittingroom.study.launch.local import apart
from fittingroom.study.sharing import cpu_name, threads_each
from fittingroom.training import predict, prepare_process
from fittingroom.training.fit import restore

TRIES = 2


def known_cost(job: Job, seeds: Sequence[RunFolder]) -> Cost | None:
    """What `job`'s recipe costs here, if one of its finished runs knows it; then all of them do."""
    here = (machine(), job.device, threads_each())
    known = [run.cost for run in seeds if run.cost]
    cost = next((c for c in known if (c.machine, c.device, c.threads) == here), None)
    if cost:
        _write(cost, seeds)
    return cost


def measured_cost(job: Job, seeds: Sequence[RunFolder], say: Say = lambda line: None) -> Cost | None:
    """What `job`'s recipe costs here, measured and written beside its finished runs.

    Medians, after a warm-up. None, and nothing is written, if other processes were busy meanwhile at every try: two threads
    collapse when anything else wants their cores.
    """
    if busy_now():
        return None
    threads = threads_each()
    say(f"measuring the cost of {job.recipe.name}, alone on the machine")
    # in a process of its own: a used one would show the memory of what it did before
    cost = apart(partial(_measure, job, seeds[0], threads), threads)
    if cost:
        _write(cost, seeds)
    return cost


def _write(cost: Cost, seeds: Sequence[RunFolder]) -> None:
    for run in seeds:
        if run.cost != cost:
            run.write_cost(cost)


def machine() -> str:
    """What a cost is true of: processor, cores, torch."""
    return f"{cpu_name()}, {cores()} cores, torch {torch.__version__}"


def _steps_of(recipe: Recipe) -> Recipe:
    """The recipe without the training of the last layer alone that comes in front."""
    return recipe.model_copy(update={"model": recipe.model.model_copy(update={"head_epochs": 0})})


def _measure(job: Job, run: RunFolder, threads: int) -> Cost | None:
    prepare_process(threads)
    data = fold_of(reload(job.recipe.data.name, job.data_digest, job.home_dir), job.recipe.data)
    train, _ = prepare(data, job.recipe.data)

    def latency_s(batch: int) -> float:
        images = train.images_NCHW[np.arange(batch) % len(train)]
        return median_s(lambda: predict(model, images, job.device))

    start = job.initial.read() if job.initial else None
    for _ in range(TRIES):
        quiet = Quiet()
        forget_peak(job.device)
        step, peak = step_s(_steps_of(job.recipe), train, job.device, start=start), peak_memory_bytes(job.device)
        model = restore(job.recipe, run.weights, train, job.device)
        cost = Cost(
            train_images_per_s=min(job.recipe.train.batch_size, len(train)) / step if step else None,
            latency_1_s=latency_s(1),
            latency_250_s=latency_s(250),
            peak_memory_bytes=peak,
            threads=threads,
            device=job.device,
            machine=machine(),
        )
        if quiet:
            return cost
    return None
