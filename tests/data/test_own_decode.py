"""From a picture file to pixels: every format and mode against plain arithmetic; what cannot be read has a reason."""

from __future__ import annotations

import io
import os
import shutil
import struct
import subprocess
import threading
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageOps

from fittingroom.data import Dataset, load
from fittingroom.data.own.decode import FORMATS, MOST_PIXELS, Unreadable, decode, is_grey
from fittingroom.data.own.shape import Target
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import ShapeSpec

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (5, 7), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
ALPHA = RNG.integers(0, 256, (5, 7, 1), dtype=np.uint8)


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pixels(content: bytes | Path) -> np.ndarray:
    image = decode(content)
    assert image.mode == ("L" if np.asarray(image).ndim == 2 else "RGB")
    return np.asarray(image).astype(int)


def on_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.rint(255 + (colour.astype(float) - 255) * alpha / 255)


# ---------------------------------------------------------------- formats


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "TIFF"])
def test_grey_is_kept_to_the_bit(kind: str) -> None:
    found = pixels(saved(Image.fromarray(GREY), kind))
    assert np.array_equal(found if found.ndim == 2 else found[..., 0], GREY)
    assert is_grey(decode(saved(Image.fromarray(GREY), kind)))


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("WEBP", {"lossless": True})],
)
def test_colour_is_kept_to_the_bit(kind: str, options: dict[str, object]) -> None:
    assert np.array_equal(pixels(saved(Image.fromarray(COLOUR), kind, **options)), COLOUR)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_what_is_lossy_is_near(kind: str, fashion: Dataset) -> None:
    grey = fashion.train.images_NCHW[0, 0]
    found = decode(saved(Image.fromarray(grey).convert("RGB"), kind, quality=95))
    assert is_grey(found) and abs(np.asarray(found.convert("L")).astype(int) - grey).mean() < 3
    ramp = np.arange(0, 256, 8, dtype=np.uint8)
    colour = np.stack([*np.meshgrid(ramp, ramp), np.full((32, 32), 99, np.uint8)], axis=2)
    content = saved(Image.fromarray(colour), kind, quality=95)
    assert not is_grey(decode(content)) and abs(pixels(content) - colour).mean() < 4


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PNG", "WEBP"])
def test_the_first_of_several_frames(kind: str) -> None:
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "green", "blue")]
    content = saved(
        frames[0], kind, save_all=True, append_images=frames[1:], **({"lossless": True} if kind == "WEBP" else {})
    )
    assert Image.open(io.BytesIO(content)).n_frames == 3
    assert (pixels(content) == (255, 0, 0)).all()


# ---------------------------------------------------------------- modes


def test_a_palette() -> None:
    table, index = RNG.integers(0, 256, (9, 3), dtype=np.uint8), RNG.integers(0, 9, (5, 7), dtype=np.uint8)
    image = Image.fromarray(index, "L")
    image = Image.frombytes("P", image.size, index.tobytes())
    image.putpalette(table.tobytes())
    for kind in ("PNG", "GIF", "BMP", "TIFF"):
        assert np.array_equal(pixels(saved(image, kind)), table[index]), kind
    clear = RNG.integers(0, 256, 9, dtype=np.uint8)
    assert (
        abs(pixels(saved(image, transparency=clear.tobytes())) - on_white(table[index], clear[index][..., None])).max()
        <= 1
    )
    for kind in ("PNG", "GIF"):
        one = np.where((index == 4)[..., None], 255, table[index])
        assert np.array_equal(pixels(saved(image, kind, transparency=4)), one), kind


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_what_is_transparent_lies_on_white(kind: str) -> None:
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    found = pixels(saved(Image.fromarray(np.concatenate([COLOUR, ALPHA], 2)), kind, **options))
    assert abs(found - on_white(COLOUR, ALPHA)).max() <= 1
    if kind != "WEBP":
        found = pixels(saved(Image.fromarray(np.concatenate([GREY[..., None], ALPHA], 2), "LA"), kind))
        assert found.ndim == 2 and abs(found - on_white(GREY, ALPHA[..., 0])).max() <= 1


@pytest.mark.parametrize(
    ("image", "clear", "expected"),
    [
        (GREY, int(GREY[2, 3]), np.where(GREY[2, 3] == GREY, 255, GREY)),
        (COLOUR, tuple(COLOUR[2, 3].tolist()), np.where((COLOUR[2, 3] == COLOUR).all(2, keepdims=True), 255, COLOUR)),
        (GREY > 127, 0, np.full(GREY.shape, 255)),
        (GREY.astype(np.uint16) * 16, int(GREY[2, 3]) * 16, np.where(GREY[2, 3] == GREY, 255, GREY >> 4)),
    ],
    ids=["grey", "colour", "1 bit", "16 bits"],
)
def test_one_value_that_a_png_calls_transparent(
    image: np.ndarray, clear: int | tuple[int, ...], expected: np.ndarray
) -> None:
    assert np.array_equal(pixels(saved(Image.fromarray(image), transparency=clear)), expected)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "TIFF"])
