"""Pictures of one's own: whatever layout they come in, the same pictures, labels and splits come out."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import sys
import tomllib
import tracemalloc
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import fittingroom
from fittingroom.data import Dataset, load
from fittingroom.data.own.listing import Listing, natural
from fittingroom.data.own.sources import list_pictures
from fittingroom.spec import errors
from fittingroom.spec.errors import FittingroomError

Parts = dict[str, tuple[np.ndarray, np.ndarray]]  # split → images (N,28,28), labels (N,)
NAMES = ("2 coats", "10 shirts", "bags")  # in natural order
Read = Callable[..., Dataset]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    return lambda path, *args, **options: load(str(path), tmp_path / "home", *args, **options)


@pytest.fixture(scope="module")
def parts(fashion: Dataset) -> Parts:
    """Real images: of each of three classes 6 to train on, 3 to validate, 4 to test."""
    rows = [np.flatnonzero(fashion.train.labels_N == c) for c in (4, 6, 8)]
    cut = {"train": slice(6), "val": slice(6, 9), "test": slice(9, 13)}
    return {
        split: (fashion.train.images_NCHW[np.concatenate([r[s] for r in rows]), 0], np.repeat(np.arange(3), len(rows[0][s])))
        for split, s in cut.items()
    }  # fmt: skip


def encoded(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def put(path: Path, image: np.ndarray) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(image))
    return path.name


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()


def found(data: Dataset) -> dict[str, list[tuple[str, bytes]]]:
    """What a data set holds: the class's name and the pixels of every picture, in no order."""
    held = {"train": data.train, "val": data.val, "test": data.test.unlock(lambda: None)}
    return {
        split: sorted((part.classes[c], i.tobytes()) for c, i in zip(part.labels_N, part.images_NCHW[:], strict=True))
        for split, part in held.items()
        if part is not None
    }


def true(parts: Parts, names: tuple[str, ...]) -> dict[str, list[tuple[str, bytes]]]:
    return {s: sorted((names[c], i.tobytes()) for c, i in zip(y, x, strict=True)) for s, (x, y) in parts.items()}


# ---------------------------------------------------------------- every layout gives the same


def in_folders(root: Path, parts: Parts, words: dict[str, str]) -> Path:
    for split, (images, labels) in parts.items():
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            put(root / words[split] / NAMES[label] / ("deeper" if i % 2 else "") / f"{i}.png", image)
    return root


def in_csv(root: Path, parts: Parts, name: str, delimiter: str) -> Path:
    root.mkdir()
    with (root / name).open("w", encoding="utf-8-sig", newline="") as file:
        table = csv.writer(file, delimiter=delimiter)
        table.writerow(["Label", "unused", "filename", "split"])
        for split, (images, labels) in parts.items():
            for i, (image, label) in enumerate(zip(images, labels, strict=True)):
                put(root / "pictures" / f"{split} {i}, raw.png", image)
                table.writerow([f"{NAMES[label]} ", "a\nb", f"pictures/{split} {i}, raw.png", split.upper()])
    return root / name


def hugging_face(images: np.ndarray, labels: np.ndarray, key: str = "image") -> pa.Table:
    """What `datasets` writes for features Image and ClassLabel."""
    features = {key: {"_type": "Image"}, "label": {"names": list(NAMES), "_type": "ClassLabel"}}
    table = pa.table(
        {key: [{"bytes": encoded(i), "path": None} for i in images], "label": pa.array(labels, pa.int64())}
    )
    return table.replace_schema_metadata({b"huggingface": json.dumps({"info": {"features": features}})})


def write(table: pa.Table, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=5)
    else:
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table, max_chunksize=5)
    return path


def in_hub_parquet(root: Path, parts: Parts) -> Path:
    for split, (images, labels) in parts.items():
        word = {"val": "validation"}.get(split, split)
        for shard in range(2):
            write(
                hugging_face(images[shard::2], labels[shard::2], "img"),
                root / "data" / f"{word}-0000{shard}-of-00002-3f.parquet",
            )
    (root / "README.md").write_text("---\nlicense: mit\n---\n")
    return root


def in_saved_arrow(root: Path, parts: Parts) -> Path:
    for split, (images, labels) in parts.items():
        write(hugging_face(images, labels), root / split / "data-00000-of-00001.arrow")
        write(pa.table({"indices": [0]}), root / split / "cache-1b2c.arrow")
        (root / split / "state.json").write_text("{}")
    (root / "dataset_dict.json").write_text(json.dumps({"splits": list(parts)}))
    return root


