"""What images suffer before they reach a classifier: eleven corruptions at five severities, batched and deterministic.

After Hendrycks & Dietterich 2019 (arXiv:1903.12261) and Mu & Gilmer's MNIST-C (2019, arXiv:1906.02337). Strengths are
relative to the image's size, so that 28 and 224 pixels suffer alike. Each takes images (N,C,H,W) float32 in 0 … 1, a
severity 1 … 5 and a CPU generator, and gives new images.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from fittingroom.augment.affine import warp
from fittingroom.augment.registry import uniform

SEVERITIES = (1, 2, 3, 4, 5)
Corruption = Callable[[Tensor, int, Generator], Tensor]
CORRUPTIONS: dict[str, Corruption] = {}


def corruption(function: Corruption) -> Corruption:
    """Register a corruption under its own name."""
    CORRUPTIONS[function.__name__] = function
    return function


def corrupt(images_NCHW: Tensor, kind: str, severity: int, first: int = 0) -> Tensor:
    """uint8 images (N,C,H,W) as `kind` at `severity` leaves them, as uint8 again: a camera's file has no fractions.

    The same images with the same `first` (the number of the first of them) always suffer the same.

    >>> corrupt(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), "inversion", 5).min().item()
    255
    """
    seed = 1000 * list(CORRUPTIONS).index(kind) + severity
    generator = torch.Generator().manual_seed(seed * 1_000_003 + first)
    out = CORRUPTIONS[kind](images_NCHW.float() / 255, severity, generator)
    return (out * 255).round().clamp(0, 255).to(torch.uint8)


def _sign(n: int, generator: Generator) -> Tensor:
    return torch.randint(0, 2, (n,), generator=generator) * 2.0 - 1


@corruption
def shift(images_NCHW: Tensor, severity: int, generator: Generator) -> Tensor:
    """Moved by 4, 8, 12, 16, 20 % of the size in any direction; black comes in."""
    n = len(images_NCHW)
    angle_N = uniform(n, 0, 2 * math.pi, generator)
    far = 0.04 * severity * 2  # grid_sample's coordinates go from -1 to 1
    theta_N23 = torch.eye(2, 3).repeat(n, 1, 1)
    theta_N23[:, 0, 2], theta_N23[:, 1, 2] = far * torch.cos(angle_N), far * torch.sin(angle_N)
    grid = F.affine_grid(theta_N23, list(images_NCHW.shape), align_corners=False)
    return F.grid_sample(images_NCHW, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


@corruption
def rotation(images_NCHW: Tensor, severity: int, generator: Generator) -> Tensor:
    """Turned by 8, 16, 24, 32, 40 degrees to either side."""
    n = len(images_NCHW)
    angle_N = math.radians(8 * severity) * _sign(n, generator)
    return warp(images_NCHW, angle_N, torch.ones(n), torch.zeros(n))


@corruption
def scale(images_NCHW: Tensor, severity: int, generator: Generator) -> Tensor:
    """Enlarged or shrunk by a factor of 1.1, 1.2, 1.35, 1.5, 1.75."""
    factor = (1.1, 1.2, 1.35, 1.5, 1.75)[severity - 1]
    n = len(images_NCHW)
    return warp(images_NCHW, torch.zeros(n), factor ** _sign(n, generator), torch.zeros(n))


@corruption
def noise(images_NCHW: Tensor, severity: int, generator: Generator) -> Tensor:
    """Gaussian noise with a standard deviation of 0.05, 0.1, 0.15, 0.2, 0.3 of full scale."""
    sd = (0.05, 0.1, 0.15, 0.2, 0.3)[severity - 1]
    return images_NCHW + sd * torch.randn(images_NCHW.shape, generator=generator)


@corruption
def blur(images_NCHW: Tensor, severity: int, generator: Generator) -> Tensor:
    """Gaussian blur with a standard deviation of 1.8, 2.7, 3.6, 5.4, 7.2 % of the width (0.5 … 2 pixels of 28)."""
    sigma = (0.5, 0.75, 1.0, 1.5, 2.0)[severity - 1] * images_NCHW.shape[3] / 28
    return _blurred(images_NCHW, sigma)


@corruption
def contrast(images_NCHW: Tensor, severity: int, generator: Generator) -> Tensor:
    """Differences from the image's mean reduced to 75, 50, 35, 25, 15 %."""
    kept = (0.75, 0.5, 0.35, 0.25, 0.15)[severity - 1]
    mean = images_NCHW.mean((1, 2, 3), keepdim=True)
    return mean + kept * (images_NCHW - mean)


@corruption
def brightness(images_NCHW: Tensor, severity: int, generator: Generator) -> Tensor:
    """Everything brighter by 0.1, 0.2, 0.3, 0.4, 0.5 of full scale, cut at white."""
    return images_NCHW + 0.1 * severity


