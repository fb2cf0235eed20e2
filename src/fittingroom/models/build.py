"""From a recipe's `[model]` to a network with its normalisation inside, and what it is made of."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from fittingroom.models.executed import where
from fittingroom.models.flops import Flops
from fittingroom.models.neighbours import by_neighbours
from fittingroom.models.registry import MODELS
from fittingroom.models.sequential import sequential
from fittingroom.models.source import capture, network
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import ModelSpec
from fittingroom.spec.records import LayerFacts, Structure
from fittingroom.spec.registry import is_ours

SPELLINGS = {  # what a person's function is given, by the names that people use for it
    "channels": ("channels", "in_channels"),
    "size": ("size",),
    "classes": ("classes", "num_classes", "n_classes"),
}
SMALL_BYTES, SMALL_SIDE = 256 << 20, 64  # of networks that are built to see what they are
_FIT: set[str] = set()  # networks of ours that gave what they must, in this process


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
    channels = shape[0]
    if spec.kind not in ("sequential", "python"):
        MODELS[spec.kind]  # an unknown name is told before anything else
    spec = with_sources(spec, shape, classes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body = _body(spec, shape, classes)
        none, one = np.zeros(channels), np.ones(channels)
        model = Classifier(body, none if mean_C is None else mean_C, one if sd_C is None else sd_C)
        known = repr((spec.kind, spec.layers, spec.args, spec.neighbours, shape, classes))
        if spec.kind == "python" or known not in _FIT:
            _check_output(model, spec, shape, classes)  # by which a lazy layer is made
            _FIT.add(known)
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _body(spec: ModelSpec, shape: tuple[int, int, int], classes: int) -> nn.Module:
    channels, *size = shape
    if spec.kind == "sequential":
        body: nn.Module = sequential(spec.layers, channels, (size[0], size[1]), classes)
    elif spec.kind == "python":
        body = _called(network(spec), spec, shape, classes)
    else:
        body = MODELS.bind(spec.kind, spec.args, "model.args")(channels, (size[0], size[1]), classes)
    return by_neighbours(body, classes, spec.neighbours) if spec.neighbours else body


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
    plain = sdpa_kernel(SDPBackend.MATH)  # the counter doesn't know a CPU's own attention
    with torch.no_grad(), plain, Flops() as counter:
        model(torch.zeros(1, *shape, device=device))
    for handle in handles:
        handle.remove()
    model.train(was_training)
    parameters = sum(p.numel() for p in model.parameters())
    return Structure(layers=tuple(layers), parameters=parameters, flops=counter.total)


def on_paper(spec: ModelSpec, shape: tuple[int, int, int], classes: int) -> Structure | None:
    """What `describe` would say of the network of `spec`, found out without its memory, however large it is.

    None where that need not be, because it is small; and where it cannot be: a person's own code, or a layer of neighbours, may
    ask what is in its tensors, and on torch's meta device there is nothing in them. Raises `FittingroomError` as `build` does.

    >>> f"{on_paper(ModelSpec(kind='resnet20', args={'width': 4096}), (1, 28, 28), 10).parameters:,}"
    '17,683,787,786'
    """
    if spec.kind == "python" or spec.neighbours:
        return None
    try:
        with torch.device("meta"):
            if _is_small(_body(spec, shape, classes), shape):
                return None
            return describe(build(spec, shape, classes), shape)  # which loads torch's compiler: a second
    except RuntimeError as error:
        if "overflow" not in str(error):
            raise
        raise FittingroomError(
            f"model {spec.kind}: one of its layers is too large to be counted; make it narrower"
        ) from None


def _is_small(body: nn.Module, shape: tuple[int, int, int]) -> bool:
    """Whether a network may be built to see what it is: its weights and the values of its widest layer for an image are few.

    Of larger images attention may compare every place with every other, which nothing here sees.
    """
    growing = [
        m for m in body.modules() if isinstance(m, nn.Conv2d) and not isinstance(m.padding, str)
        if max(m.padding) > max(m.kernel_size) * max(m.dilation)
    ]  # fmt: skip
    pixels = math.prod(shape[1:])
    weights, widest = sum(p.numel() for p in body.parameters()), max((len(p) for p in body.parameters()), default=0)
    return not growing and pixels <= SMALL_SIDE**2 and 4 * (weights + widest * pixels) <= SMALL_BYTES


def with_sources(spec: ModelSpec, shape: tuple[int, int, int], classes: int) -> ModelSpec:
    """`spec` with the sources of a network of a person's own, as they are now; from then on it is made of those alone.

    A registered network of a person's own becomes a python one, with all of its arguments.
    Raises `FittingroomError` as `build` does.
    """
    function = MODELS.functions.get(spec.kind)
    if spec.sources or (is_ours(function) if function else spec.kind != "python"):
        return spec
    args, given = spec.args, spec.target or function
    if function:
        complete = MODELS.complete(spec.kind, spec.args, "model.args")
        args = {key: value for key, value in complete.items() if isinstance(value, bool | int | float | str)}

    def attempt(made: Callable[..., nn.Module]) -> None:
        with torch.random.fork_rng(devices=[]):
            _check_output(_called(made, spec.model_copy(update={"args": args}), shape, classes), spec, shape, classes)

    target, sources = capture(given, attempt)
    return spec.model_copy(update={"kind": "python", "target": target, "args": args, "sources": sources})


def _called(function: Callable[..., Any], spec: ModelSpec, shape: tuple[int, int, int], classes: int) -> nn.Module:
    """What a person's function or class gives for what of `channels`, `size` and `classes` it takes, and `model.args`."""
    values = {"channels": shape[0], "size": shape[1:], "classes": classes}
    what = spec.target or spec.kind
    try:
        signature = inspect.signature(function)
        named = {
            name: values[key] for key, names in SPELLINGS.items() for name in names if name in signature.parameters
        }
        open_ended = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
        if open_ended and not isinstance(function, type) and not named:
            named = values
        signature.bind(**(keywords := named | spec.args))
    except (TypeError, ValueError) as error:
        given = ", ".join(name for names in SPELLINGS.values() for name in names)
        raise FittingroomError.at(
            "model.target", f"{what} cannot be called: {error}; it is given what it takes of {given}, and model.args"
        ) from None
    try:
        body = function(**keywords)
    except FittingroomError:
        raise
    except Exception as error:  # it is a person's code
        raise FittingroomError.at("model.target", f"{what} failed: {where(error)}") from error
    if not isinstance(body, nn.Module):
        raise FittingroomError.at("model.target", f"{what} gave a {type(body).__name__}, not a torch.nn.Module")
    return body


def _check_output(model: nn.Module, spec: ModelSpec, shape: tuple[int, int, int], classes: int) -> None:
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            logits = model(torch.zeros(2, *shape))
    except FittingroomError:
        raise
    except Exception as error:
        c, h, w = shape
        if isinstance(error, MemoryError) or "allocate" in str(error):
            asked = re.search(r"allocate (\d+) bytes", str(error))
            much = f": one layer asks for {int(asked[1]) / 1e9:,.1f} GB" if asked else ""
            raise FittingroomError(
                f"model {spec.kind} on {c}×{h}×{w} images takes more memory than there is{much}; make it narrower, "
                "or the pictures smaller"
            ) from None
        raise FittingroomError(f"model {spec.kind} does not take {c}×{h}×{w} images: {where(error)}") from error
    finally:
        model.train(was_training)
    found = logits.shape[1:] if isinstance(logits, Tensor) else type(logits).__name__
    if found != (classes,):
        given = tuple(found) if isinstance(logits, Tensor) else found
        raise FittingroomError(f"model {spec.kind} gives {given} for an image; it must give ({classes},) logits")