def in_parquet_of_paths(root: Path, parts: Parts) -> Path:
    rows = [
        {"path": put(root / f"{split}{i}.png", image), "label": NAMES[label], "split": split}
        for split, (images, labels) in parts.items()
        for i, (image, label) in enumerate(zip(images, labels, strict=True))
    ]
    return write(pa.Table.from_pylist(rows), root / "list.parquet")


def in_npz(root: Path, parts: Parts, images: str, labels: str, like: Callable[[np.ndarray], np.ndarray]) -> Path:
    root.mkdir()
    held = {}
    for split, (x, y) in parts.items():
        held |= {images.format(split): like(x), labels.format(split): y[:, None] if "images" in images else y}
    np.savez_compressed(root / "set.npz", **held)
    return root / "set.npz"


def in_idx(root: Path, parts: Parts, dot: str, suffix: str) -> Path:
    root.mkdir()
    for split, (images, labels) in parts.items():
        head = "t10k" if split == "test" else split
        for name, array in ((f"{head}-images{dot}idx3-ubyte", images), (f"{head}-labels{dot}idx1-ubyte", labels)):
            (root / (name + suffix)).write_bytes(gzip.compress(idx(array)) if suffix else idx(array))
    return root


LAYOUTS: dict[str, Callable[[Path, Parts], Path]] = {
    "folders": lambda r, p: in_folders(r, p, {"train": "train", "val": "val", "test": "test"}),
    "folders, other words": lambda r, p: in_folders(r, p, {"train": "Training", "val": "Dev", "test": "TESTING"}),
    "csv": lambda r, p: in_csv(r, p, "list.csv", ","),
    "csv of Excel": lambda r, p: in_csv(r, p, "list.CSV", ";"),
    "tsv": lambda r, p: in_csv(r, p, "list.tsv", "\t"),
    "parquet of the hub": in_hub_parquet,
    "arrow of save_to_disk": in_saved_arrow,
    "parquet of paths": in_parquet_of_paths,
    "npz, MedMNIST": lambda r, p: in_npz(r, p, "{}_images", "{}_labels", lambda x: x),
    "npz, Keras": lambda r, p: in_npz(r, p, "x_{}", "y_{}", lambda x: x.astype(np.int64)),
    "npz, channels last": lambda r, p: in_npz(r, p, "x_{}", "y_{}", lambda x: x[..., None]),
    "npz, channels first": lambda r, p: in_npz(r, p, "x_{}", "y_{}", lambda x: x[:, None]),
    "npz, floats": lambda r, p: in_npz(r, p, "x_{}", "y_{}", lambda x: (x / 255).astype(np.float32)),
    "idx": lambda r, p: in_idx(r, p, "-", ""),
    "idx, zipped": lambda r, p: in_idx(r, p, "-", ".gz"),
    "idx, Kaggle": lambda r, p: in_idx(r, p, ".", ""),
}


@pytest.mark.parametrize("splits", [("train", "test"), ("train", "val", "test")], ids="-".join)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same(
    layout: str, splits: tuple[str, ...], tmp_path: Path, parts: Parts, read: Read
) -> None:
    given = {split: parts[split] for split in splits}
    names = ("0", "1", "2") if layout.startswith(("npz", "idx")) else NAMES
    data = read(LAYOUTS[layout](tmp_path / "set", given), strict=True)
    assert data.classes == names and data.acquired.startswith("train and test as they came")
    assert found(data) == true(given, names)


def test_colour_survives_every_layout(tmp_path: Path, read: Read) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (30, 6, 5, 3), dtype=np.uint8), np.repeat([0, 1], 15)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        put(tmp_path / "folders" / f"{label}" / f"{i}.png", image)
    np.savez(tmp_path / "last.npz", images=images, labels=labels)
    np.savez(tmp_path / "first.npz", images=images.transpose(0, 3, 1, 2), labels=labels)
    write(hugging_face(images, labels), tmp_path / "inside.parquet")
    digests = set()
    for name in ("folders", "last.npz", "first.npz", "inside.parquet"):
        data = read(tmp_path / name)
        assert data.train.shape == (3, 6, 5)
        held = np.concatenate([data.train.images_NCHW, data.test.unlock(lambda: None).images_NCHW])
        assert sorted(i.tobytes() for i in held) == sorted(i.tobytes() for i in images.transpose(0, 3, 1, 2))
        digests.add(data.digest)
    assert len(digests) == 2, "the digest is of the content; only the Parquet names its classes differently"


