"""Pictures from outside: what is in the right form stays, anything else comes near to what was trained on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from fittingroom.data import Dataset, load
from fittingroom.data.framing import Unreadable, _otsu, _plane, _quantile, frame
from fittingroom.spec.framing import Framing, Subject


@pytest.fixture(scope="module")
def mnist() -> Dataset:
    return load("mnist")


def enlarged(image_HW: np.ndarray, times: int = 10, margin: int = 60) -> np.ndarray:
    side = len(image_HW) * times
    out = np.zeros((side + 2 * margin, side + margin), np.uint8)  # not in the middle, and no square
    big = Image.fromarray(image_HW).resize((side, side), Image.Resampling.BICUBIC)
    out[margin : margin + side, margin : margin + side] = np.asarray(big)
    return out


def photo(page_HW: np.ndarray, seed: int) -> np.ndarray:
    """A page with a dark thing on it, lit from one side, with a camera's noise."""
    rng = np.random.default_rng(seed)
    paper, ink = rng.uniform(160, 210), rng.uniform(30, 70)
    y, x = np.mgrid[: len(page_HW), : page_HW.shape[1]] / max(page_HW.shape)
    light = 1 + 0.3 * (rng.uniform(-0.5, 0.5) * x + rng.uniform(-0.5, 0.5) * y)
    lit = (paper + (ink - paper) * page_HW / 255) * light + rng.normal(0, 4, page_HW.shape)
    return np.asarray(lit.clip(0, 255), np.uint8)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_what_has_the_right_form_stays_as_it_is(name: str) -> None:
    data = load(name)
    for image in data.train.images_NCHW[:300]:
        for mode in ("L", "RGB"):  # stored in colour or not
            assert np.array_equal(frame(Image.fromarray(image[0]).convert(mode), data.framing), image)


def test_photos_of_digits_become_what_they_were(mnist: Dataset) -> None:
    images = mnist.train.images_NCHW[:60, 0]
    rough = [np.abs(np.zeros_like(i, int) - i).mean() for i in images]
    for make in (lambda a, i: a, lambda a, i: 255 - a, photo):
        off = [
            np.abs(frame(Image.fromarray(make(enlarged(image), i)), mnist.framing)[0].astype(int) - image).mean()
            for i, image in enumerate(images)
        ]
        assert np.mean(off) < 9 and np.mean(off) < 0.3 * np.mean(rough)


def test_a_subject_lies_where_mnists_do(mnist: Dataset) -> None:
    for image in mnist.train.images_NCHW[:60, 0]:
        out = frame(Image.fromarray(enlarged(image)), mnist.framing)[0].astype(float)
        rows, columns = np.flatnonzero(out.any(1)), np.flatnonzero(out.any(0))
        assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20 and out.max() == 255
        centre = [(out.sum(1 - axis) * np.arange(28)).sum() / out.sum() for axis in (0, 1)]
        assert np.allclose(centre, 14, atol=0.51)


@settings(max_examples=60)
@given(
    arrays(np.uint8, st.tuples(st.integers(1, 60), st.integers(1, 60))),
    st.builds(Subject, box=st.sampled_from([0.3, 5 / 7, 1.0]), centre=st.sampled_from(["mass", "box"]), ink=st.booleans()),
    st.sampled_from([1, 3]),
)  # fmt: skip
def test_any_picture_is_framed_or_shows_nothing(grey: np.ndarray, subject: Subject, channels: int) -> None:
    framing = Framing(channels=channels, height=28, width=30, resize="pad", subject=subject)
    try:
        out = frame(Image.fromarray(grey), framing)
    except Unreadable as reason:
        assert "shows nothing" in str(reason)
        return
    assert out.shape == (channels, 28, 30) and out.dtype == np.uint8 and out.max() > 0
    assert np.array_equal(out, frame(Image.fromarray(grey).convert("RGB"), framing))


@pytest.mark.parametrize("shade", [0, 77, 255])
def test_an_empty_page_is_no_answer(mnist: Dataset, shade: int) -> None:
    with pytest.raises(Unreadable, match="shows nothing"):
        frame(Image.new("L", (90, 70), shade), mnist.framing)


def test_the_arithmetic_against_numpy() -> None:
    rng = np.random.default_rng(0)
    x, y, z = (rng.integers(-200, 200, 50) for _ in range(3))
    assert np.allclose(_plane(x, y, z), np.linalg.lstsq(np.stack([np.ones(50), x, y], 1), z, rcond=None)[0])
    values = rng.integers(0, 256, 999)
    counts = np.bincount(values, minlength=256)
    assert _quantile(counts, 0.5) == np.quantile(values, 0.5, method="inverted_cdf")
    within = [values[values <= t].var() * (values <= t).mean() + values[values > t].var() * (values > t).mean() for t in range(values.min(), values.max())]  # fmt: skip
    assert _otsu(counts) == values.min() + int(np.argmin(within))


def test_a_ground_of_two_shades_is_no_fault() -> None:
    """No pixel of the edge lies near the plane between them: there is no second plane, then."""
    board = np.where(np.indices((100, 100)).sum(0) % 2, 60, 130).astype(np.uint8)
    drawn = Framing(channels=1, height=28, width=28, resize="pad", subject=Subject(box=1.0, centre="box", ink=True))
    assert frame(Image.fromarray(board), drawn).shape == (1, 28, 28)
    with pytest.raises(Unreadable, match="nothing that stands out"):
        frame(Image.fromarray(board), drawn.model_copy(update={"subject": Subject(box=1.0, centre="box", ink=False)}))


def test_a_thin_picture_fills_no_memory() -> None:
    thread = Image.new("RGB", (1, 2_000_000))
    framing = Framing(channels=3, height=64, width=64, resize="stretch")
    with pytest.raises(Unreadable, match="too thin to be resized \\(1 × 2,000,000 pixels\\)"):
        frame(thread, framing)
    assert frame(Image.new("RGB", (1, 2_000)), framing).shape == (3, 64, 64)
