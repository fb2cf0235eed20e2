"""Corruptions: deterministic, worse with severity, true to slow or foreign implementations."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from fittingroom.augment.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from fittingroom.data import Images

KINDS = [
    "shift",
    "rotation",
    "scale",
    "noise",
    "blur",
    "contrast",
    "brightness",
    "occlusion",
    "inversion",
    "elastic",
    "jpeg",
]


@pytest.fixture
def pixels(few: tuple[Images, Images]) -> torch.Tensor:
    return torch.from_numpy(few[0].images_NCHW[:64].copy())


def test_all_eleven_are_there() -> None:
    assert list(CORRUPTIONS) == KINDS


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_same_images_suffer_the_same_and_more_with_severity(kind: str, channels: int, pixels: torch.Tensor) -> None:
    images = pixels.repeat(1, channels, 1, 1)
    harm = []
    for severity in SEVERITIES:
        once = corrupt(images, kind, severity)
        assert once.dtype == torch.uint8 and once.shape == images.shape
        assert torch.equal(once, corrupt(images, kind, severity))
        harm.append(float((once.float() - images.float()).square().mean()))
    assert all(a < b for a, b in itertools.pairwise(harm)) and harm[0] > 0
    if kind not in ("blur", "contrast", "brightness", "inversion", "jpeg"):
        assert not torch.equal(corrupt(images, kind, 3, first=0), corrupt(images, kind, 3, first=64))


def test_a_wide_image_keeps_its_shape() -> None:
    wide = torch.randint(0, 255, (3, 3, 20, 45), dtype=torch.uint8)
    for kind in KINDS:
        assert corrupt(wide, kind, 4).shape == wide.shape


@pytest.mark.parametrize("severity", SEVERITIES)
def test_jpeg_loses_what_pillows_jpeg_loses(severity: int, pixels: torch.Tensor) -> None:
    quality = (50, 30, 20, 10, 5)[severity - 1]
    ours = corrupt(pixels, "jpeg", severity).numpy()[:, 0].astype(float)
    theirs = np.zeros_like(ours)
    for i, image in enumerate(pixels.numpy()):
        file = io.BytesIO()
        Image.fromarray(image[0]).save(file, "JPEG", quality=quality)
        theirs[i] = np.asarray(Image.open(file))
    lost = np.abs(pixels.numpy()[:, 0] - theirs).mean()
    assert np.abs(ours - theirs).mean() < 0.15 * lost  # they round in integers


def test_blur_is_scipys(pixels: torch.Tensor) -> None:
    ours = corrupt(pixels, "blur", 3).numpy().astype(float)
    theirs = np.stack([gaussian_filter(p[0].astype(float), 1.0, mode="nearest", radius=3) for p in pixels.numpy()])
    assert np.abs(ours[:, 0] - theirs).max() <= 0.51


def test_exact_ones(pixels: torch.Tensor) -> None:
    assert torch.equal(corrupt(pixels, "inversion", 5), 255 - pixels)
    assert torch.equal(corrupt(pixels, "brightness", 2), (pixels.float() + 51).clamp(0, 255).to(torch.uint8))
    flat = torch.full((2, 1, 28, 28), 77, dtype=torch.uint8)
    assert torch.equal(corrupt(flat, "contrast", 5), flat)
    grey = corrupt(torch.zeros(50, 1, 28, 28, dtype=torch.uint8), "occlusion", 3)
    assert set(grey.unique().tolist()) == {0, 128} and (grey == 128).sum((1, 2, 3)).unique().tolist() == [11 * 11]