@given(st.lists(st.from_regex("[a-c]{0,2}[0-9]{0,12}", fullmatch=True), max_size=8))
def test_natural_order_sorts_numbers_by_value_and_ties_for_the_same_only(names: list[str]) -> None:
    ordered = sorted(names, key=natural)
    numbers = [name for name in ordered if name.isdecimal()]
    assert [int(n) for n in numbers] == sorted(int(n) for n in numbers)
    assert len({repr(natural(name)) for name in names}) == len(set(names))


# ---------------------------------------------------------------- CSV


def some(folder: Path, n: int = 20, seed: int = 0) -> list[str]:
    """Names of `n` pictures of noise."""
    rng = np.random.default_rng(seed)
    return [put(folder / f"{i}.png", rng.integers(0, 256, (6, 6), dtype=np.uint8)) for i in range(n)]


def csv_of(folder: Path, *rows: str, head: str = "path,label", end: str = "\n") -> Path:
    """A CSV of ten pictures of "a", ten of "b", and `rows`."""
    names = some(folder)
    lines = [head, *(f"{name},{'ab'[i % 2]}" for i, name in enumerate(names)), *rows]
    (folder / "list.csv").write_bytes((end.join(lines) + end).encode())
    return folder / "list.csv"


label_text = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp")), min_size=1, max_size=12)


@settings(max_examples=40)
@given(st.lists(label_text.filter(str.strip), min_size=1, max_size=6), st.sampled_from(",;\t"))
def test_any_label_survives_a_csv(tmp_path_factory: pytest.TempPathFactory, labels: list[str], delimiter: str) -> None:
    file = tmp_path_factory.mktemp("csv") / "list.csv"
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out, delimiter=delimiter).writerows([["path", "label"], *(["x.png", label] for label in labels)])
    assert list(list_pictures(file).labels) == [unicodedata.normalize("NFC", label.strip()) for label in labels]


def test_a_csv_of_windows_and_absolute_paths(tmp_path: Path, read: Read) -> None:
    elsewhere = tmp_path / "elsewhere"
    some(elsewhere, 1, seed=1)
    data = read(csv_of(tmp_path / "set", f"{elsewhere}/0.png,a", end="\r\n"))
    assert len(data.train) + data.test.n == 21 and not data.faults


def test_rows_that_cannot_be_used_are_named_by_what_is_wrong(tmp_path: Path, read: Read) -> None:
    data = read(csv_of(tmp_path, "0.png,", "gone.png,a", ",b", "../escaped\x1b[31m.png,a", f"{'x' * 400}.png,b"))
    assert len(data.train) + data.test.n == 20
    assert ("line 22", "has no label") in data.faults and ("gone.png", "no such file") in data.faults
    assert len(data.faults) == 5 and all(line.isprintable() for fault in data.faults for line in fault)


def test_empty_lines_at_the_end_are_no_fault(tmp_path: Path, read: Read) -> None:
    assert not read(csv_of(tmp_path, "", "", ""), strict=True).faults


def test_a_label_may_be_a_number_of_any_length(tmp_path: Path, read: Read) -> None:
    assert read(csv_of(tmp_path, f"0.png,{'1' * 5000}")).classes == ("1" * 5000, "a", "b")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"name,kind\n1.png,a\n", "no column for the picture; it has: name, kind"),
        (b"path,kind\n1.png,a\n", "no column for the label"),
        (b"path,label\n", "no picture with a label"),
        (b"path,label\n1.png,\n2.png,\n", "has no label"),
        (b"path,label\n1.png,caf\xe9\n", "not UTF-8"),
        (b"path,label,split\n1.png,a,train\n2.png,b,holdout\n", "unknown split holdout"),
        (b"path,label,split\n1.png,a,train\n2.png,b,\n", "some rows have a split"),
        (b"path,label,split\n1.png,a,test\n2.png,b,val\n", "no train"),
        (b'path,label\n"1.png,a\n' + b"2.png,b\n" * 20_000, "list.csv"),  # a quote that is never closed
    ],
)  # fmt: skip
def test_a_csv_that_cannot_be_used_is_refused(content: bytes, words: str, tmp_path: Path, read: Read) -> None:
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(FittingroomError, match=words):
        read(tmp_path / "list.csv")