def test_one_bit_is_black_and_white(kind: str) -> None:
    found = pixels(saved(Image.fromarray(GREY > 127), kind))
    assert np.array_equal(found if found.ndim == 2 else found[..., 0], np.where(GREY > 127, 255, 0))


@pytest.mark.parametrize(("kind", "dtype"), [("PNG", "<u2"), ("TIFF", "<u2"), ("TIFF", ">u2"), ("TIFF", "<i4")])
def test_sixteen_bits_keep_their_upper_eight(kind: str, dtype: str) -> None:
    deep = np.append(RNG.integers(0, 65536, 34), 65535).reshape(5, 7)
    assert np.array_equal(pixels(saved(Image.fromarray(deep.astype(dtype)), kind)), deep >> 8)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_ink_becomes_light(kind: str) -> None:
    ink = np.tile(np.array([[[200, 30, 0, 40]]], np.uint8), (16, 16, 1))
    found = pixels(saved(Image.fromarray(ink, "CMYK"), kind, **({"quality": 100} if kind == "JPEG" else {})))
    expected = (255 - ink[..., :3].astype(float)) * (255 - ink[..., 3:]) / 255
    assert abs(found - expected).max() <= (6 if kind == "JPEG" else 1)


TURNED: dict[int, Callable[[np.ndarray], np.ndarray]] = {  # what is stored → upright, by EXIF's definition
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", TURNED)
def test_pictures_are_turned_as_their_exif_says(kind: str, orientation: int) -> None:
    corners = np.array([[[250, 0, 0], [0, 250, 0], [0, 0, 250]], [[90, 90, 90], [0, 0, 0], [250, 250, 0]]], np.uint8)
    stored = corners.repeat(16, 0).repeat(16, 1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    found = pixels(saved(Image.fromarray(stored), kind, exif=exif, **options))
    expected = TURNED[orientation](stored)
    assert found.shape == expected.shape and abs(found - expected).mean() < 2


def test_a_turned_picture_with_a_transparent_palette() -> None:
    image = Image.frombytes("P", (2, 1), b"\x00\x01")
    image.putpalette([10, 20, 30, 40, 50, 60])
    exif = Image.Exif()
    exif[0x0112] = 6
    found = pixels(saved(image, transparency=1, exif=exif))
    assert found.tolist() == [[[10, 20, 30]], [[255, 255, 255]]]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_broken_exif_spoils_no_picture(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    content = saved(Image.new("RGB", (8, 6), "blue"), kind, exif=b"Exif\0\0neither of both byte orders", **options)
    assert decode(content).size == (8, 6)


@settings(max_examples=30)
@given(arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6), st.sampled_from([1, 3]))))
def test_arrays_are_pictures_as_they_are(array: np.ndarray) -> None:
    plain = array[..., 0] if array.shape[2] == 1 else array
    for picture in (array, np.asfortranarray(array), plain):
        assert np.array_equal(np.asarray(decode(picture)), plain)


# ---------------------------------------------------------------- what cannot be read


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


def bands(n: int) -> bytes:
    """A TIFF's entry of how many there are."""
    return struct.pack("<HHIHH", 277, 3, 1, n, 0)


