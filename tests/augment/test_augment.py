"""Each augmentation against a slow reference of its own, image by image, on real images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps
from scipy import ndimage
from sklearn.datasets import load_sample_image
from torch import Tensor

from fittingroom.augment import AUGMENTATIONS, pipeline
from fittingroom.augment.affine import warp
from fittingroom.augment.mix import _beta
from fittingroom.augment.shift import _gathered, _sliced
from fittingroom.augment.trivial import OPERATIONS, changed
from fittingroom.data import Images
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import AugmentSpec

N = 64


@pytest.fixture(scope="module")
def batch(fashion) -> tuple[Tensor, Tensor]:  # type: ignore[no-untyped-def]
    part: Images = fashion.train.take(np.arange(N))
    images = torch.from_numpy(part.images_NCHW.copy()).float() / 255
    return images, F.one_hot(torch.from_numpy(part.labels_N), 10).float()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def is_one_of(image: Tensor, options: list[Tensor]) -> int:
    return next((i for i, option in enumerate(options) if torch.equal(image, option)), -1)


@pytest.mark.parametrize("name", AUGMENTATIONS.functions)
def test_conformance(name: str, batch: tuple[Tensor, Tensor]) -> None:
    """Whatever is registered: same shapes, finite, in range, same seed same result, other seed other, input untouched."""
    images, targets = batch
    step = AUGMENTATIONS.bind(name, {"degrees": 10.0} if name == "affine" else {}, "augment.0")
    before = images.clone(), targets.clone()
    out, mixed = step(images, targets, generator(1))
    again, _ = step(images, targets, generator(1))
    other, _ = step(images, targets, generator(2))
    assert out.shape == images.shape and out.dtype == torch.float32 and mixed.shape == targets.shape
    assert torch.isfinite(out).all() and out.min() >= 0 and out.max() <= 1
    assert torch.equal(out, again) and not torch.equal(out, other)
    assert torch.equal(images, before[0]) and torch.equal(targets, before[1])
    assert torch.allclose(mixed.sum(1), torch.ones(N))
    assert not torch.equal(out, images)


@pytest.mark.parametrize(("name", "axis"), [("hflip", 2), ("vflip", 1)])
def test_flips(name: str, axis: int, batch: tuple[Tensor, Tensor]) -> None:
    images, targets = batch
    out, _ = AUGMENTATIONS.bind(name, {"p": 0.5}, "")(images, targets, generator())
    which = [
        is_one_of(out[i], [images[i], torch.from_numpy(np.flip(images[i].numpy(), axis).copy())]) for i in range(N)
    ]
    assert set(which) == {0, 1} and 0.2 < np.mean(which) < 0.8
    for p, expected in ((0.0, images), (1.0, images.flip(axis + 1))):
        assert torch.equal(AUGMENTATIONS.bind(name, {"p": p}, "")(images, targets, generator())[0], expected)


@pytest.mark.parametrize(("fill", "mode"), [("black", "constant"), ("reflect", "reflect"), ("edge", "edge")])
@pytest.mark.parametrize("pixels", [1, 3])
def test_shift_is_a_random_crop_of_the_padded_image(
    fill: str, mode: str, pixels: int, batch: tuple[Tensor, Tensor]
) -> None:
    images, targets = batch
    out, _ = AUGMENTATIONS.bind("shift", {"pixels": pixels, "fill": fill}, "")(images, targets, generator())
    seen = set()
    for i in range(N):
        padded = np.pad(images[i, 0].numpy(), pixels, mode=mode)  # type: ignore[call-overload]
        crops = [
            torch.from_numpy(padded[y : y + 28, x : x + 28].copy())
            for y in range(2 * pixels + 1)
            for x in range(2 * pixels + 1)
        ]
        found = is_one_of(out[i, 0], crops)
        assert found >= 0
        seen.add(found)
    assert len(seen) > 0.5 * min(N, (2 * pixels + 1) ** 2)


def test_both_ways_to_shift_cut_the_same() -> None:
    padded, (top, left) = torch.rand(40, 3, 12, 10), torch.randint(0, 5, (2, 40))
    assert torch.equal(_sliced(padded, top, left, (8, 6)), _gathered(padded, top, left, (8, 6)))


@settings(max_examples=20)
@given(st.floats(-3, 3), st.floats(0.6, 1.6), st.floats(-0.8, 0.8))
def test_warp_agrees_with_scipy(angle: float, scale: float, shear: float) -> None:
    """scipy's affine_transform, bilinear, black outside, on a non-square picture; edges apart, where the two differ."""
    rng = np.random.default_rng(0)
    picture = ndimage.gaussian_filter(rng.random((24, 32)), 2)
    picture[:4] = picture[-4:] = picture[:, :4] = picture[:, -4:] = 0
    ours = warp(*(torch.tensor(v, dtype=torch.float32) for v in (picture[None, None], [angle], [scale], [shear])))[0, 0]
    # y points down: out(p) = in(A⁻¹ p), A = rotation · shear · scale, in (x, y)
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    inverse = np.linalg.inv(rotation @ np.array([[1, shear], [0, 1]]) * scale)[::-1, ::-1]  # in (row, column)
    centre = (np.array(picture.shape) - 1) / 2
    slow = ndimage.affine_transform(picture, inverse, centre - inverse @ centre, order=1, mode="constant")
    assert np.abs(ours.numpy() - slow).max() < 2e-3