# ---------------------------------------------------------------- Parquet and Arrow (Hugging Face)


@pytest.fixture
def table(parts: Parts) -> pa.Table:
    """18 pictures with names for their three labels."""
    return hugging_face(*parts["train"])


def of(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    kept = table.drop([name]) if name in table.column_names else table
    return kept.append_column(name, values)


def test_more_rows_than_are_read_at_once(tmp_path: Path, read: Read) -> None:
    images = np.random.default_rng(0).integers(0, 256, (600, 4, 4), dtype=np.uint8)
    pq.write_table(hugging_face(images, np.arange(600) % 3), tmp_path / "many.parquet", row_group_size=270)
    data = read(tmp_path / "many.parquet")
    held = np.concatenate([data.train.images_NCHW, data.test.unlock(lambda: None).images_NCHW])
    assert sorted(i.tobytes() for i in held) == sorted(i.tobytes() for i in images)


def test_pictures_as_plain_bytes_and_as_paths_inside(tmp_path: Path, parts: Parts, read: Read) -> None:
    images, labels = parts["train"]
    names = [put(tmp_path / "set" / f"{i}.png", image) for i, image in enumerate(images)]
    plain = pa.table({"image": [encoded(i) for i in images], "label": [NAMES[c] for c in labels]})
    beside = pa.table({"image": [{"bytes": None, "path": n} for n in names], "label": [NAMES[c] for c in labels]})
    digests = {read(write(table, tmp_path / "set" / f"{i}.parquet")).digest for i, table in enumerate((plain, beside))}
    assert len(digests) == 1


def test_a_row_without_a_picture_is_told_by_its_place(tmp_path: Path, table: pa.Table, read: Read) -> None:
    rows = table.to_pylist()
    rows[3]["image"], rows[4]["image"]["bytes"], rows[5]["image"] = {"bytes": b"", "path": None}, b"not a picture", None
    broken = pa.Table.from_pylist(rows, table.schema)
    data = read(write(broken, tmp_path / "set.parquet"))
    assert [where for where, _ in data.faults] == [f"set.parquet row {i}" for i in (3, 4, 5)]
    assert len(data.train) + data.test.n == 15


@pytest.mark.parametrize("missing", [-1, None])
def test_withheld_labels_are_left_out(missing: int | None, tmp_path: Path, table: pa.Table, read: Read) -> None:
    labels = [missing if i % 6 == 0 else i % 3 for i in range(18)]
    data = read(write(of(table, "label", pa.array(labels)), tmp_path / "set.parquet"))
    assert len(data.train) + data.test.n == 15 and {reason for _, reason in data.faults} == {"has no label"}


@pytest.mark.parametrize("strange", [-2, 3])
def test_a_label_outside_the_named_classes_is_no_class(
    strange: int, tmp_path: Path, table: pa.Table, read: Read
) -> None:
    labels = [strange if i == 0 else i % 3 for i in range(18)]
    data = read(write(of(table, "label", pa.array(labels)), tmp_path / "set.parquet"))
    assert len(data.train) + data.test.n == 17 and [where for where, _ in data.faults] == ["set.parquet row 0"]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("split", pa.array(["train"] * 12 + ["test"] * 6).dictionary_encode()),
        ("split", pa.array([None] * 18, pa.string())),
        ("split", pa.nulls(18)),
    ],
    ids=["words", "null words", "nulls"],
)
def test_a_split_column(name: str, values: pa.Array, tmp_path: Path, table: pa.Table, read: Read) -> None:
    data = read(write(of(table, name, values), tmp_path / "set.parquet"))
    assert data.test.n == (6 if values.null_count == 0 else 3)


def test_a_column_of_numbered_folds_is_no_split(tmp_path: Path, table: pa.Table, read: Read) -> None:
    folds = pa.array([i % 5 for i in range(18)])
    with contextlib.suppress(FittingroomError):  # a refusal that says so is good, too
        assert read(write(of(table, "fold", folds), tmp_path / "set.parquet")).test.n == 3


def test_paths_that_pandas_keeps_as_a_category(tmp_path: Path, parts: Parts, read: Read) -> None:
    file = in_parquet_of_paths(tmp_path / "set", {"train": parts["train"]})
    whole = pq.read_table(file)
    category = pa.table({name: whole[name].combine_chunks().dictionary_encode() for name in ("path", "label")})
    assert len(read(write(category, file)).train) == 15


