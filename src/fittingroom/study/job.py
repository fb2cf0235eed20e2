"""A job is one run to be: resolved, tried, and known by a digest that says whether its result is there already."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fittingroom.augment import pipeline
from fittingroom.data import Dataset, fold_of, prepare
from fittingroom.data.decisions import excluded_rows
from fittingroom.models import build, describe, on_paper, with_sources
from fittingroom.spec.digest import NUMERICS
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.machine import memory_bytes
from fittingroom.spec.recipe import Recipe
from fittingroom.spec.records import Structure
from fittingroom.store import RunFolder, Runs
from fittingroom.store.fetch import Say
from fittingroom.store.runs import run_name
from fittingroom.study.initial import Initial, initial
from fittingroom.training import choose_precision
from fittingroom.training.rebuild import run_digest
from fittingroom.training.select import refuse_choice
from fittingroom.training.start import frozen, start_from
from fittingroom.training.team import normalisations


@dataclass(frozen=True)
class Job:
    """One run to be: a resolved recipe, a seed, a device kind, the data's digest, and the threads to start it with.

    The threads are no part of the identity, though they decide the last bits: a study of another size, or on a machine
    with other cores, must find its runs. They are recorded when a run begins, and kept when it is resumed.
    """

    recipe: Recipe
    seed: int
    device: str
    threads: int
    data_digest: str
    home_dir: Path
    structure: Structure  # of the network
    work: float = 1.0  # FLOPs of the whole training, roughly: for order and progress, not for results
    score_test: bool = True
    initial: Initial | None = None  # trained weights to start from
    gpu_share: float = 1.0  # of a GPU's memory that it may need, roughly
    workers: int = 1  # that share the training: they decide what BatchNorm and dropout see
    part: str = ""  # of a study, that means nothing by itself: "fold 2 of 5", "trial"
    study: str = ""  # that a part belongs to

    @property
    def title(self) -> str:
        """What to call it: its recipe, and which part of a study it is."""
        return f"{self.recipe.name} {self.part}".rstrip()

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that decides the result, and its digest; for a part of a study, which one."""
        init = self.initial.sha256 if self.initial else ""
        return {
            "digest": run_digest(self.recipe, init, self.data_digest, self.seed, self.device, self.workers),
            "recipe": self.recipe.name,
            "dataset": self.recipe.data.name,
            "seed": self.seed,
            "device": self.device,
            "numerics": NUMERICS,
            **({"part": self.part, "study": self.study} if self.part or self.recipe.data.folds else {}),
        }

    @property
    def name(self) -> str:
        """What its run's folder is called."""
        return run_name(self.title, self.recipe.data.name, self.seed, self.identity["digest"])

    def folder(self, runs: Runs) -> RunFolder:
        """Where its run is, or will be."""
        return RunFolder(runs.path / self.name)


def resolve(
    recipe: Recipe,
    whole: Dataset,
    device: str,
    runs: Runs,
    *,
    threads: int = 1,
    score_test: bool = True,
    here: bool = True,
    say: Say = lambda line: None,
) -> Job:
    """The job of training `recipe` on the data set `whole` with seed 0, and a refusal of what could not be trained.

    `here`: whether this machine trains it alone, and has to have the memory. Trained weights that it starts from are looked for
    among `runs`.
    Raises `FittingroomError` for a model or an augmentation that does not fit, the images or the memory, and for too few
    validation images to choose by.
    """
    first = initial(recipe.model.init, runs, whole.home_dir, say)
    model = with_sources(first.network(recipe.model) if first else recipe.model, whole.train.shape, len(whole.classes))
    resolved = recipe.model_copy(
        update={
            "data": recipe.data.model_copy(
                update={"name": whole.name, "exclude": excluded_rows(recipe.data.exclude, whole), **read_as(whole)}
            ),
            "model": model.model_copy(update={"init": first.label if first else ""}),
            "train": recipe.train.model_copy(update={"precision": choose_precision(recipe.train.precision, device)}),
        }
    )
    data = fold_of(whole, resolved.data)
    if resolved.train.by_validation:
        refuse_choice(resolved.train, *prepare(data, resolved.data), carved=data.val is None)
    planned = on_paper(resolved.model, data.train.shape, len(data.classes))
    if planned and here:
        refuse_too_large(planned, resolved, data, device)
    network = build(resolved.model, data.train.shape, len(data.classes))
    if first:
        start = first.read()
        start_from(network, start.weights, start.classes == data.classes)
    frozen(network, resolved.model)
    structure = planned or describe(network, data.train.shape)
    if not planned and here:
        refuse_too_large(structure, resolved, data, device)
    _try(network, resolved, data)
    work = float(3 * structure.flops * resolved.train.epochs * (resolved.data.limit or len(data.train)))
    return Job(
        recipe=resolved,
        seed=0,
        device=device,
        threads=threads,
        data_digest=whole.digest,
        home_dir=data.home_dir,
        structure=structure,
        work=work,
        score_test=score_test and data.test.n > 0,
        initial=first,
        gpu_share=gpu_share(structure, resolved, data, device),
    )


