"""How near is a training to the machine's limit? Everything is measured alone, with every core."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from statistics import fmean
from typing import Any

import numpy as np

from fittingroom.data import prepare, reload
from fittingroom.metrics.speed import Ceiling, Speed
from fittingroom.models import build, describe
from fittingroom.questions.compare import page_of
from fittingroom.report.answer_page import Benched
from fittingroom.spec.recipe import Recipe
from fittingroom.study.clock import Quiet, ceiling, forget_peak, median_s, peak_memory_bytes, step_s
from fittingroom.study.cost import machine
from fittingroom.study.job import Job, resolve
from fittingroom.study.launch.local import apart
from fittingroom.study.sharing import threads_each
from fittingroom.study.workplace import Workplace
from fittingroom.training import choose_device, predict, prepare_process

USUAL = ("readme-002-cnn1", "readme-002-cnn2", "fast-fashion", "fast-mnist")
BACKWARD = 2  # times the FLOPs of a prediction; with the prediction itself a step takes three times as many
FEW = 2  # images of a step that is nearly all overhead
EVALUATED = 10_000


def bench(recipes: Sequence[Recipe], place: Workplace) -> Benched:
    """Each recipe's speed and the machine's ceiling, measured in turns, since a machine changes its speed by the minute.

    Let nothing else run. Raises `FittingroomError` for what could not be trained, before anything is measured.
    """
    device, threads = choose_device(place.device), threads_each()
    jobs = [
        resolve(recipe, place.load(recipe.data.name, recipe.data), device, place.runs, threads=threads)
        for recipe in recipes
    ]
    top_now = partial(_ceiling, device, threads)
    tops, speeds = [apart(top_now, threads)], []
    with place.progress.work("measuring") as tick:
        for number, job in enumerate(jobs, 1):
            facts = apart(partial(_speed, job), threads)
            tops.append(apart(top_now, threads))
            top = _mean(tops[-2:])
            share = facts["flops_per_s"] / top.of(facts["precision"])
            speeds.append(Speed(**facts, ceiling=top, share=share))
            tick(number / len(jobs))
    return Benched(_mean(tops), speeds, machine(), page_of(place.runs, "bench"))


def _mean(tops: Sequence[Ceiling]) -> Ceiling:
    fp32, bf16 = (fmean(getattr(top, precision) for top in tops) for precision in ("fp32", "bf16"))
    return tops[0].model_copy(update={"fp32": fp32, "bf16": bf16})


def _ceiling(device: str, threads: int) -> Ceiling:
    prepare_process(threads)
    return ceiling(device)


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