NOISE = np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)
WHOLE = {kind: saved(Image.fromarray(NOISE), kind) for kind in FORMATS}
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(x) run showpage\n"
BAD = {
    "empty": (b"", "is no PNG"),
    "text": (b"just a text\n" * 9, "is no PNG"),
    "html": (b"<!DOCTYPE html><title>404</title>", "is no PNG"),
    "eps": (EPS, "is no PNG"),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "is no PNG"),
    "icon": (saved(Image.fromarray(NOISE), "ICO"), "is no PNG"),
    "huge": (png_that_claims(40_000, 40_000), f"has more than {MOST_PIXELS:,} pixels"),
    "too large": (png_that_claims(14_000, 14_000), f"more than {MOST_PIXELS:,}"),
    "nothing": (png_that_claims(0, 0), "cannot be decoded|is no PNG"),
    "floats": (saved(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), "of a kind that is not read .F."),
    "lab": (saved(Image.fromarray(NOISE).convert("RGB").convert("LAB"), "TIFF"), "of a kind that is not read .LAB."),
    "five bands": (saved(Image.fromarray(NOISE), "TIFF").replace(bands(3), bands(5)), "of five bands"),
    "deep": (saved(Image.fromarray(np.array([[-1, 70_000]], np.int32)), "TIFF"), "from -1 to 70000; 0 … 65535"),
    **{f"half a {kind}": (whole[: len(whole) // 2], "cannot be decoded|is no PNG|or damaged") for kind, whole in WHOLE.items()},
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_bad_files_have_a_reason(what: str, tmp_path: Path) -> None:
    content, words = BAD[what]
    (tmp_path / "x.png").write_bytes(content)
    for picture in (tmp_path / "x.png", content):
        with pytest.raises(Unreadable, match=words) as told:
            decode(picture)
        assert str(told.value).isprintable()


@pytest.mark.filterwarnings("ignore")  # `bring` mutes them
@settings(max_examples=150)
@given(st.sampled_from(sorted(WHOLE)), st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=6))
def test_a_damaged_picture_is_pixels_or_a_reason(kind: str, place: float, damage: bytes) -> None:
    whole = bytearray(WHOLE[kind])
    at = int(place * len(whole))
    whole[at : at + len(damage)] = damage
    try:
        assert decode(bytes(whole)).mode in ("L", "RGB")
    except Unreadable as told:
        assert str(told).isprintable()


def test_bad_files_are_left_out_by_name_and_the_others_are_as_without_them(tmp_path: Path) -> None:
    for i in range(20):
        place = tmp_path / "set" / "ab"[i % 2] / f"{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(saved(Image.fromarray(np.random.default_rng(i).integers(0, 256, (6, 6), dtype=np.uint8))))
    plain = load(str(tmp_path / "set"), tmp_path / "home")
    bad = [
        content for name, (content, _) in BAD.items() if name not in ("floats", "deep")
    ]  # which a range makes readable
    for number, content in enumerate(bad):
        (tmp_path / "set" / "a" / f"bad {number}.png").write_bytes(content)
    os.mkfifo(tmp_path / "set" / "a" / "pipe.png")  # whoever opens it waits for ever
    said: list[str] = []
    data = load(str(tmp_path / "set"), tmp_path / "home", said.append)
    assert data.digest == plain.digest and {where for where, _ in data.faults} >= {
        f"a/bad {i}.png" for i in range(len(bad))
    }
    assert any("pipe.png" in line or "passed over: 1 .png" in line for line in said)
    with pytest.raises(FittingroomError, match="bad 3.png: is no PNG"):
        load(str(tmp_path / "set"), tmp_path / "home", strict=True)


def test_a_pipe_in_a_table_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(Unreadable, match="no such file|no file"):
        decode(tmp_path / "pipe.png")


def test_what_may_not_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x.png"
    file.write_bytes(WHOLE["PNG"])
    file.chmod(0)
    if os.geteuid() == 0:  # who may read everything

        def refuse(*args: object, **options: object) -> None:
            raise PermissionError(13, "Permission denied", str(file))

        monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(Unreadable, match="Permission denied"):
        decode(file)


def test_no_program_is_started_for_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: started.append(a))
    monkeypatch.setattr(shutil, "which", lambda name, *a, **k: f"/bin/{name}")
    for content in (EPS, b"\xc5\xd0\xd3\xc6" + EPS):
        (tmp_path / "x.png").write_bytes(content)
        with pytest.raises(Unreadable, match="is no PNG"):
            decode(tmp_path / "x.png")
    assert not started


def test_decoding_in_threads_leaves_the_warnings_of_the_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """`catch_warnings` in two threads that overlap puts back what the other had set."""
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()
    plain = ImageOps.exif_transpose

    def slow(image: Image.Image, **options: object) -> Image.Image:
        if image.width == 1:
            first_in.set()
            second_in.wait(5)
        else:
            second_in.set()
            first_out.wait(5)
        return plain(image, **options)

    monkeypatch.setattr(ImageOps, "exif_transpose", slow)
    before = list(warnings.filters)

    def first() -> None:
        decode(np.zeros((1, 1), np.uint8))
        first_out.set()

    def second() -> None:
        first_in.wait(5)
        decode(np.zeros((2, 2), np.uint8))

    threads = [threading.Thread(target=work) for work in (first, second)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        after = list(warnings.filters)
    finally:
        warnings.filters[:] = before
        warnings._filters_mutated()  # type: ignore[attr-defined]
    assert after == before


# ---------------------------------------------------------------- one shape for all


def made_of(root: Path, sizes: list[tuple[int, ...]], **shape: object) -> tuple[Dataset, str]:
    """What noise of these sizes, ten pictures of each, is made into; and what is said."""
    for i, size in enumerate(sizes * 10):
        file = root / "set" / "ab"[i // len(sizes) % 2] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RNG.integers(0, 256, size, dtype=np.uint8)).save(file)
    said: list[str] = []
    return load(str(root / "set"), root / "home", said.append, shape=ShapeSpec(**shape)), "\n".join(said)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sizes", "expected"),  # (height, width) → (height, width), resize
    [
        ([(28, 28)], (28, 28, "stretch")),
        ([(20, 64)], (20, 64, "stretch")),
        ([(65, 65)], (64, 64, "stretch")),
        ([(150, 200), (200, 150)], (64, 64, "pad")),
        ([(50, 49), (40, 40), (50, 50)], (48, 48, "stretch")),
        ([(10, 10), (12, 30)], (28, 28, "pad")),
    ],
)
def test_the_shape_is_chosen_from_the_pictures(
    sizes: list[tuple[int, ...]], expected: tuple[int, int, str], tmp_path: Path
) -> None:
    data, said = made_of(tmp_path, sizes)
    assert data.train.shape == (1, *expected[:2]) and data.shape.resize == expected[2]
    assert ("data.image_size" in said) == (len(sizes) > 1 or max(sizes[0]) > 64)
    assert ("data.resize" in said) == (expected[2] == "pad")


def test_what_is_asked_for_is_not_chosen(tmp_path: Path) -> None:
    data, said = made_of(tmp_path, [(5, 7, 3)], image_size=(10, 24), channels=1, resize="crop")
    assert (data.train.shape, data.shape.resize) == ((1, 10, 24), "crop")
    assert "10 pictures with colour became grey" in said
    assert "data.image_size" not in said and "data.resize" not in said


def test_grey_stored_in_colour_becomes_one_channel_and_that_is_told(tmp_path: Path) -> None:
    grey = RNG.integers(0, 256, (12, 12), dtype=np.uint8)
    for i in range(10):
        for name, picture in (("a", np.repeat(grey[..., None], 3, 2)), ("b", grey)):
            (tmp_path / "set" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.roll(picture, i, axis=0)).save(tmp_path / "set" / name / f"{i}.png")
    data = load(str(tmp_path / "set"), tmp_path / "home")
    assert data.train.shape == (1, 12, 12) and any("stored in colour, but show only grey" in r for r in data.remarks)
    rolled = {np.roll(grey, i, axis=0).tobytes() for i in range(10)}
    assert {image.tobytes() for image in data.train.images_NCHW} <= rolled
    Image.fromarray(RNG.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(tmp_path / "set" / "a" / "colour.png")
    assert load(str(tmp_path / "set"), tmp_path / "home").train.shape == (3, 12, 12)


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 11, 7)])
def test_smaller_is_an_antialiased_mean_as_torch_makes_it(shape: tuple[int, int, int], fashion: Dataset) -> None:
    torch = pytest.importorskip("torch")
    grey = fashion.train.images_NCHW[5, 0]
    picture = grey if shape[0] == 1 else np.stack([grey, grey.T, 255 - grey], 2)
    found = Target(*shape, "stretch").fit(Image.fromarray(picture))
    whole = torch.from_numpy(picture.reshape(28, 28, -1).transpose(2, 0, 1)[None].astype(np.float32))
    smaller = torch.nn.functional.interpolate(whole, shape[1:], mode="bilinear", antialias=True)[0].numpy()
    assert found.shape == shape and found.dtype == np.uint8 and abs(found - smaller).max() <= 1.5


def test_padding_is_black_and_centred_and_cropping_takes_the_middle() -> None:
    wide = np.arange(8, dtype=np.uint8)[None].repeat(4, 0) * 10 + 9
    padded = Target(1, 8, 8, "pad").fit(Image.fromarray(wide))[0]
    assert np.array_equal(padded[2:6], wide) and not padded[:2].any() and not padded[6:].any()
    assert np.array_equal(Target(1, 4, 4, "crop").fit(Image.fromarray(wide))[0], wide[:, 2:6])
    assert np.array_equal(Target(3, 4, 8, "stretch").fit(Image.fromarray(wide)), wide[None].repeat(3, 0))


@settings(max_examples=40)
@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from(["pad", "crop", "stretch"]),
)
@example(1, 90, 28, 28, "pad")
def test_any_size_comes_to_any_size_and_none_is_swallowed_by_its_padding(
    h: int, w: int, height: int, width: int, resize: str
) -> None:
    found = Target(1, height, width, resize).fit(Image.new("L", (w, h), 200))  # type: ignore[arg-type]
    assert found.shape == (1, height, width) and found.max() == 200
    assert resize == "pad" or found.min() == 200