@pytest.mark.parametrize("unlabelled", ["test", "validation"])
def test_a_part_without_labels_does_not_spoil_the_rest(
    unlabelled: str, tmp_path: Path, table: pa.Table, read: Read
) -> None:
    write(table, tmp_path / "set" / "train-00000-of-00001.parquet")
    write(table.drop(["label"]), tmp_path / "set" / f"{unlabelled}-00000-of-00001.parquet")
    with contextlib.suppress(FittingroomError):  # refusing with a message is good, too
        data = read(tmp_path / "set")
        assert data.val is None and len(data.train) + data.test.n == 18


@pytest.mark.parametrize("layout", ["{c}/data.parquet", "{c}/train-00000-of-00001.parquet", "{c}/train/0.parquet"])
def test_several_data_sets_in_one_folder_are_never_mixed(
    layout: str, tmp_path: Path, table: pa.Table, read: Read
) -> None:
    for configuration in ("digits", "letters"):
        write(table, tmp_path / "set" / layout.format(c=configuration))
    with pytest.raises(FittingroomError, match="several data sets.*digits, letters"):
        read(tmp_path / "set")


def test_splits_in_the_names_of_the_hubs_arrow_cache(tmp_path: Path, parts: Parts, read: Read) -> None:
    for split, held in parts.items():
        write(
            hugging_face(*held), tmp_path / "set" / f"fashion_mnist-{ {'val': 'validation'}.get(split, split) }.arrow"
        )
    assert found(read(tmp_path / "set")) == true(parts, NAMES)


def test_the_hubs_snapshot_of_links_to_blobs(tmp_path: Path, parts: Parts, read: Read) -> None:
    (tmp_path / "snapshot").mkdir()
    for split, held in parts.items():
        blob = write(hugging_face(*held), tmp_path / "blobs" / f"{split}.parquet")
        (tmp_path / "snapshot" / f"{split}-00000-of-00001.parquet").symlink_to(blob)
    assert found(read(tmp_path / "snapshot")) == true(parts, NAMES)


