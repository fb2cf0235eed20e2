"""What nobody's machine can hold is refused in a sentence, before anything is built."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from PIL import Image

from fittingroom.data import Images
from fittingroom.data.outliers import outliers

Command = Callable[..., "CompletedProcess[str]"]
SMALL = ("data.limit=600", "train.epochs=1")
NESTED = """[model]
kind = "sequential"
layers = [{flatten = true}, {repeat = 1000, layers = [{repeat = 1000, layers = [{repeat = 1000, layers = [{dense = 8}]}]}]}]
[train]
epochs = 1
"""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("train.batch_size=9999999999999999999999",), "train.batch_size: 9999999999999999999999 must be ≤"),
        (("data.image_size=100000",), "image_size = 100000: at most 8,192 pixels a side"),
        (("data.image_size=8192",), "GB, and"),
        (("model.layers.0.kernel=1001",), "a 1001×1001 kernel with dilation 1 does not fit"),
        (
            ("model.layers.0.conv=1000000",),
            "298,103,850 parameters take 2.4 GB with their gradients, layer 0 (1000000×26×26) of",
        ),
        (
            ("model.layers.0.conv=1000000000000000", "model.layers.3.conv=1000000000000000"),
            "one of its layers is too large to be counted",
        ),
    ],
)
def test_numbers(words: tuple[str, ...], told: str, here: Command, tmp_path: Path) -> None:
    found = here("train", "readme-004-cnn", *words, *SMALL, "--runs", str(tmp_path / "runs"))
    assert found.returncode == 2 and told in found.stderr and "Traceback" not in found.stderr
    assert not list((tmp_path / "runs").glob("*/run.json"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (NESTED, "layers are 1,000,000,001, each as often as it is repeated; at most 5,000"),
        ("x=" + "[" * 5000 + "]" * 5000, "is nested too deep to be read"),
    ],
)
def test_recipes(text: str, told: str, here: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(text)
    found = here("train", str(tmp_path / "mine.toml"), *SMALL)
    assert found.returncode == 2 and told in found.stderr


def test_no_effect_is_not_a_number(here: Command) -> None:
    found = here("compare", "readme-004-mlp", "readme-004-cnn", "--effect", "nan", "--seeds", "1", *SMALL)
    assert found.returncode == 2 and "effect: got nan; give a difference above 0" in found.stderr


def test_an_archive_that_declares_more_than_it_holds(here: Command, tmp_path: Path) -> None:
    head = b"{'descr': '|u1', 'fortran_order': False, 'shape': (28000000000, 1000), }".ljust(117) + b"\n"
    with zipfile.ZipFile(tmp_path / "big.npz", "w") as archive:
        for name in ("images", "labels"):
            archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head)
    found = here("data", "show", str(tmp_path / "big.npz"))
    assert found.returncode == 2 and "28000000000×1000 of uint8, 28,000,000,000,000 bytes, and has 128" in found.stderr


def test_of_few_images_there_are_no_ten_others() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 1, 5, 5), np.uint8)
    images = Images(pixels, np.zeros(6, np.int64), ("a",))
    order_N, far_N = outliers(images)
    assert np.isfinite(far_N).all() and sorted(order_N) == list(range(6))
    assert np.isfinite(outliers(images.take(np.arange(2)), images.take(np.arange(2, 6)))[1]).all()


def test_pictures_of_one_pixel(here: Command, tmp_path: Path) -> None:
    """A dense network learns from them, a convolution says why it cannot."""
    for c in range(2):
        (tmp_path / "one" / f"{c}").mkdir(parents=True)
        for i in range(8):
            Image.new("L", (1, 1), 100 * c + 9 * i).save(tmp_path / "one" / f"{c}" / f"{i}.png")
    where = ("--data", str(tmp_path / "one"), "--home", str(tmp_path / "home"), "--runs", str(tmp_path / "runs"))
    found = here("train", "readme-004-cnn", "train.epochs=1", *where)
    assert found.returncode == 2 and "a 3×3 kernel with dilation 1 does not fit; 1×1×1" in found.stderr
    assert here("train", "readme-004-mlp", "train.epochs=1", *where).returncode == 0
