"""Pictures that are arrays already: .npz files and pairs of IDX files."""

from __future__ import annotations

import gzip
import math
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, cast

import numpy as np

from fittingroom.data.idx import parse_idx
from fittingroom.data.own.listing import Listing, Picture, clean, shown
from fittingroom.spec.errors import FittingroomError

PARTS = {  # split → the names of images and labels that are in use: ours, MedMNIST's, Keras's
    "train": (("train_images", "train_labels"), ("x_train", "y_train")),
    "val": (("val_images", "val_labels"), ("x_val", "y_val")),
    "test": (("test_images", "test_labels"), ("x_test", "y_test")),
}
MOST_BYTES = 1 << 36  # of a compressed IDX file, unpacked


def list_npz(path: Path) -> Listing:
    """An .npz with `images` and `labels` (and `classes`), or with those of each split. Nothing is unpickled.

    Beside one pair, other arrays of one value an image are columns, which `data.group` can name.

    Images are (N,H,W), (N,H,W,C) or (N,C,H,W) with C = 1 or 3, of whole numbers 0 … 255, floats 0 … 1, or any others, which
    `data.range` brings to eight bits; labels are whole numbers from 0, one-hot rows, or names.
    """
    try:
        with path.open("rb") as raw:
            file = np.load(raw, allow_pickle=False)
            if isinstance(file, np.ndarray):
                raise ValueError("is one array (.npy)")
            _refuse_more_than_is_there(path)
            content = {key: file[key] for key in file}
    except ValueError as error:
        pickled = "holds Python objects, which are never unpickled" if "pickle" in str(error) else str(error)
        raise FittingroomError(
            f"{path} {pickled}; save plain arrays: np.savez({path.name!r}, images=…, labels=…)"
        ) from None
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise FittingroomError(f"{path} is not readable as an .npz: {error}") from None
    names = {"": ("images", "labels")} if "images" in content and "labels" in content else {}
    names = names or {
        split: pair for split, pairs in PARTS.items() for pair in pairs if all(key in content for key in pair)
    }
    if not names or (names.keys() not in ({""}, {"train"}) and "train" not in names):
        raise FittingroomError(f"{path} has no images and labels; it has: {shown(content)}")
    parts = {s: (content[images], content[labels]) for s, (images, labels) in names.items()}
    classes = tuple(clean(str(c)) for c in content["classes"].reshape(-1)) if "classes" in content else ()
    known = {"classes", *(key for pair in names.values() for key in pair)}
    columns = {
        clean(key): [clean(str(v)) for v in values.tolist()]
        for key, values in content.items()
        if key not in known and names.keys() == {""} and values.shape == (len(content["images"]),)
    }
    return replace(_listing(path, path.stem, parts, classes, [path]), columns=columns)