def test_without_pyarrow_the_message_names_an_extra_that_exists(
    tmp_path: Path, table: pa.Table, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(table, tmp_path / "set.parquet")
    monkeypatch.setattr(errors, "find_spec", lambda name: None)
    with pytest.raises(errors.MissingExtra) as told:
        read(file)
    extra = str(told.value).split("fittingroom[")[1].split("]")[0]
    project = Path(fittingroom.__file__).parents[2] / "pyproject.toml"
    assert extra in tomllib.loads(project.read_text())["project"]["optional-dependencies"]


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_a_table_cut_off_anywhere_is_a_message(suffix: str, tmp_path: Path, table: pa.Table) -> None:
    file = write(table.slice(0, 2), tmp_path / f"set{suffix}")
    whole = file.read_bytes()
    for size in range(0, len(whole), 37):
        file.write_bytes(whole[:size])
        with contextlib.suppress(FittingroomError):
            assert len(list(list_pictures(file).pictures())) <= 2


# ---------------------------------------------------------------- npz


X = np.random.default_rng(0).integers(0, 256, (20, 5, 4), dtype=np.uint8)
Y = np.arange(20) % 2
NAMED = np.array(["cat", "dog"])[Y]


@pytest.mark.parametrize(
    ("content", "classes", "images"),
    [
        ({"images": X, "labels": Y}, ("0", "1"), X),
        ({"images": X > 127, "labels": Y}, ("0", "1"), np.where(X > 127, 255, 0)),
        ({"images": X.astype(">u2"), "labels": Y.astype(np.uint64)}, ("0", "1"), X),
        ({"images": (X / 255).astype(np.float16), "labels": Y}, ("0", "1"), X),
        ({"images": X, "labels": NAMED}, ("cat", "dog"), X),
        ({"images": X, "labels": NAMED.astype("S")}, ("cat", "dog"), X),
        ({"images": X, "labels": Y, "classes": np.array(["dog", "cat"])}, ("dog", "cat"), X),
        ({"images": X, "labels": NAMED, "classes": np.array(["dog", "eel", "cat"])}, ("dog", "eel", "cat"), X),
        ({"images": X, "labels": np.array(["007", "013"])[Y]}, ("007", "013"), X),
        ({"images": X, "labels": np.array(["٣", "٤"])[Y]}, ("٣", "٤"), X),
        ({"images": X, "labels": np.array([3, 5])[Y]}, ("0", "1", "2", "3", "4", "5"), X),
    ],
    ids=["numbers", "bits", "other byte order", "halves", "names", "bytes", "classes", "classes in an order of their own",
         "names of digits", "names of other digits", "gaps"],
)  # fmt: skip
def test_an_npz(
    content: dict[str, np.ndarray], classes: tuple[str, ...], images: np.ndarray, tmp_path: Path, read: Read
) -> None:
    np.savez(tmp_path / "set.npz", **content)
    data = read(tmp_path / "set.npz")
    assert data.classes == classes
    named = content["labels"].astype(str)
    if named[0].isascii() and named[0].isdecimal() and "classes" in content:
        named = content["classes"][content["labels"]]
    expected = sorted((str(name), i.astype(np.uint8).tobytes()) for name, i in zip(named, images, strict=True))
    assert sorted(picture for held in found(data).values() for picture in held) == expected


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"x": X, "y": Y}, "no images and labels; it has: x, y"),
        ({"x_test": X, "y_test": Y}, "no images and labels"),
        ({"images": X[..., None].repeat(4, 3), "labels": Y}, "expected .N,H,W."),
        ({"images": X[:, 0, 0], "labels": Y}, "expected .N,H,W."),
        ({"images": X[:, :0], "labels": Y}, "set.npz"),
        ({"images": np.where(X == 7, np.nan, X / 255), "labels": Y}, "values that are no numbers"),
        ({"images": X.astype(str), "labels": Y}, "expected numbers"),
        ({"images": X, "labels": Y / 2}, "labels are numbers like 0.5: that is regression"),
        ({"images": X, "labels": Y - 1}, "labels from -1 to 0"),
        ({"images": X, "labels": Y[:-1]}, "20, 5, 4. images and .19,. labels"),
        ({"images": X, "labels": np.ones((20, 2), int)}, "20 have none or several labels: that is multi-label"),
        ({"images": X, "labels": np.eye(2)[Y] / 3}, "that are not 0 or 1; expected"),
        ({"images": X, "labels": Y + 1, "classes": np.array(["a", "b"])}, "expected 0 … 1"),
        ({"images": X, "labels": NAMED, "classes": np.array(["a", "dog"])}, "not among its classes: cat"),
        ({"images": X, "labels": Y * 0}, "one class only"),
        ({"images": X[:0], "labels": Y[:0]}, "no picture with a label"),
        ({"images": np.array([{}] * 20), "labels": Y}, "never unpickled"),
    ],
)
def test_an_npz_that_cannot_be_used_is_refused(
    content: dict[str, np.ndarray], words: str, tmp_path: Path, read: Read
) -> None:
    np.savez(tmp_path / "set.npz", **content)
    with pytest.raises(FittingroomError, match=words):
        read(tmp_path / "set.npz")


