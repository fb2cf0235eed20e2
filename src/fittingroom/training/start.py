"""Starting from trained weights: which fit, which layers stay as they are, which layers learn more slowly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from fittingroom.models.neighbours import Neighbours
from fittingroom.models.photos import adapted
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import ModelSpec, OptimizerSpec, Recipe, ScheduleSpec
from fittingroom.training.arrays import load_arrays


@dataclass(frozen=True)
class Start:
    """Trained weights to begin with, and the classes that they tell apart."""

    weights: Mapping[str, np.ndarray]
    classes: tuple[str, ...]


def layers_of(model: nn.Module) -> list[list[nn.Module]]:
    """The modules that learn, in the order of their definition: each convolution or dense layer with the norms behind it.

    >>> model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    >>> [len(layer) for layer in layers_of(model)]
    [2, 1]
    """
    found: list[list[nn.Module]] = []
    for module in model.modules():
        own = list(module.parameters(recurse=False))
        if own:
            if not found or any(p.ndim >= 2 for p in own):
                found.append([])
            found[-1].append(module)
        elif found and any(True for _ in module.buffers(recurse=False)):
            found[-1].append(module)
    return found


def start_from(model: nn.Module, weights: Mapping[str, np.ndarray], keep_head: bool) -> None:
    """Put trained `weights` into `model`, its normalisation too; all but the last layer unless `keep_head`.

    Layers right before the last one that the weights do not know are new, too.

    Raises `FittingroomError` that names the first layer that does not fit, and why.
    """
    own = model.state_dict()
    layers, new = layers_of(model), 1
    while new < len(layers) - 1 and not _names(model, layers[-1 - new]) & weights.keys():
        new, keep_head = new + 1, False
    keep_head = keep_head and not isinstance(layers[-1][0], Neighbours)  # which learns by heart
    head = set().union(*(_names(model, layer) for layer in layers[-new:]))
    of_head = {name.rpartition(".")[0] for name in head}
    keep_head = keep_head and not _by_heart(weights, of_head)
    wanted = [name for name in own if keep_head or name not in head]
    missing = [name for name in wanted if name not in weights]
    foreign = set() if keep_head else of_head  # a new last layer needs nothing of the old one
    strange = [name for name in weights if name not in own and name.rpartition(".")[0] not in foreign]
    if missing or strange:
        name = (missing or strange)[0]
        raise FittingroomError.at(
            "model.init",
            f"those weights are of another network: {name} is {'not there' if missing else 'not in this one'}; "
            "give the recipe that they were trained with",
        )
    weights = adapted(model, weights)
    for name in wanted:
        there, here = weights[name].shape, tuple(own[name].shape)
        if there != here:
            sizes = f"{name.removeprefix('body.')} is {_shape(there)} there and {_shape(here)} here"
            raise FittingroomError.at("model.init", f"{sizes}; {_reason(name, there, here)}")
    load_arrays(model, {name: weights[name] if name in wanted else own[name].numpy() for name in own})


def frozen(model: nn.Module, spec: ModelSpec) -> list[nn.Module]:
    """The modules that `spec.freeze` keeps as they are; their parameters ask for no gradient from now on.

    Their norms must be put into evaluation mode whenever the model is put into training mode.
    Raises `FittingroomError` if nothing would be left to train.
    """
    layers = layers_of(model)
    n = len(layers) - 1 if spec.freeze == "body" else spec.freeze
    if n >= len(layers):
        raise FittingroomError.at(
            "model.freeze", f"{n} of {len(layers)} layers leaves none to train; at most {len(layers) - 1}"
        )
    still = [module for layer in layers[:n] for module in layer]
    for module in still:
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(False)
    return still


def kept_norms(model: nn.Module, spec: ModelSpec) -> list[nn.Module]:
    """The norms that go on with the statistics of the trained weights, where `spec.freeze_norm` asks for it."""
    return [module for module in model.modules() if spec.freeze_norm and isinstance(module, _BatchNorm)]


def head_first(recipe: Recipe) -> Recipe:
    """The training of the last layer alone with which a training of `recipe` begins: `model.head_epochs` without augmentation.

    AdamW at 1e-3 along a cosine: what a pretrained network's features were found to need (docs/log.md, 2026-11-27).
    """
    return recipe.model_copy(
        update={
            "model": recipe.model.model_copy(update={"freeze": "body", "head_epochs": 0}),
            "augment": (),
            "optimizer": OptimizerSpec(kind="adamw", lr=1e-3, weight_decay=0.01),
            "schedule": ScheduleSpec(kind="cosine"),
            "train": recipe.train.model_copy(update={"epochs": recipe.model.head_epochs, "ema": 0.0, "clip_norm": 0.0}),
        }
    )


def depths(model: nn.Module) -> dict[nn.Parameter, int]:
    """How many layers lie between each parameter and the end: 0 in the last layer."""
    layers = layers_of(model)
    return {
        parameter: len(layers) - 1 - i
        for i, layer in enumerate(layers)
        for module in layer
        for parameter in module.parameters(recurse=False)
    }


def _by_heart(weights: Mapping[str, np.ndarray], of_head: set[str]) -> bool:
    """Whether the weights' last layer is one of neighbours, which no other can begin with."""
    return any(f"{name}.memory" in weights for name in of_head)


def _names(model: nn.Module, modules: list[nn.Module]) -> set[str]:
    inside = {id(tensor) for module in modules for tensor in [*module.parameters(False), *module.buffers(False)]}
    return {name for name, t in [*model.named_parameters(), *model.named_buffers()] if id(t) in inside}


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _reason(name: str, there: tuple[int, ...], here: tuple[int, ...]) -> str:
    if name in ("mean", "scale"):
        return f"they were trained on pictures with another number of channels: set data.channels={there[1]}"
    if len(there) == 2 and there[0] == here[0]:
        return "they were trained on pictures of another size: set data.image_size to that one"
    return "they are of another network: give the recipe that they were trained with"
