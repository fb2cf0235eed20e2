"""How near a training comes to the machine's limit: `fittingroom bench`. Everything is measured alone, with every core."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch

from fittingroom.data import load, prepare, reload
from fittingroom.models import build, describe
from fittingroom.spec.recipe import Recipe
from fittingroom.spec.records import Record
from fittingroom.study.clock import Quiet, forget_peak, median_s, peak_memory_bytes, step_s
from fittingroom.study.launch import apart
from fittingroom.study.plan import Job, plan, threads_each
from fittingroom.training import choose_device, predict, prepare_process

SIDE = {"cpu": 2048, "cuda": 8192, "mps": 4096}  # of the square matrices whose product is the ceiling
BACKWARD = 2  # times the FLOPs of a prediction; with the prediction itself a step takes three times as many
FEW = 2  # images of a step that is nearly all overhead
EVALUATED = 10_000


class Ceiling(Record):
    """What the machine's matrix product does, FLOPs a second."""

    device: str
    threads: int
    fp32: float
    bf16: float


class Speed(Record):
    """How fast a recipe trains and predicts, and which share of the ceiling that is."""

    recipe: str
    dataset: str
    precision: str
    batch_size: int
    images_per_s: float
    flops_per_s: float  # of the layers that `describe` counts, forward and backward
    ceiling: Ceiling  # the mean of before and after
    share: float  # of the ceiling in its precision
    overhead_s: float  # of a step with two images: what no larger batch makes cheaper
    evaluate_s: float  # of 10,000 images, in float32
    latency_1_s: float
    peak_memory_bytes: int | None
    quiet: bool  # whether nothing else used the machine meanwhile


def bench(recipes: Sequence[Recipe], device: str = "auto", home_dir: Path | None = None) -> tuple[Ceiling, list[Speed]]:
    """The mean ceiling and each recipe's speed, measured in turns, since a machine changes its speed by the minute.

    Raises `FittingroomError` as `plan` does, before anything is measured.
    """
    chosen, threads = choose_device(device), threads_each()
    jobs = [plan(recipe, load(recipe.data.name, home_dir, shape=recipe.data), 0, chosen, threads) for recipe in recipes]
    ceiling = partial(_ceiling, chosen, threads)
    tops, speeds = [apart(ceiling, threads)], []
    for job in jobs:
        facts = apart(partial(_speed, job), threads)
        tops.append(apart(ceiling, threads))
        top = _mean(tops[-2:])
        share = facts["flops_per_s"] / getattr(top, facts["precision"])
        speeds.append(Speed(**facts, ceiling=top, share=share))
    return _mean(tops), speeds


def _mean(tops: Sequence[Ceiling]) -> Ceiling:
    fp32, bf16 = (fmean(getattr(top, precision) for top in tops) for precision in ("fp32", "bf16"))
    return tops[0].model_copy(update={"fp32": fp32, "bf16": bf16})


def _ceiling(device: str, threads: int) -> Ceiling:
    prepare_process(threads)
    side = SIDE[device]

    def flops_per_s(dtype: torch.dtype) -> float:
        a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))

        def product() -> None:
            float((a @ b)[0, 0])  # looked at, so that an accelerator has to finish

        return 2 * side**3 / median_s(product)

    return Ceiling(device=device, threads=threads, fp32=flops_per_s(torch.float32), bf16=flops_per_s(torch.bfloat16))


def _speed(job: Job) -> dict[str, Any]:
    prepare_process(job.threads)
    quiet, recipe = Quiet(), job.recipe
    train, _ = prepare(reload(recipe.data.name, job.data_digest, job.home_dir), recipe.data)
    few = recipe.model_copy(update={"train": recipe.train.model_copy(update={"batch_size": FEW})})
    forget_peak(job.device)
    step = step_s(recipe, train, job.device)
    peak = peak_memory_bytes(job.device)
    overhead = step_s(few, train, job.device)
    assert step and overhead
    model = build(recipe.model, train.shape, len(train.classes)).to(job.device)
    images = train.images_NCHW[np.arange(EVALUATED) % len(train)]
    rate = min(recipe.train.batch_size, len(train)) / step
    flops = (1 + BACKWARD) * describe(model, train.shape).flops
    return {
        "recipe": recipe.name,
        "dataset": recipe.data.name,
        "precision": recipe.train.precision,
        "batch_size": recipe.train.batch_size,
        "images_per_s": rate,
        "flops_per_s": flops * rate,
        "overhead_s": overhead,
        "evaluate_s": median_s(partial(predict, model, images, job.device)),
        "latency_1_s": median_s(partial(predict, model, images[:1], job.device)),
        "peak_memory_bytes": peak,
        "quiet": bool(quiet),
    }
