"""fittingroom's own loop, by `fit` as every run uses it. The images come in `fit`'s own order."""

from __future__ import annotations

import time

import numpy as np
import torch
from common import read_task, tell, torch_device

from fittingroom.data import Images
from fittingroom.spec.read import read_recipe
from fittingroom.study.sharing import threads_each
from fittingroom.training import fit, prepare_process

task = read_task(ordered=False)
prepare_process(threads_each())


class Enough(Exception):
    """The pass is over; the evaluation that follows an epoch is not part of the race."""


def main(images: Images) -> None:
    recipe = read_recipe(
        f"readme-002-{task.model}",
        [f"train.batch_size={task.batch}", f"train.precision={task.precision}", "train.epochs=1"],
    )
    steps = len(images) // task.batch
    marks: list[float] = []
    sums: list[torch.Tensor] = []

    def tick(done: int, loss_sum: torch.Tensor) -> None:
        if len(marks) + 1 in (task.warm_up, steps):
            sums.append(loss_sum.clone())
            if torch_device() == "cuda":
                torch.cuda.synchronize()
        marks.append(time.perf_counter())
        if len(marks) == steps:
            raise Enough

    try:
        for _ in fit(recipe, images, None, seed=0, device=torch_device(), tick=tick):
            pass
    except Enough:
        pass
    warm, whole = (s.item() for s in sums)
    timed = len(images) - task.split
    tell(task, warm / task.split, (whole - warm) / timed, marks[-1] - marks[task.warm_up - 1])


main(Images(np.ascontiguousarray(task.images_NHW[:, None]), task.labels_N, tuple("0123456789")))