def _refuse_more_than_is_there(path: Path) -> None:
    """Raises `FittingroomError` for arrays that declare more than the file holds: they would be made room for at once."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as file:
                if not member.filename.endswith(".npy"):
                    continue
                major = np.lib.format.read_magic(file)[0]
                read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
                shape, _, kind = read(file)
            declared = math.prod(shape) * kind.itemsize
            if declared > member.file_size:
                raise FittingroomError(
                    f"{path}: {clean(member.filename)} says that it is {'×'.join(map(str, shape))} of {kind}, {declared:,} "
                    f"bytes, and has {member.file_size:,}; save it again: np.savez({path.name!r}, images=…, labels=…)"
                )


def idx_in_folder(folder: Path) -> bool:
    """Whether `folder` holds IDX files of images."""
    return bool(_idx_images(folder))


def list_idx(path: Path) -> Listing:
    """IDX files: one of images, with its labels beside it; or a folder of such pairs, `train-…` and `t10k-…`."""
    images = _idx_images(path) if path.is_dir() else [path]
    parts, files = {}, []
    for file in images:
        if "images" not in file.name:
            raise FittingroomError(f"{file} is no IDX file of images; give that one, its labels are found beside it")
        stem = file.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1")
        labels = next((p for p in (file.with_name(stem), file.with_name(stem + ".gz")) if p.is_file()), None)
        if labels is None:
            raise FittingroomError(f"{file} has no labels beside it; expected: {stem}")
        words = re.split(r"[-_.]", file.name.casefold())
        split = "test" if {"t10k", "test"} & {*words} else "val" if {"val", "validation"} & {*words} else "train"
        parts["" if len(images) == 1 else split] = (_idx(file), _idx(labels))
        files += [file, labels]
    if len(parts) < len(images) or ("" not in parts and "train" not in parts):
        raise FittingroomError(
            f"{path}: expected one pair for train and one for test; found {shown(f.name for f in images)}"
        )
    name = path.name if path.is_dir() else path.parent.name
    return _listing(path, name, parts, (), files)


def _listing(
    path: Path,
    name: str,
    parts: dict[str, tuple[np.ndarray, np.ndarray]],
    classes: tuple[str, ...],
    files: Sequence[Path],
) -> Listing:
    labels: list[str] = []
    splits: list[str] = []
    names: list[str] = []
    blocks = []
    for split, (images, given) in parts.items():
        values = given.reshape(-1) if given.ndim == 2 and given.shape[1] == 1 else given  # MedMNIST's (N,1)
        if values.ndim == 2 and len(values) == len(images):
            values = _of_one_hot(values, path)
        if values.ndim != 1 or len(images) != len(values):
            raise FittingroomError(f"{path}: {split or 'it'} has {images.shape} images and {values.shape} labels")
        blocks.append(_channels_last(images, path))
        labels += _names_of(values, classes, path)
        splits += [split] * len(values)
        names += [f"{split or 'image'} {i}" for i in range(len(values))]
    numbers = all(np.issubdtype(given.dtype, np.integer) or given.ndim == 2 for _, given in parts.values())
    if not classes and numbers and max(map(int, labels), default=0) < 1000:
        classes = tuple(str(i) for i in range(1 + max(map(int, labels), default=0)))
    return Listing(clean(name), labels, splits, names, partial(_rows, blocks, _as_bytes(blocks)), files, classes)


def _rows(blocks: Sequence[np.ndarray], convert: Callable[[np.ndarray], np.ndarray]) -> Iterator[Picture]:
    for images in blocks:
        for image in images:
            yield convert(image)


def _channels_last(images: np.ndarray, path: Path) -> np.ndarray:
    """Images as (N,H,W) or (N,H,W,C)."""
    if images.ndim == 4 and images.shape[3] not in (1, 3) and images.shape[1] in (1, 3):
        images = images.transpose(0, 2, 3, 1)
    if images.ndim not in (3, 4) or 0 in images.shape[1:] or (images.ndim == 4 and images.shape[3] not in (1, 3)):
        raise FittingroomError(
            f"{path}: images of shape {images.shape}; expected (N,H,W), (N,H,W,1 or 3) or (N,1 or 3,H,W)"
        )
    if images.dtype.kind not in "biuf" or not np.isfinite(images).all():
        raise FittingroomError(f"{path}: images of {images.dtype} with values that are no numbers; expected numbers")
    return images


def _as_bytes(blocks: Sequence[np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """What makes one of these images uint8, if all of them say how; others are brought to eight bits by `data.range`."""
    there = [block for block in blocks if block.size]
    low, high = min((float(b.min()) for b in there), default=0.0), max((float(b.max()) for b in there), default=0.0)
    if all(b.dtype == bool for b in blocks) or (all(b.dtype.kind == "f" for b in blocks) and low >= 0 and high <= 1):
        return lambda image: np.rint(image.astype(np.float32) * 255).astype(np.uint8)
    if all(b.dtype.kind in "biu" for b in blocks) and low >= 0 and high <= 255:
        return lambda image: image.astype(np.uint8)
    return lambda image: image.astype(np.float64)


def _of_one_hot(given_NK: np.ndarray, path: Path) -> np.ndarray:
    """The labels (N,) of one-hot rows. Raises `FittingroomError` for rows of several labels, or of other numbers."""
    found = f"{path}: labels of shape {given_NK.shape}"
    if given_NK.dtype.kind not in "biuf" or not np.isin(given_NK, (0, 1)).all():
        raise FittingroomError(
            f"{found} that are not 0 or 1; expected a whole number or a name an image, or one-hot rows"
        )
    several = int((given_NK.sum(1) != 1).sum())
    if several:
        raise FittingroomError(
            f"{found}, of which {several:,} have none or several labels: that is multi-label, which is not done here; train one "
            "column against the rest: labels=given[:, i]"
        )
    return np.asarray(given_NK.argmax(1), np.int64)


def _names_of(values: np.ndarray, classes: tuple[str, ...], path: Path) -> list[str]:
    if not np.issubdtype(values.dtype, np.integer):
        if values.dtype.kind == "f" and (np.rint(values) == values).all():
            return _names_of(values.astype(np.int64), classes, path)
        if values.dtype.kind == "f":
            raise FittingroomError(
                f"{path}: labels are numbers like {values[np.rint(values) != values][0]:g}: that is regression, which is not "
                "done here; cut them into classes: np.digitize(labels, bounds)"
            )
        if values.dtype.kind not in "US":
            raise FittingroomError(f"{path}: labels of {values.dtype}; expected whole numbers from 0, or names")
        named = [clean(v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v)) for v in values.tolist()]
        strange = sorted(set(named) - set(classes)) if classes else []
        if strange:
            raise FittingroomError(f"{path}: labels that are not among its classes: {shown(strange)}")
        return named
    most = len(classes) - 1 if classes else None
    if len(values) and (values.min() < 0 or (most is not None and values.max() > most)):
        found = f"labels from {values.min()} to {values.max()}"
        raise FittingroomError(f"{path}: {found}; expected 0 … {'K-1' if most is None else most}")
    return [classes[v] if classes else str(v) for v in values.tolist()]


# ---------------------------------------------------------------- IDX


def _idx_images(folder: Path) -> list[Path]:
    plain = sorted(p for p in folder.glob("*images*idx*ubyte*") if p.name.endswith(("ubyte", "ubyte.gz")))
    return [p for p in plain if not (p.suffix == ".gz" and p.with_suffix("") in plain)]


def _idx(file: Path) -> np.ndarray:
    try:
        with cast(IO[bytes], gzip.open(file) if file.suffix == ".gz" else file.open("rb")) as stream:
            payload = b"".join(iter(lambda: stream.read(1 << 20), b""))
    except (OSError, EOFError, zlib.error) as error:
        raise FittingroomError(f"cannot read {file}: {error}") from None
    return parse_idx(payload, str(file))