def read_as(data: Dataset) -> dict[str, Any]:
    """How pictures were read, as fields of a recipe's data; what the data don't remember stays the recipe's word."""
    return {key: value for key, value in data.shape if key not in ("near", "path", "label", "images")}


def refuse_too_large(structure: Structure, recipe: Recipe, data: Dataset, device: str) -> None:
    """Raises `FittingroomError` if the machine cannot hold what a training step needs at the very least.

    That is weights and their gradients, and the values of the largest layer for a batch with their gradients, these in 16 bits;
    of a network that is partly frozen the weights alone.
    """
    there = torch.cuda.get_device_properties(0).total_memory if device == "cuda" else memory_bytes()
    batch = min(recipe.train.batch_size, recipe.data.limit or len(data.train))
    largest = max(structure.layers, key=lambda layer: math.prod(layer.shape))
    trained = not recipe.model.freeze
    weights, values = (1 + trained) * 4 * structure.parameters, trained * 2 * 2 * batch * math.prod(largest.shape)
    if weights + values > there:
        shape = "×".join(map(str, largest.shape))
        raise FittingroomError(
            f"{recipe.name} cannot be trained here: {structure.parameters:,} parameters take {weights / 1e9:,.1f} GB with their "
            f"gradients, layer {largest.name} ({shape}) of {batch:,} images {values / 1e9:,.1f} GB, and there are "
            f"{there / 1e9:,.1f} GB; make the network, the images or train.batch_size smaller"
        )


def gpu_share(structure: Structure, recipe: Recipe, data: Dataset, device: str) -> float:
    """The part of a GPU's memory that a training may need, roughly: activations three times over, weights four times, images.

    An estimate from the structure, not measured; it decides only how many runs share a GPU of a cluster. 1 elsewhere.
    """
    if device != "cuda":
        return 1.0
    values = sum(math.prod(layer.shape) for layer in structure.layers)
    needed = 4 * (3 * recipe.train.batch_size * values + 4 * structure.parameters) + len(data.train) * math.prod(
        data.train.shape
    )
    context = 1 << 30  # of CUDA itself
    return min(1.0, (needed + context) / torch.cuda.get_device_properties(0).total_memory)


def _try(model: nn.Module, recipe: Recipe, data: Dataset) -> None:
    """One batch of black images through augmentation and model, so that what cannot work fails before the training."""
    images = torch.zeros(min(recipe.train.batch_size, 2), *data.train.shape)
    targets = torch.full((len(images), len(data.classes)), 1 / len(data.classes))
    for i, step in enumerate(recipe.augment):
        try:
            pipeline([step])(images, targets, torch.Generator().manual_seed(0))
        except (RuntimeError, ValueError) as error:
            _, h, w = data.train.shape
            raise FittingroomError.at(f"augment.{i}", f"{step.kind} does not work on {h}×{w} images: {error}") from None
    try:
        with torch.no_grad():
            model.train()(images)
    except ValueError as error:  # BatchNorm, of a batch of one
        raise FittingroomError.at(
            "train.batch_size", f"{recipe.train.batch_size} is too small for this model: {error}"
        ) from None


def of_workers(job: Job, data: Dataset) -> list[str]:
    """What differs, when several workers share this training, from one that does it alone."""
    if job.workers == 1:
        return []
    model = build(job.recipe.model, data.train.shape, len(data.classes))
    said = [f"each of {job.workers} workers trains on its part of every batch of {job.recipe.train.batch_size}"]
    if any(isinstance(module, nn.Dropout) and module.p for module in model.modules()):
        said.append("dropout: each worker draws masks of its own")
    if normalisations(model):
        said.append(
            "BatchNorm: each worker normalises its part by that part's statistics; images are classified with the mean of "
            "all workers' running statistics"
        )
    return said