def test_affine_turns_within_its_range(batch: tuple[Tensor, Tensor]) -> None:
    images, targets = batch
    same, _ = AUGMENTATIONS.bind("affine", {}, "")(images, targets, generator())
    assert torch.allclose(same, images, atol=1e-5)
    quarter = warp(images, torch.full((N,), np.pi / 2), torch.ones(N), torch.zeros(N))
    assert torch.allclose(quarter, torch.rot90(images, 1, (2, 3)), atol=1e-4)  # counter-clockwise


def test_colour_against_a_loop(batch: tuple[Tensor, Tensor]) -> None:
    images, targets = batch
    out, _ = AUGMENTATIONS.bind("colour", {"brightness": 0.4, "contrast": 0.4}, "")(images, targets, generator(3))
    draws = generator(3)
    brightness = torch.rand(N, generator=draws) * 0.8 + 0.6
    contrast = torch.rand(N, generator=draws) * 0.8 + 0.6
    for i in range(N):
        lit = np.clip(images[i].numpy() * brightness[i].item(), 0, 1)
        slow = np.clip((lit - lit.mean()) * contrast[i].item() + lit.mean(), 0, 1)
        assert np.allclose(out[i].numpy(), slow, atol=1e-5)


def test_noise_has_the_deviation_it_says(batch: tuple[Tensor, Tensor]) -> None:
    grey = torch.full((N, 1, 28, 28), 0.5)
    out, _ = AUGMENTATIONS.bind("noise", {"sd": 0.1}, "")(grey, batch[1], generator())
    assert abs((out - grey).std().item() - 0.1) < 0.002 and abs((out - grey).mean().item()) < 0.002


def test_erase_blackens_one_square_and_nothing_else(batch: tuple[Tensor, Tensor]) -> None:
    white = torch.ones(N, 2, 20, 30)
    out, _ = AUGMENTATIONS.bind("erase", {"size": 6}, "")(white, batch[1], generator())
    full = 0
    for image in out.numpy():
        assert np.array_equal(image[0], image[1])
        rows, columns = np.nonzero(image[0] == 0)
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert len(rows) == height * width and height <= 6 and width <= 6  # one filled rectangle
        full += height == 6 and width == 6
    assert full > N / 3
    some, _ = AUGMENTATIONS.bind("erase", {"p": 0.3}, "")(white, batch[1], generator())
    assert 0.1 < (some.amin((1, 2, 3)) == 0).float().mean() < 0.6


def test_mixup_blends_images_and_targets_alike(batch: tuple[Tensor, Tensor]) -> None:
    images, targets = batch
    out, mixed = AUGMENTATIONS.bind("mixup", {"alpha": 1.0}, "")(images, targets, generator(5))
    for i in range(N):
        share = mixed[i, targets[i].argmax()].item()
        candidates = (
            [
                j
                for j in range(N)
                if np.allclose(out[i].numpy(), share * images[i].numpy() + (1 - share) * images[j].numpy(), atol=1e-5)
            ]
            if share < 1
            else [i]
        )
        other_share = mixed[i].sum() - share
        assert candidates or (torch.isclose(mixed[i].max(), torch.tensor(1.0)) and abs(other_share) < 1e-5)


