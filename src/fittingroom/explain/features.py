"""What a network makes of an image on its way: first-layer weights, maps of its layers, the last features."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from fittingroom.data.pixels import Pixels, at_once
from fittingroom.models.neighbours import last_dense
from fittingroom.training.predict import to_float, to_tensor

FILTERS = 64  # shown
MAPS = 16  # of each layer


def filters(model: nn.Module, shape: tuple[int, int, int]) -> tuple[str, np.ndarray]:
    """The first layer's weights as images: its name, and (F,C,h,w) float32. A dense layer's weights have the image's `shape`.

    At most `FILTERS`, those with the largest norms. (name "", nothing) if the first layer is of another kind.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            weights = module.weight.detach().cpu()
            if isinstance(module, nn.Linear):
                if module.in_features != int(np.prod(shape)):
                    break
                weights = weights.reshape(-1, *shape)
            strongest = weights.flatten(1).norm(dim=1).argsort(descending=True)[:FILTERS]
            return name.removeprefix("body."), weights[strongest].numpy()
    return "", np.zeros((0, 1, 1, 1), np.float32)


def mapping(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The layers that give maps (N,C,h,w), in the order in which they are defined: convolutions, and a transformer's patches."""
    kinds = nn.Conv2d | nn.Unflatten
    return [(name.removeprefix("body."), m) for name, m in model.named_modules() if isinstance(m, kinds)]


@torch.inference_mode()
def feature_maps(model: nn.Module, image_CHW: np.ndarray) -> dict[str, np.ndarray]:
    """What the first, the middle and the last layer with maps make of one uint8 image: name → (≤ `MAPS`, h, w) float32.

    The most active channels of each. Empty for a network without maps.
    """
    layers = mapping(model)
    wanted = dict.fromkeys((0, len(layers) // 2, len(layers) - 1)) if layers else {}
    found: dict[str, np.ndarray] = {}
    with _listening([layers[i] for i in wanted]) as heard:
        model(to_float(to_tensor(image_CHW[None])))
        for name, output in heard.items():
            maps = output[0].float()
            active = maps.flatten(1).std(1).argsort(descending=True)[:MAPS]
            found[name] = maps[active].numpy()
    return found


@torch.inference_mode()
def last_features(model: nn.Module, images_NCHW: Pixels) -> np.ndarray:
    """What the last dense layer is given (N,D) float32: the space in which the classes are told apart by planes.

    The flat images themselves if there is no dense layer but the input.
    """
    last = last_dense(model)
    if last is None:
        return np.asarray(images_NCHW[:].reshape(len(images_NCHW), -1).astype(np.float32) / 255)
    parts: list[Tensor] = []
    handle = last.register_forward_pre_hook(lambda module, inputs: parts.append(inputs[0].float()))
    try:
        batch = at_once(images_NCHW.shape[1:])
        for first in range(0, len(images_NCHW), batch):
            model(to_float(to_tensor(images_NCHW[first : first + batch])).contiguous(memory_format=torch.channels_last))
    finally:
        handle.remove()
    return torch.cat(parts).numpy()


class _listening:
    """Collects the outputs of named modules while it is entered."""

    def __init__(self, layers: list[tuple[str, nn.Module]]) -> None:
        self.layers = layers
        self.heard: dict[str, Tensor] = {}

    def __enter__(self) -> dict[str, Tensor]:
        self.handles = list(self._hooks())
        return self.heard

    def _hooks(self) -> Iterator[torch.utils.hooks.RemovableHandle]:
        for name, module in self.layers:
            yield module.register_forward_hook(lambda m, i, output, name=name: self.heard.__setitem__(name, output))

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()
