"""Images to logits, in float32 and evaluation mode, whatever the training used."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from fittingroom.data import Images
from fittingroom.data.pixels import Pixels, Rows, at_once, chunks
from fittingroom.spec.recipe import ScoreSpec


def to_tensor(images_NCHW: np.ndarray) -> Tensor:
    """The same memory as a tensor; a copy where NumPy says that it must not be written to (a file's bytes)."""
    return torch.from_numpy(np.require(images_NCHW, requirements=["C", "W"]))


def batches(pixels: Pixels, device: str) -> Callable[[Tensor], Tensor]:
    """A function from rows to a batch (n,C,H,W) uint8 on the device. All pixels move there now if they fit."""
    if isinstance(pixels, Rows):
        if not (device == "cuda" and pixels.nbytes < torch.cuda.mem_get_info()[0] / 2):
            return lambda rows: to_tensor(pixels[rows.cpu().numpy()]).to(device)
        resident = torch.cat([to_tensor(part).to(device) for part in chunks(pixels)])
    else:
        resident = to_tensor(pixels).to(device)
    return lambda rows: resident[rows]


def to_float(images_NCHW: Tensor) -> Tensor:
    """uint8 (0 … 255) to float32 (0 … 1)."""
    return images_NCHW.to(torch.float32) / 255


@torch.inference_mode()
def predict(
    model: nn.Module, images: Images | Pixels, device: str = "cpu", score: ScoreSpec | None = None
) -> np.ndarray:
    """Logits (N,K) float32 of uint8 images (N,C,H,W), averaged over the views of `score` if given.

    The model is put back into the mode (training or not) in which it came.

    >>> from fittingroom.models import build
    >>> from fittingroom.spec.recipe import ModelSpec
    >>> model = build(ModelSpec(kind="resnet20"), (1, 8, 8), 3)
    >>> predict(model, np.zeros((5, 1, 8, 8), np.uint8)).shape
    (5, 3)
    """
    pixels = images.images_NCHW if isinstance(images, Images) else images
    was_training = model.training
    model.eval()
    logits = torch.zeros((0, 0))
    batch = at_once(pixels.shape[1:])
    for first in range(0, len(pixels), batch):
        x = to_float(to_tensor(pixels[first : first + batch]).to(device)).contiguous(memory_format=torch.channels_last)
        views = [model(view) for view in _views(x, score.average if score else "none")]
        said = (sum(views[1:], views[0]) / len(views)).float()
        if not len(logits):  # all at once: small results between large freed batches would keep those from the system
            logits = torch.empty((len(pixels), said.shape[1]), device=device)
        logits[first : first + batch] = said
    model.train(was_training)
    return logits.cpu().numpy()


def _views(images_NCHW: Tensor, average: str) -> Iterator[Tensor]:
    """The picture itself, then mirrored and/or moved by one pixel in the four directions."""
    mirrored = [images_NCHW, images_NCHW.flip(3)] if "flip" in average else [images_NCHW]
    for view in mirrored:
        yield view
        if "shift" in average:
            padded = torch.nn.functional.pad(view, (1, 1, 1, 1))
            height, width = view.shape[2:]
            for dy, dx in ((0, 1), (2, 1), (1, 0), (1, 2)):
                yield padded[:, :, dy : dy + height, dx : dx + width]
