"""Which pixels an answer rests on, by three methods of Captum, and how much it does: the deletion curve."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fittingroom.data.pixels import at_once
from fittingroom.explain.features import mapping
from fittingroom.spec.errors import need
from fittingroom.training.predict import predict, to_float, to_tensor

STEPS = 32  # of the path that integrated gradients follow
PATCH = 1 / 7  # of the smaller side: the square that occlusion slides over the image
DELETED = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)  # shares of pixels, of the deletion curve


def attributions(model: nn.Module, images_NCHW: np.ndarray, classes_N: np.ndarray) -> dict[str, np.ndarray]:
    """Method → maps (N,H,W) float32: how much each pixel speaks for the class. uint8 images.

    Grad-CAM (Selvaraju et al. 2017; only networks with maps, on the last ones), integrated gradients from black
    (Sundararajan et al. 2017), occlusion by grey squares (Zeiler & Fergus 2014). Raises `MissingExtra` without Captum.
    """
    attr = _captum()
    x, target = _tensor(images_NCHW), torch.from_numpy(np.asarray(classes_N))
    model.eval()
    found: dict[str, Tensor] = {}
    layers = mapping(model)
    if layers:
        cam, few = attr.LayerGradCam(model, layers[-1][1]), at_once(x.shape[1:])
        parts = [
            cam.attribute(some, target=classes, relu_attributions=True).detach().float()
            for some, classes in zip(x.split(few), target.split(few), strict=True)
        ]
        found["Grad-CAM"] = F.interpolate(torch.cat(parts), x.shape[2:], mode="bilinear", align_corners=False)
    found["integrated gradients"] = integrated_gradients(model, images_NCHW, classes_N)
    side = max(2, round(PATCH * min(x.shape[2:])))
    with torch.no_grad():
        found["occlusion"] = attr.Occlusion(model).attribute(
            x, sliding_window_shapes=(x.shape[1], side, side), strides=(x.shape[1], max(1, side // 2), max(1, side // 2)),
            baselines=0.5, target=target,
        )  # fmt: skip
    return {name: value.detach().sum(1).float().numpy() for name, value in found.items()}


def integrated_gradients(model: nn.Module, images_NCHW: np.ndarray, classes_N: np.ndarray) -> Tensor:
    """Integrated gradients of the class logits, from black (N,C,H,W)."""
    method = _captum().IntegratedGradients(model)
    x, target = _tensor(images_NCHW), torch.from_numpy(np.asarray(classes_N))
    few = at_once(x.shape[1:])  # of all the steps of all images
    parts = [
        method.attribute(some, baselines=0.0, target=classes, n_steps=STEPS, internal_batch_size=few).detach()
        for some, classes in zip(x.split(few), target.split(few), strict=True)
    ]
    return torch.cat(parts)


def deletion(model: nn.Module, images_NCHW: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
    """Mean probability of the predicted class when a share of the pixels (see `DELETED`) is blackened.

    "attributed": those first that integrated gradients rank highest; "random": in random order, the control. An answer
    that rests on few pixels, and an attribution that finds them, fall fast (Petsiuk et al. 2018, arXiv:1806.07421). Pixels
    that are black already are deleted last, for deleting them would delete nothing.
    """
    x = _tensor(images_NCHW)
    classes = torch.from_numpy(predict(model, images_NCHW).argmax(1))
    rank = integrated_gradients(model, images_NCHW, classes.numpy()).sum(1).flatten(1)
    chance = torch.rand(rank.shape, generator=torch.Generator().manual_seed(seed))
    dark = (x.sum(1).flatten(1) == 0).float()
    curves: dict[str, np.ndarray] = {"share": np.array(DELETED)}
    for name, score in {"attributed": rank, "random": chance}.items():
        order = (score - 1e6 * dark).argsort(1, descending=True)
        probabilities = []
        for share in DELETED:
            gone = order[:, : round(share * rank.shape[1])]
            kept = torch.ones_like(rank).scatter_(1, gone, 0.0).reshape(len(x), 1, *x.shape[2:])
            with torch.no_grad():
                p = torch.cat([model(some).softmax(1) for some in (x * kept).split(at_once(x.shape[1:]))])
            probabilities.append(float(p.gather(1, classes[:, None]).mean()))
        curves[name] = np.array(probabilities)
    return curves


def _tensor(images_NCHW: np.ndarray) -> Tensor:
    return to_float(to_tensor(images_NCHW)).contiguous(memory_format=torch.channels_last)


def _captum() -> Any:
    need("captum", "explain", "explain")
    import captum.attr

    return captum.attr