def test_labels_that_are_ids_make_no_millions_of_classes(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", images=X, labels=np.array([20_001, 2_000_002])[Y])
    with contextlib.suppress(FittingroomError):
        assert len(list_pictures(tmp_path / "set.npz").in_order()) <= 1000


def test_files_that_are_called_npz_and_are_none(tmp_path: Path) -> None:
    np.save(tmp_path / "set.npy", X)
    np.savez(tmp_path / "whole.npz", images=X, labels=Y)
    whole = (tmp_path / "whole.npz").read_bytes()
    for content in (b"", b"hello", (tmp_path / "set.npy").read_bytes(), whole[:-100], whole[:300]):
        (tmp_path / "set.npz").write_bytes(content)
        with pytest.raises(FittingroomError, match="set.npz"):
            list_pictures(tmp_path / "set.npz")


def test_any_byte_of_an_npz_may_be_wrong(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "set.npz", images=X[:2, :2, :2], labels=Y[:2])
    whole = (tmp_path / "set.npz").read_bytes()
    for place in range(len(whole)):
        (tmp_path / "set.npz").write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        with contextlib.suppress(FittingroomError):
            assert isinstance(list_pictures(tmp_path / "set.npz"), Listing)


# ---------------------------------------------------------------- IDX


def pair(folder: Path, head: str = "train", images: np.ndarray = X, labels: np.ndarray = Y) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / f"{head}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))
    (folder / f"{head}-images-idx3-ubyte").write_bytes(idx(images))
    return folder / f"{head}-images-idx3-ubyte"


def test_one_pair_of_idx_files_has_its_test_set_carved(tmp_path: Path, read: Read) -> None:
    file = pair(tmp_path / "set")
    for path in (file, file.parent):
        data = read(path)
        assert (len(data.train), data.test.n, data.name) == (16, 4, "set") and "carved" in data.acquired


def test_idx_files_take_memory_in_proportion_to_their_size(tmp_path: Path) -> None:
    file = pair(tmp_path / "set")
    tracemalloc.start()
    try:
        list_pictures(file)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_idx_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    def refused(path: Path, words: str) -> None:
        with pytest.raises(FittingroomError, match=words):
            list_pictures(path)

    file = pair(tmp_path / "set")
    labels = file.with_name("train-labels-idx1-ubyte.gz")
    refused(labels, "no IDX file of images")
    labels.write_bytes(labels.read_bytes()[:-9])
    refused(file, "cannot read .*labels")
    labels.write_bytes(gzip.compress(idx(Y[:7])))
    refused(file.parent, r"20, 5, 4. images and .7,. labels")
    labels.unlink()
    refused(file, "no labels beside it; expected: train-labels-idx1-ubyte")
    file.write_bytes(file.read_bytes()[:-1])
    labels.write_bytes(gzip.compress(idx(Y)))
    refused(file, "cut off")
    file.write_bytes(bytes([0, 0, 8, 3, 0, 0]))
    refused(file, "cut off")
    file.write_bytes(bytes([0, 0, 8, 4]) + np.full(4, 65_536, ">u4").tobytes())  # 2 ** 64 values: no int64 holds that
    refused(file, "cut off")
    pair(tmp_path / "set")
    pair(tmp_path / "set", "other-train")
    refused(file.parent, "one pair for train and one for test")
    pair(tmp_path / "only", "t10k")
    pair(tmp_path / "only", "val")
    refused(tmp_path / "only", "one pair for train and one for test")


# ---------------------------------------------------------------- whatever else


@pytest.mark.parametrize(
    "name", ["a.csv", "a.npz", "a.parquet", "a.arrow", "train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"]
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_any_bytes_are_a_listing_or_a_message(name: str, tmp_path: Path) -> None:
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(Y))
    heads = st.sampled_from(
        [b"", b"PK\x03\x04", b"PAR1", b"\x93NUMPY\x01\x00", b"\x1f\x8b\x08", b"path,label\n", b"\x00\x00\x08\x03"]
    )

    @settings(max_examples=40)
    @given(heads, st.binary(max_size=80))
    def check(head: bytes, content: bytes) -> None:
        (tmp_path / name).write_bytes(head + content)
        with contextlib.suppress(FittingroomError):
            assert isinstance(list_pictures(tmp_path / name), Listing)

    check()


@pytest.mark.parametrize("name", ["set.zip", "set.tar.gz", "set.TGZ", "set.7z", "set.rar", "set.tar.zst"])
def test_archives_are_refused(name: str, tmp_path: Path, read: Read) -> None:
    (tmp_path / name).write_bytes(b"whatever")
    with pytest.raises(FittingroomError, match="unpack it and give the folder"):
        read(tmp_path / name)


@pytest.mark.parametrize("name", ["gone/set", "gone.csv", "set.txt", "broken", "x" * 300, "nul\0byte.csv"])
def test_paths_of_nothing_that_is_accepted_are_refused(name: str, tmp_path: Path, read: Read) -> None:
    (tmp_path / "set.txt").write_text("1.png a\n")
    (tmp_path / "broken").symlink_to("gone")
    with pytest.raises(FittingroomError, match=r"there is nothing at|none of what is accepted"):
        read(tmp_path / name)


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no UTF-8")
@pytest.mark.parametrize(
    "layout", ["folders", "csv", "npz, Keras", "idx", "parquet of the hub", "arrow of save_to_disk"]
)
def test_a_source_in_a_folder_whose_name_is_no_utf8(layout: str, tmp_path: Path, parts: Parts, read: Read) -> None:
    file = LAYOUTS[layout](tmp_path / "plain", parts).relative_to(tmp_path / "plain")
    latin = (tmp_path / "plain").rename(tmp_path / "caf\udce9")
    with (
        contextlib.nullcontext()
        if layout.startswith(("folders", "csv", "npz", "idx"))
        else contextlib.suppress(FittingroomError)
    ):
        data = read(latin / file)
        assert found(data).keys() == parts.keys() and data.name.isprintable()
