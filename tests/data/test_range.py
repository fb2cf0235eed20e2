"""More than eight bits: one range for the whole data set, said, kept, and applied to every later picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fittingroom.data import Dataset, load
from fittingroom.data.framing import read_framed
from fittingroom.spec.read import read_shape


def saved(root: Path, images: np.ndarray, suffix: str = ".png") -> Path:
    """A folder of two classes with these images as they are."""
    for i, image in enumerate(images):
        path = root / "ab"[i % 2] / f"{i}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return root


def held(data: Dataset) -> np.ndarray:
    """All values, sorted: where a picture went is another question."""
    every = np.concatenate([data.train.images_NCHW[:], data.test.unlock(lambda: None).images_NCHW[:]])[:, 0]
    return np.sort(every, axis=None)


@pytest.fixture(scope="module")
def garments(fashion: Dataset) -> np.ndarray:
    return fashion.train.images_NCHW[:40, 0]


@pytest.mark.parametrize(
    ("low", "high", "dtype", "suffix"),
    [
        (0, 4095, np.uint16, ".png"),  # twelve bits in sixteen: once 0 … 15
        (7, 168, np.uint16, ".png"),  # once 0, all of it
        (0, 1 << 24, np.int32, ".tiff"),  # once black
        (-1000, 3000, np.int32, ".tiff"),
        (-1.0, 1.0, np.float32, ".tiff"),
        (0.0, 1e-3, np.float32, ".tiff"),
    ],
)
def test_one_range_of_all_pictures(
    low: float, high: float, dtype: type, suffix: str, garments: np.ndarray, tmp_path: Path
) -> None:
    wide = garments / 255 * (high - low) + low
    wide = (np.rint(wide) if np.issubdtype(dtype, np.integer) else wide).astype(dtype)
    said: list[str] = []
    data = load(str(saved(tmp_path / "scans", wide, suffix)), tmp_path / "home", said.append)
    assert data.shape.range == pytest.approx((low, high)) == data.framing.range
    assert any("becomes black and" in line and "data.range" in line for line in said)
    tolerance = 255 / (high - low) if np.issubdtype(dtype, np.integer) else 1
    assert abs(held(data).astype(int) - held_as(garments)).max() <= max(1, tolerance)
    later = tmp_path / f"later{suffix}"
    Image.fromarray(wide[3]).save(later)
    assert abs(read_framed(later, data.framing)[0].astype(int) - garments[3]).max() <= max(1, tolerance)


def held_as(images: np.ndarray) -> np.ndarray:
    return np.sort(images, axis=None).astype(int)


def test_a_dim_picture_stays_dim_and_eight_bits_stay_as_they_are(garments: np.ndarray, tmp_path: Path) -> None:
    wide = garments.astype(np.uint16) * 16
    wide[5] //= 4
    data = load(str(saved(tmp_path / "scans", wide)), tmp_path / "home")
    Image.fromarray(wide[5]).save(tmp_path / "dim.png")
    assert read_framed(tmp_path / "dim.png", data.framing).max() <= 64
    Image.fromarray(garments[3]).save(tmp_path / "eight.png")
    assert np.array_equal(read_framed(tmp_path / "eight.png", data.framing)[0], garments[3])


def test_a_person_sets_another_range(garments: np.ndarray, tmp_path: Path) -> None:
    wide = garments.astype(np.uint16) * 16
    wide[0, 0, 0] = 65535  # a hot pixel
    root = saved(tmp_path / "scans", wide)
    by_itself = load(str(root), tmp_path / "home")
    told = load(str(root), tmp_path / "home", shape=read_shape(["data.range=[0,4080]"]))
    assert held(by_itself).max() == 255 and held(by_itself)[-2] < 20
    assert told.shape.range == (0.0, 4080.0) and told.digest != by_itself.digest
    assert np.median(held(told)[held(told) > 0]) == pytest.approx(np.median(garments[garments > 0]), abs=2)


@pytest.mark.parametrize("values", ["-1 … 1", "0 … 4095", "0 … 1", "0 … 255", "masks"])
def test_arrays_of_any_range(values: str, garments: np.ndarray, tmp_path: Path) -> None:
    images = {
        "-1 … 1": garments / 127.5 - 1, "0 … 4095": garments.astype(int) * 4095 // 255, "0 … 1": garments / 255,
        "0 … 255": garments, "masks": garments > 127,
    }[values]  # fmt: skip
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(40) % 2)
    data = load(str(tmp_path / "a.npz"), tmp_path / "home")
    wanted = held_as((garments > 127) * 255 if values == "masks" else garments)
    assert abs(held(data).astype(int) - wanted).max() <= 1
    assert (data.shape.range is None) == (values in ("0 … 1", "0 … 255", "masks"))
