"""Stopwatches for a machine that others use, too: time of a step, of a call, memory's peak, and whether others were busy."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch

from fittingroom.data import Images
from fittingroom.metrics.speed import Ceiling
from fittingroom.spec.recipe import Recipe
from fittingroom.training import fit
from fittingroom.training.start import Start

WARM_UP_STEPS = 3
MOST_STEPS = 40
BUSY = 0.15  # of one core: more than this used by others spoils a measurement
BUDGET_S = 2.0  # of a measurement
LOOK_S = 0.4  # whether others are busy
SIDE = {"cpu": 2048, "cuda": 8192, "mps": 4096}  # of the square matrices whose product is the ceiling
SMALL = 256  # of those that show whether a larger product would take too long
MOST_S = 5.0  # of a product


class _Enough(Exception):
    """Ends a training that has been timed for long enough."""


def forget_peak(device: str) -> None:
    """Let the peak of memory begin anew, where the system can, so that it does not show how the images were read."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_bytes(device: str) -> int | None:
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


class Quiet:
    """Whether other processes left the machine alone since this was made. True where the system does not tell."""

    def __init__(self) -> None:
        self.others_s, self.started = _others_cpu_s(), time.perf_counter()

    def __bool__(self) -> bool:
        return _others_cpu_s() - self.others_s < BUSY * (time.perf_counter() - self.started)


def busy_now() -> bool:
    """Whether others use this machine at this moment, so that measuring would be in vain."""
    quiet = Quiet()
    time.sleep(LOOK_S)
    return not quiet


def _others_cpu_s() -> float:
    """Processor seconds that all other processes have used so far; 0 where the system does not tell."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0
    user, nice, system, _, _, irq, softirq, *_ = map(int, stat.read_text().split("\n")[0].split()[1:])
    ours = os.times()
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK") - ours.user - ours.system


def step_s(recipe: Recipe, train: Images, device: str, seed: int = 0, start: Start | None = None) -> float | None:
    """Seconds of a training step (median, after a warm-up). None for a training of one step.

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
        for _ in fit(recipe, train, None, seed=seed, device=device, start=start, tick=tick):
            pass
    except _Enough:
        pass
    steps = np.diff(marks)
    useful = steps[WARM_UP_STEPS:] if len(steps) > WARM_UP_STEPS else steps
    return float(np.median(useful)) if len(useful) else None


def median_s(call: Callable[[], object]) -> float:
    """The median seconds of a call, after one to warm up."""
    call()
    times: list[float] = []
    while len(times) < 5 or (len(times) < 50 and sum(times) < BUDGET_S / 4):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return median(times)


def ceiling(device: str) -> Ceiling:
    """What this machine's product of square matrices does, with the threads that torch has."""

    def product_s(side: int, dtype: torch.dtype) -> float:
        a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        # looked at, so that an accelerator has to finish
        return median_s(lambda: float((a @ b)[0, 0]))

    def flops_per_s(dtype: torch.dtype) -> float:
        side = SIDE[device]
        if product_s(SMALL, dtype) * (side / SMALL) ** 3 > MOST_S:  # a type that this processor has no instructions for
            side = SMALL
        return 2 * side**3 / product_s(side, dtype)

    probe = getattr(torch.cpu, "_is_amx_tile_supported", None)  # private, but the only probe that torch has
    return Ceiling(
        device=device,
        threads=torch.get_num_threads(),
        fp32=flops_per_s(torch.float32),
        bf16=flops_per_s(torch.bfloat16),
        tiles=device != "cpu" or bool(probe and probe()),
    )
