"""What frozen layers give of all pictures, computed by all cores before trainings that share the cores ask for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fittingroom.data import Dataset, not_test, reload
from fittingroom.spec.recipe import Recipe
from fittingroom.study.initial import Initial
from fittingroom.study.job import Job
from fittingroom.study.progress import Progress
from fittingroom.study.sharing import threads_each
from fittingroom.training import prepare_process
from fittingroom.training.fit import network
from fittingroom.training.start import frozen, head_first, start_from
from fittingroom.training.trunk import KEPT, trunk_of, views_of

BLOCK = 512  # pictures between two signs of life, and of one file


def warm(jobs: Sequence[Job], progress: Progress) -> None:
    """Compute and keep what the frozen layers of these jobs' networks give of each training picture, once for all of them."""
    done = set()
    for job in jobs:
        first = [head_first(job.recipe)] if job.recipe.model.head_epochs else []
        for recipe in (*first, job.recipe):
            views = views_of(recipe)
            key = recipe.model.model_dump_json(exclude={"head_epochs"}), job.data_digest, views
            if job.initial and recipe.model.freeze and job.workers == 1 and views and key not in done:
                done.add(key)
                _warm(
                    job.initial, recipe, reload(recipe.data.name, job.data_digest, job.home_dir), job.device, progress
                )


def _warm(initial: Initial, recipe: Recipe, whole: Dataset, device: str, progress: Progress) -> None:
    KEPT.folder = whole.home_dir / "features"
    _ = whole.train.prints_N  # once: parts of it take theirs along
    images, start, views = not_test(whole), initial.read(), views_of(recipe) or ()
    model = network(recipe, images, 0)
    start_from(model, start.weights, start.classes == whole.classes)
    trunk = trunk_of(model.to(device), frozen(model, recipe.model), images.shape, len(images), device)
    if trunk is None or all(trunk.knows(images, view) for view in views):
        return
    prepare_process(threads_each())
    with progress.work(f"what {initial.name} sees in {len(images):,} pictures") as tick:
        for first in range(0, len(images), BLOCK):
            some = images.take(np.arange(first, min(first + BLOCK, len(images))))
            trunk.given(some, views)
            tick((first + len(some)) / len(images))
