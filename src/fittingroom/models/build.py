"""From a recipe's `[model]` to a network with its normalisation inside, and what it is made of."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from fittingroom.models.registry import MODELS
from fittingroom.models.sequential import sequential
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import ModelSpec
from fittingroom.spec.records import LayerFacts, Structure


class Classifier(nn.Module):
    """A network with its normalisation inside, so that weights and preprocessing travel together.

    Takes (N,C,H,W) float32 in 0 … 1, gives (N,K) logits. `mean_C` and `sd_C` are those of the training images.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, body: nn.Module, mean_C: np.ndarray, sd_C: np.ndarray) -> None:
        super().__init__()
        self.body = body
        self.register_buffer("mean", torch.as_tensor(mean_C, dtype=torch.float32).reshape(1, -1, 1, 1))
        self.register_buffer("scale", 1 / torch.as_tensor(sd_C, dtype=torch.float32).reshape(1, -1, 1, 1))

    def forward(self, images_NCHW: Tensor) -> Tensor:
        logits_NK: Tensor = self.body((images_NCHW - self.mean) * self.scale)
        return logits_NK


def build(
    spec: ModelSpec,
    shape: tuple[int, int, int],
    classes: int,
    *,
    seed: int = 0,
    mean_C: np.ndarray | None = None,
    sd_C: np.ndarray | None = None,
) -> Classifier:
    """The network of `spec` for images of `shape` (C, H, W), initialised by `seed` alone.

    Without `mean_C` and `sd_C` (of values in 0 … 1) nothing is normalised. Raises `FittingroomError` for an unknown
    kind, a wrong argument, a stack that does not fit, or a user's function that does not give (N,K) logits.

    >>> build(ModelSpec(kind="resnet20"), (1, 28, 28), 10)(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """
    channels, *size = shape
    if spec.kind not in ("sequential", "python"):
        MODELS[spec.kind]  # an unknown name is told before anything else
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if spec.kind == "sequential":
            body: nn.Module = sequential(spec.layers, channels, (size[0], size[1]), classes)
        elif spec.kind == "python":
            body = _from_python(spec, channels, (size[0], size[1]), classes)
        else:
            body = MODELS.bind(spec.kind, spec.args, "model.args")(channels, (size[0], size[1]), classes)
    model = Classifier(
        body, np.zeros(channels) if mean_C is None else mean_C, np.ones(channels) if sd_C is None else sd_C
    )
    _check_output(model, spec, shape, classes)
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def describe(model: nn.Module, shape: tuple[int, int, int]) -> Structure:
    """Layers with output shapes and parameters, and FLOPs of one prediction (multiply-add = 2), counted by torch."""
    layers: list[LayerFacts] = []

    def note(name: str) -> object:
        def hook(module: nn.Module, _: object, output: object) -> None:
            if isinstance(output, Tensor):
                own = sum(p.numel() for p in module.parameters())
                kind = type(module).__name__
                layers.append(LayerFacts(name=name, kind=kind, shape=tuple(output.shape[1:]), parameters=own))

        return hook

    was_training = model.training
    model.eval()
    leaves = [(n, m) for n, m in model.named_modules() if not list(m.children()) and not isinstance(m, nn.Identity)]
    handles = [module.register_forward_hook(note(name.removeprefix("body."))) for name, module in leaves]
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, *shape, device=device))
    for handle in handles:
        handle.remove()
    model.train(was_training)
    parameters = sum(p.numel() for p in model.parameters())
    return Structure(layers=tuple(layers), parameters=parameters, flops=counter.get_total_flops())


def source_of(spec: ModelSpec) -> str | None:
    """The source of a user's own model (of its whole package, if it is in one), a part of a run's identity; None for ours."""
    if spec.kind != "python":
        return None
    module = _import(spec.target.partition(":")[0])
    top = sys.modules[module.__name__.partition(".")[0]]
    file = Path(module.__file__ or "")
    folder = Path(top.__file__ or "").parent
    files = sorted(folder.rglob("*.py")) if hasattr(top, "__path__") and "site-packages" not in folder.parts else [file]
    return "\n".join(f.read_text(encoding="utf-8") for f in files if f.is_file())


def _from_python(spec: ModelSpec, channels: int, size: tuple[int, int], classes: int) -> nn.Module:
    """A user's `module:function`, called with `channels`, `size`, `classes` and the recipe's args."""
    module_name, _, function_name = spec.target.partition(":")
    function = getattr(_import(module_name), function_name, None)
    if not callable(function):
        raise FittingroomError.at(
            "model.target", f'{module_name} has no function "{function_name}"; write "module:function"'
        )
    keywords = {"channels": channels, "size": size, "classes": classes, **spec.args}
    try:
        inspect.signature(function).bind(**keywords)
    except (TypeError, ValueError) as error:
        raise FittingroomError.at(
            "model.target", f"{spec.target} does not take {', '.join(keywords)}: {error}"
        ) from None
    try:
        body = function(**keywords)
    except Exception as error:
        raise FittingroomError.at("model.target", f"{spec.target} failed: {_where(error)}") from error
    if not isinstance(body, nn.Module):
        raise FittingroomError.at("model.target", f"{spec.target} gave a {type(body).__name__}, not a torch.nn.Module")
    return body


def _import(module_name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:  # as `python -m` would: a model in the working directory is found
        sys.path.insert(0, here)
    try:
        return importlib.import_module(module_name)
    except Exception as error:  # it runs a user's code
        raise FittingroomError.at(
            "model.target", f"cannot import {module_name} from {here}: {_where(error)}"
        ) from error


def _where(error: Exception) -> str:
    """A user's own error, with the line it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


def _check_output(model: nn.Module, spec: ModelSpec, shape: tuple[int, int, int], classes: int) -> None:
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            logits = model(torch.zeros(2, *shape))
    except Exception as error:
        c, h, w = shape
        raise FittingroomError(f"model {spec.kind} does not take {c}×{h}×{w} images: {error}") from error
    finally:
        model.train(was_training)
    found = logits.shape[1:] if isinstance(logits, Tensor) else type(logits).__name__
    if found != (classes,):
        given = tuple(found) if isinstance(logits, Tensor) else found
        raise FittingroomError(f"model {spec.kind} gives {given} for an image; it must give ({classes},) logits")
