"""Frozen first layers: what they give of a picture and of each of its views is computed once, and kept.

An optimisation and no other training: the same pictures in the same order, the same draws, the same step. It is done where the
first layers stay as they are (`model.freeze`) and the augmentation has few outcomes (none, mirror images).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fittingroom.augment import pipeline
from fittingroom.data import Images
from fittingroom.data.pixels import Pixels
from fittingroom.models import Classifier
from fittingroom.spec.recipe import Recipe
from fittingroom.store.kept import KeptArrays
from fittingroom.training.predict import predict, to_float, to_tensor
from fittingroom.training.start import frozen

MIRRORS = ("hflip", "vflip")  # augmentations with two outcomes; a view is numbered by which of them it has
BATCH = 32  # pictures at once, always as many: the last bits of an output can hang on that
SCORED = 250  # of which the rest is scored at once
MOST_BYTES = 1 << 30  # of kept outputs of one view; more is computed anew each time
VIEW = torch.tensor([[0.0, 1.0], [2.0, 3.0]])  # a picture whose first pixel tells the view


KEPT = KeptArrays()  # of this process; who knows a disk gives it a folder


class Trunk:
    """The first layers of a network, which stay as they are, and how many there are."""

    def __init__(self, model: Classifier, n: int, shape: tuple[int, ...], device: str) -> None:
        self.model, self.n, self.device = model, n, device
        self.layers = list(_flat(model.body))[:n]
        seen = hashlib.sha256(repr((shape, device, torch.__version__, [repr(layer) for layer in self.layers])).encode())
        for tensor in [model.mean, model.scale, *(t for layer in self.layers for t in layer.state_dict().values())]:
            seen.update(tensor.detach().cpu().numpy().tobytes())
        self.name = seen.hexdigest()[:32]

    def rest(self, model: nn.Module) -> nn.Sequential:
        """The layers of this network, or of a copy of it, that come after."""
        assert isinstance(model, Classifier)
        return nn.Sequential(*list(_flat(model.body))[self.n :])

    @torch.inference_mode()
    def through(self, images_NCHW: Tensor) -> Tensor:
        """What the layers give of images in 0 … 1."""
        for layer in self.layers:
            layer.eval()  # as they are at every step
        x = (images_NCHW.contiguous(memory_format=torch.channels_last) - self.model.mean) * self.model.scale
        for layer in self.layers:
            x = layer(x)
        return x

    def compute(self, pixels: Pixels, rows: np.ndarray, view: int) -> np.ndarray:
        """What the layers give of these pictures, mirrored as the view says, in float32."""
        axes = [axis for bit, axis in ((1, 3), (2, 2)) if view & bit]
        found = []
        for first in range(0, len(rows), BATCH):
            some = pixels[rows[first : first + BATCH]]
            whole = np.zeros((BATCH, *some.shape[1:]), np.uint8)
            whole[: len(some)] = some
            x = to_float(to_tensor(whole).to(self.device))
            found.append(self.through(x.flip(axes) if axes else x)[: len(some)].cpu().numpy())
        return np.concatenate(found)

    def knows(self, images: Images, view: int) -> bool:
        """Whether all that the layers give of these pictures is kept."""
        return KEPT.has(f"{self.name}-{view}", images.prints_N)

    def given(self, images: Images, views: Sequence[int] = (0,)) -> Tensor:
        """What the layers give of each view of each picture (V,N,…), on the device."""
        out: np.ndarray | None = None
        for i, view in enumerate(views):
            compute = partial(self.compute, images.images_NCHW, view=view)
            found = KEPT.of(f"{self.name}-{view}", images.prints_N, compute)
            if len(views) == 1:
                return torch.from_numpy(found[None]).to(self.device)
            out = np.empty((len(views), *found.shape), found.dtype) if out is None else out
            out[i] = found
        return torch.from_numpy(out).to(self.device)


def trunk_of(
    model: nn.Module, still: Sequence[nn.Module], shape: tuple[int, int, int], n: int, device: str
) -> Trunk | None:
    """The first layers of a network whose outputs for `n` pictures can be kept: None for none, or for more than fits."""
    if not still or not isinstance(model, Classifier):
        return None
    fixed, first, learned = {id(module) for module in still}, 0, False
    for layer in _flat(model.body):
        if not _stays(layer, fixed):
            break
        first, learned = first + 1, learned or any(True for _ in layer.parameters())
    if not learned or first == len(list(_flat(model.body))):
        return None
    trunk = Trunk(model, first, shape, device)
    one = trunk.through(torch.zeros(1, *shape, device=device))
    return trunk if one.nbytes * n <= MOST_BYTES else None


def views_of(recipe: Recipe) -> range | None:
    """The views that a recipe's augmentation makes of a picture, where they are few; None where they are endless."""
    if any(step.kind not in MIRRORS for step in recipe.augment):
        return None
    return range(4 if any(step.kind == "vflip" for step in recipe.augment) else 2 if recipe.augment else 1)


def view_of(recipe: Recipe, n: int, targets: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """The number (n,) of each picture's view, with the draws of the recipe's augmentation, and the targets."""
    proxies, targets = pipeline(recipe.augment)(VIEW.to(targets.device).expand(n, 1, 2, 2), targets, generator)
    return proxies[:, 0, 0, 0].long(), targets


@torch.inference_mode()
def predict_rest(rest: nn.Module, given: Tensor, rows: Tensor | None = None) -> np.ndarray:
    """Logits (N,K) of a network's last layers, from what its first ones gave of at least one picture (of these `rows`)."""
    was_training = rest.training
    rest.eval()
    parts = given.split(SCORED) if rows is None else (given[some] for some in rows.split(SCORED))
    logits = torch.cat([rest(part).float() for part in parts])
    rest.train(was_training)
    return logits.cpu().numpy()


class Predictor:
    """Logits by a recipe's trained network, which computes what its frozen layers give only where that is not known."""

    def __init__(self, recipe: Recipe, model: nn.Module, device: str = "cpu") -> None:
        self.model, self.device = model, device
        self.still = frozen(model, recipe.model) if recipe.model.freeze else []
        self.trunk: Trunk | None = None

    def __call__(self, images: Images) -> np.ndarray:
        """Logits (N,K) float32 of these images."""
        if self.still and len(images):
            self.trunk = self.trunk or trunk_of(self.model, self.still, images.shape, len(images), self.device)
            if self.trunk:
                return predict_rest(self.trunk.rest(self.model), self.trunk.given(images)[0])
        return predict(self.model, images, self.device)


def _flat(module: nn.Module) -> Iterator[nn.Module]:
    """The layers of a stack of stacks, in order."""
    if type(module) is nn.Sequential:
        for child in module:
            yield from _flat(child)
    else:
        yield module


def _stays(layer: nn.Module, fixed: set[int]) -> bool:
    """Whether a layer gives the same of the same picture at every step of a training: nothing in it learns or draws."""
    for module in layer.modules():
        ours = type(module).__module__.startswith(("torch.nn", "fittingroom.models"))
        draws = isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0
        learns = any(p.requires_grad for p in module.parameters(recurse=False))
        by_batch = isinstance(module, _BatchNorm) and id(module) not in fixed
        if not ours or draws or learns or by_batch:
            return False
    return True
