"""Rotation, scale and shear about the centre, in one bilinear resampling."""

from __future__ import annotations

import math
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor

from fittingroom.augment.registry import AUGMENTATIONS, uniform


@AUGMENTATIONS.register
def affine(
    images_NCHW: Tensor,
    targets_NK: Tensor,
    generator: Generator,
    *,
    degrees: Annotated[float, Field(ge=0, le=180)] = 0.0,
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    shear: Annotated[float, Field(ge=0, lt=90)] = 0.0,
) -> tuple[Tensor, Tensor]:
    """Turn by up to ±`degrees`, enlarge by a factor in 1 ± `scale`, shear horizontally by up to ±`shear` degrees.

    Bilinear, black outside. Each image draws its own numbers.
    """
    n = len(images_NCHW)
    angle_N = uniform(n, -degrees, degrees, generator) * (math.pi / 180)
    scale_N = uniform(n, 1 - scale, 1 + scale, generator)
    shear_N = torch.tan(uniform(n, -shear, shear, generator) * (math.pi / 180))
    return warp(images_NCHW, angle_N, scale_N, shear_N), targets_NK


def warp(images_NCHW: Tensor, angle_N: Tensor, scale_N: Tensor, shear_N: Tensor) -> Tensor:
    """Resample about the centre: out(p) = in(A⁻¹ p) with A = rotation · shear · scale, in pixels, so that a non-square
    image turns without distortion. Angles in radians (positive = counter-clockwise as seen), shear as a tangent."""
    _, _, height, width = images_NCHW.shape
    cos, sin = torch.cos(angle_N), torch.sin(angle_N)
    # A⁻¹ = scale⁻¹ · shear⁻¹ · rotation⁻¹, with y pointing down
    xx = (cos - shear_N * sin) / scale_N
    xy = (-sin - shear_N * cos) / scale_N
    yx, yy = sin / scale_N, cos / scale_N
    zero = torch.zeros_like(xx)
    theta_N23 = torch.stack(
        [torch.stack([xx, xy * height / width, zero], 1), torch.stack([yx * width / height, yy, zero], 1)], 1
    )
    grid = F.affine_grid(theta_N23, list(images_NCHW.shape), align_corners=False)
    return F.grid_sample(images_NCHW, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
