"""What a recipe costs on this machine: measured alone, in seconds, with every core."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch

from fittingroom.data import Images, load, prepare
from fittingroom.spec.records import Cost
from fittingroom.store import RunFolder, Runs
from fittingroom.study.plan import Job, threads_each
from fittingroom.training import fit, predict, prepare_process
from fittingroom.training.fit import restore

WARM_UP_STEPS = 3
MOST_STEPS = 40
BUDGET_S = 2.0  # of each of the two measurements


class _Enough(Exception):
    """Ends a training that has been timed for long enough."""


def measured_cost(job: Job, run: RunFolder, runs: Runs) -> Cost:
    """The cost of `job`'s recipe, from the runs folder if it was measured on this machine before.

    Nothing else may run meanwhile. Medians, after a warm-up.
    """
    known = runs.cost(job.cost_key)
    if known:
        return known
    threads = threads_each()
    prepare_process(threads)
    data = load(job.recipe.data.name, job.home_dir)
    train, _ = prepare(data, job.recipe.data)
    model = restore(job.recipe, run.arrays("weights"), train, job.device)

    def latency_s(batch: int) -> float:
        images = train.images_NCHW[np.arange(batch) % len(train)]
        return _median_s(lambda: predict(model, images, job.device))

    cost = Cost(
        train_images_per_s=_train_rate(job, train),
        latency_1_s=latency_s(1),
        latency_256_s=latency_s(256),
        threads=threads,
        device=job.device,
    )
    runs.write_cost(job.cost_key, cost)
    return cost


def _train_rate(job: Job, train: Images) -> float | None:
    """Images a second of the training loop, without evaluation: from the median time of a step. None if too short."""
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
