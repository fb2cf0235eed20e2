"""TrivialAugment: one change of each image, drawn from fourteen, of a strength that is drawn, too. Nothing to tune."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from fittingroom.augment.registry import AUGMENTATIONS

OPERATIONS = (
    "identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness", "color", "contrast",
    "sharpness", "posterize", "solarize", "autocontrast", "equalize",
)  # fmt: skip
LEVELS = 31  # strengths, 0 … 1
SHEAR, TRANSLATE, DEGREES = 0.99, 32 / 224, 135.0  # at full strength; translations as a share of the side
Of = Callable[[str], Tensor]  # which images are changed by this operation (N,) bool
GREY = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R 601), as Pillow has it


@AUGMENTATIONS.register
def trivial(images_NCHW: Tensor, targets_NK: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """TrivialAugment in its wide space (Müller & Hutter 2021, arXiv:2103.10158): one of fourteen changes of each image.

    Moved, turned and sheared images are resampled bilinearly, black outside.
    """
    n, device = len(images_NCHW), generator.device
    operation_N = torch.randint(len(OPERATIONS), (n,), generator=generator, device=device)
    strength_N = torch.randint(LEVELS, (n,), generator=generator, device=device) / (LEVELS - 1)
    sign_N = 2.0 * torch.randint(2, (n,), generator=generator, device=device) - 1
    return changed(images_NCHW, operation_N, strength_N, sign_N), targets_NK


def changed(images_NCHW: Tensor, operation_N: Tensor, strength_N: Tensor, sign_N: Tensor) -> Tensor:
    """Each image changed by its operation (a place in `OPERATIONS`) of this strength (0 … 1) and sign."""

    def of(name: str) -> Tensor:
        return operation_N == OPERATIONS.index(name)

    signed_N = strength_N * sign_N
    x = _moved(images_NCHW, of, signed_N)
    x = _blended(x, of, 1 + 0.99 * signed_N)
    steps_N = 2.0 ** torch.round(6 * strength_N)  # grey levels that become one: 8 bits to 2
    x = torch.where(_each(of("posterize")), torch.floor(x * 255 / _each(steps_N)) * _each(steps_N) / 255, x)
    x = torch.where(_each(of("solarize")) & (x >= _each(1 - strength_N)), 1 - x, x)
    x = torch.where(_each(of("autocontrast")), _stretched(x), x)
    return torch.where(_each(of("equalize")), _equalized(x), x)


def _each(value_N: Tensor) -> Tensor:
    return value_N[:, None, None, None]


def _moved(x: Tensor, of: Of, signed_N: Tensor) -> Tensor:
    zero, one = torch.zeros_like(signed_N), torch.ones_like(signed_N)
    _, _, height, width = x.shape
    angle_N = torch.where(of("rotate"), signed_N * math.radians(DEGREES), zero)
    cos, sin = torch.cos(angle_N), torch.sin(angle_N)
    shear_x, shear_y = (torch.where(of(f"shear_{axis}"), signed_N * SHEAR, zero) for axis in "xy")
    # a share of the side is half as much of the grid's −1 … 1
    move_x, move_y = (torch.where(of(f"translate_{axis}"), signed_N * 2 * TRANSLATE, zero) for axis in "xy")
    theta_N23 = torch.stack(
        [
            torch.stack([cos * one, (shear_x - sin) * height / width, move_x], 1),
            torch.stack([(shear_y + sin) * width / height, cos * one, move_y], 1),
        ],
        1,
    )
    grid = F.affine_grid(theta_N23, list(x.shape), align_corners=False)
    moved = F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    still = ~(of("rotate") | of("shear_x") | of("shear_y") | of("translate_x") | of("translate_y"))
    return torch.where(_each(still), x, moved)


def _blended(x: Tensor, of: Of, factor_N: Tensor) -> Tensor:
    """Nearer to or farther from black, from grey, from the mean grey, from a smoothed image: by a factor of the distance."""
    weights = torch.tensor(GREY, device=x.device) if x.shape[1] == 3 else torch.full((x.shape[1],), 1 / x.shape[1])
    grey = (x * weights.to(x.device)[None, :, None, None]).sum(1, keepdim=True)
    kernel = (torch.tensor([[1.0, 1, 1], [1, 5, 1], [1, 1, 1]], device=x.device) / 13).expand(x.shape[1], 1, 3, 3)
    smooth = x.clone()
    smooth[:, :, 1:-1, 1:-1] = F.conv2d(x, kernel, groups=x.shape[1])  # edges stay, as in Pillow
    ground = torch.where(_each(of("color")), grey, torch.zeros_like(x))
    ground = torch.where(_each(of("contrast")), grey.mean((2, 3), keepdim=True), ground)
    ground = torch.where(_each(of("sharpness")), smooth, ground)
    any_of = of("brightness") | of("color") | of("contrast") | of("sharpness")
    return torch.where(_each(any_of), (ground + (x - ground) * _each(factor_N)).clamp(0, 1), x)


def _stretched(x: Tensor) -> Tensor:
    """Each channel from black to white."""
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    return torch.where(high > low, (x - low) / (high - low).clamp(min=1e-6), x)


def _equalized(x: Tensor) -> Tensor:
    """Each channel with an even histogram, as Pillow makes it."""
    n, c, h, w = x.shape
    level = (x * 255).round().long().clamp(0, 255).reshape(n * c, h * w)
    counts = torch.zeros(n * c, 256, device=x.device).scatter_add_(
        1, level, torch.ones_like(level, dtype=torch.float32)
    )
    last = counts.gather(1, level.amax(1, keepdim=True))
    step = torch.floor((h * w - last) / 255)
    before = counts.cumsum(1) - counts
    table = torch.floor((before + torch.floor(step / 2)) / step.clamp(min=1)).clamp(0, 255) / 255
    even = table.gather(1, level).reshape(x.shape)
    return torch.where((step > 0).reshape(n, c, 1, 1), even, x)