@corruption
def occlusion(images_NCHW: Tensor, severity: int, generator: Generator) -> Tensor:
    """A grey square of 20, 30, 40, 50, 60 % of the smaller side, anywhere inside."""
    n, _, height, width = images_NCHW.shape
    side = round((0.1 + 0.1 * severity) * min(height, width))
    top_N = (torch.rand(n, generator=generator) * (height - side + 1)).long()
    left_N = (torch.rand(n, generator=generator) * (width - side + 1)).long()
    y, x = torch.arange(height)[None, :, None], torch.arange(width)[None, None, :]
    top, left = top_N[:, None, None], left_N[:, None, None]
    hidden = (y >= top) & (y < top + side) & (x >= left) & (x < left + side)
    return torch.where(hidden[:, None], 0.5, images_NCHW)


@corruption
def inversion(images_NCHW: Tensor, severity: int, generator: Generator) -> Tensor:
    """Mixed with its negative: 20, 40, 60, 80, 100 % of it. At 60 % the difference is faint and already the wrong way."""
    share = 0.2 * severity
    return (1 - share) * images_NCHW + share * (1 - images_NCHW)


@corruption
def elastic(images_NCHW: Tensor, severity: int, generator: Generator) -> Tensor:
    """Rubber: smooth displacements of 1.8, 3.6, 5.4, 7.1, 10.7 % of the width along each axis (0.5 … 3 pixels of 28, RMS)."""
    n, _, height, width = images_NCHW.shape
    amount = (0.5, 1.0, 1.5, 2.0, 3.0)[severity - 1] * width / 28
    field = _blurred(torch.randn(n, 2, height, width, generator=generator), sigma=4.0 * width / 28)
    field = field / field.square().mean((1, 2, 3), keepdim=True).sqrt() * amount
    still = F.affine_grid(torch.eye(2, 3).repeat(n, 1, 1), [n, 1, height, width], align_corners=False)
    moved = still + field.permute(0, 2, 3, 1) * torch.tensor([2 / width, 2 / height])
    return F.grid_sample(images_NCHW, moved, mode="bilinear", padding_mode="zeros", align_corners=False)


@corruption
def jpeg(images_NCHW: Tensor, severity: int, generator: Generator) -> Tensor:
    """What JPEG loses at quality 50, 30, 20, 10, 5: block cosine transform, rounding, and back; colour at full resolution."""
    quality = (50, 30, 20, 10, 5)[severity - 1]
    _, channels, height, width = images_NCHW.shape
    pixels = images_NCHW * 255
    planes = _to_ycc(pixels) if channels == 3 else pixels
    planes = F.pad(planes, (0, -width % 8, 0, -height % 8), mode="replicate") - 128
    blocks = planes.unfold(2, 8, 8).unfold(3, 8, 8)  # N, C, rows, columns, 8, 8
    steps = torch.stack([_steps(_LUMINANCE if c == 0 else _CHROMINANCE, quality) for c in range(channels)])
    dct = _cosines()
    kept = torch.round(dct @ blocks @ dct.T / steps[:, None, None]) * steps[:, None, None]
    back = (dct.T @ kept @ dct + 128).permute(0, 1, 2, 4, 3, 5).reshape(planes.shape)[:, :, :height, :width]
    return (_to_rgb(back) if channels == 3 else back) / 255


def _blurred(images_NCHW: Tensor, sigma: float) -> Tensor:
    radius = max(1, math.ceil(3 * sigma))
    x = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-(x**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    n, c, h, w = images_NCHW.shape
    flat = images_NCHW.reshape(n * c, 1, h, w)
    flat = F.conv2d(F.pad(flat, (radius, radius, 0, 0), mode="replicate"), kernel.view(1, 1, 1, -1))
    flat = F.conv2d(F.pad(flat, (0, 0, radius, radius), mode="replicate"), kernel.view(1, 1, -1, 1))
    return flat.reshape(n, c, h, w)


# ITU T.81 (JPEG), annex K: the tables that encoders use
_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
_CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99), (18, 21, 26, 66, 99, 99, 99, 99), (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99), *((99,) * 8,) * 4,
)  # fmt: skip


def _steps(table: tuple[tuple[int, ...], ...], quality: int) -> Tensor:
    factor = 5000 / quality if quality < 50 else 200 - 2 * quality
    return ((torch.tensor(table) * factor + 50) / 100).floor().clamp(1, 255)


def _cosines() -> Tensor:
    k = torch.arange(8, dtype=torch.float32)
    matrix = torch.cos((2 * k[None, :] + 1) * k[:, None] * math.pi / 16) / 2
    matrix[0] /= math.sqrt(2)
    return matrix


def _to_ycc(rgb: Tensor) -> Tensor:
    r, g, b = rgb.unbind(1)
    y = 0.299 * r + 0.587 * g + 0.114 * b
    return torch.stack([y, (b - y) / 1.772 + 128, (r - y) / 1.402 + 128], 1)


def _to_rgb(ycc: Tensor) -> Tensor:
    y, cb, cr = ycc[:, 0], ycc[:, 1] - 128, ycc[:, 2] - 128
    return torch.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], 1)