def test_cutmix_pastes_a_rectangle_and_mixes_by_area(batch: tuple[Tensor, Tensor]) -> None:
    numbered = torch.arange(N).float().reshape(N, 1, 1, 1).expand(N, 1, 28, 28) / N
    identity = torch.eye(N)
    pasted = 0
    for seed in range(10):
        out, mixed = AUGMENTATIONS.bind("cutmix", {}, "")(numbered, identity, generator(seed))
        for i in range(N):
            own = (out[i] == numbered[i]).float().mean().item()
            assert abs(mixed[i, i].item() - own) < 1e-5
            values = out[i].unique()
            assert len(values) <= 2
            pasted += len(values) == 2
            if len(values) == 2:
                rows, columns = np.nonzero(out[i, 0].numpy() != numbered[i, 0].numpy())
                assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    assert pasted > N


@pytest.mark.parametrize("alpha", [0.2, 1.0, 2.0])
def test_the_mixing_ratio_is_beta_distributed(alpha: float) -> None:
    from scipy import stats

    draws = generator()
    values = [_beta(alpha, draws).item() for _ in range(1500)]
    assert stats.kstest(values, stats.beta(alpha, alpha).cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("kind", "params", "text"),
    [
        ("hflp", {}, 'unknown augmentation "hflp"; nearest: "hflip"'),
        ("shift", {"pixels": 0}, "pixels: 0 must be ≥ 1"),
        ("shift", {"pixel": 2}, 'pixel: no such key; nearest: "pixels"'),
        ("affine", {"degrees": "ten"}, "degrees: 'ten' must be a valid number"),
    ],
)
def test_mistakes(kind: str, params: dict[str, object], text: str) -> None:
    with pytest.raises(FittingroomError, match=text):
        pipeline([AugmentSpec(kind=kind, **params)])


PILLOW = {  # of a strength in 0 … 1 and a sign
    "brightness": lambda image, signed: ImageEnhance.Brightness(image).enhance(1 + 0.99 * signed),
    "color": lambda image, signed: ImageEnhance.Color(image).enhance(1 + 0.99 * signed),
    "contrast": lambda image, signed: ImageEnhance.Contrast(image).enhance(1 + 0.99 * signed),
    "sharpness": lambda image, signed: ImageEnhance.Sharpness(image).enhance(1 + 0.99 * signed),
    "posterize": lambda image, signed: ImageOps.posterize(image, 8 - round(6 * abs(signed))),
    "solarize": lambda image, signed: ImageOps.solarize(image, 255 * (1 - abs(signed))),
    "autocontrast": lambda image, signed: ImageOps.autocontrast(image),
    "equalize": lambda image, signed: ImageOps.equalize(image),
    "rotate": lambda image, signed: image.rotate(135 * signed, Image.Resampling.BILINEAR),
    "identity": lambda image, signed: image,
}  # fmt: skip


@pytest.mark.parametrize("strength", [0.5, 1.0])
@pytest.mark.parametrize("name", PILLOW)
def test_trivial_does_what_pillow_does(name: str, strength: float) -> None:
    photos = np.stack([np.asarray(load_sample_image(f"{name}.jpg"))[100:180, 200:300] for name in ("china", "flower")])
    images = torch.from_numpy(photos).permute(0, 3, 1, 2) / 255
    for sign in (-1.0, 1.0):
        made = changed(
            images, torch.full((2,), OPERATIONS.index(name)), torch.full((2,), strength), torch.full((2,), sign)
        )
        theirs = [np.asarray(PILLOW[name](Image.fromarray(photo), sign * strength)) for photo in photos]
        apart = np.abs(255 * made.permute(0, 2, 3, 1).numpy() - np.stack(theirs))
        assert apart.mean() < (2.5 if name == "rotate" else 1.0)  # which rounds the corners otherwise
        assert name == "rotate" or apart.max() <= 2.0


def test_trivial_moves_by_its_strength() -> None:
    spot = torch.zeros(2, 1, 224, 224)
    spot[:, :, 100:120, 100:120] = 1
    for name, axis in (("translate_x", 3), ("translate_y", 2)):
        made = changed(
            spot, torch.full((2,), OPERATIONS.index(name)), torch.tensor([1.0, 0.5]), torch.tensor([1.0, -1.0])
        )
        assert torch.allclose(made[0], spot[0].roll(-32, axis - 1), atol=1e-4)
        assert torch.allclose(made[1], spot[1].roll(16, axis - 1), atol=1e-4)
    sheared = changed(spot, torch.full((2,), OPERATIONS.index("shear_x")), torch.ones(2), torch.ones(2))
    assert torch.isclose(sheared.sum(), spot.sum(), rtol=0.02) and not torch.equal(sheared, spot)
