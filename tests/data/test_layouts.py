"""Folders, tables and arrays as people have them: used, or asked about, never turned into classes in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fittingroom.data import Dataset, load
from fittingroom.data.own import list_pictures
from fittingroom.data.own.listing import Listing
from fittingroom.data.own.tables import _label
from fittingroom.questions.train import train
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.read import read_recipe, read_shape
from fittingroom.store import Runs
from fittingroom.study.workplace import Workplace


def put(root: Path, *places: str, each: int = 6) -> Path:
    """Pictures of noise at each of these places."""
    rng = np.random.default_rng(len(places))
    for place in places:
        for i in range(each):
            path = root / place / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (12, 12), np.uint8)).save(path)
    return root


def found(listing: Listing) -> dict[tuple[str, str], int]:
    pairs = list(zip(listing.splits, listing.labels, strict=True))
    return {pair: pairs.count(pair) for pair in dict.fromkeys(pairs)}


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("training_set", "test_set"),
        ("Train", "Test"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("train_images", "test_images"),
        ("TrainData", "TestData"),
    ],
)
def test_splits_by_any_usual_name(train: str, test: str, tmp_path: Path) -> None:
    root = put(tmp_path / "set", f"{train}/cat", f"{train}/dog", f"{test}/cat", f"{test}/dog")
    assert found(list_pictures(root)) == {(s, c): 6 for s in ("train", "test") for c in ("cat", "dog")}


def test_classes_with_their_splits_inside(tmp_path: Path) -> None:
    root = put(tmp_path / "set", "cat/train", "cat/test", "dog/train", "dog/test")
    listing = list_pictures(root)
    assert found(listing) == {(s, c): 6 for c in ("cat", "dog") for s in ("test", "train")}
    assert any("splits inside" in remark for remark in listing.remarks)


def test_a_class_may_have_folders_of_any_name_inside(tmp_path: Path) -> None:
    root = put(tmp_path / "set", "cat/train", "cat/sofa", "dog/train")
    assert found(list_pictures(root)) == {("", "cat"): 12, ("", "dog"): 6}


@pytest.mark.parametrize(
    ("places", "words"),
    [
        (
            ("archive/cat", "archive/dog"),
            "one folder only, and inside it cat, dog, which look like the classes; give .*archive",
        ),
        (("fold_0/cat", "fold_0/dog", "fold_1/cat"), "fold_0, fold_1, which look like parts of a cross-validation"),
    ],
)
def test_what_is_no_class_is_asked_about(places: tuple[str, ...], words: str, tmp_path: Path) -> None:
    with pytest.raises(FittingroomError, match=words):
        list_pictures(put(tmp_path / "set", *places))


def test_paths_as_windows_writes_them(tmp_path: Path) -> None:
    root = put(tmp_path, "cat", "dog")
    lines = [rf"{label}\{i}.png,{label}" for label in ("cat", "dog") for i in range(6)]
    (root / "labels.csv").write_text("\n".join(["path,label", *lines]))
    assert all(path.is_file() for path in list_pictures(root / "labels.csv").pictures())  # type: ignore[union-attr]


def test_labels_of_tables() -> None:
    """-1 is a label like any other, but where Hugging Face names classes."""
    assert [_label(value, ()) for value in (-1, 1, 2.0, " cat ", None, float("nan"))] == ["-1", "1", "2", "cat", "", ""]
    assert [_label(value, ("cat", "dog")) for value in (-1, 0, 1)] == ["", "cat", "dog"]
    for value, words in (([1, 2], "multi-label"), (0.37, "regression")):
        with pytest.raises(FittingroomError, match=words):
            _label(value, ())


def test_one_hot_is_taken_and_a_picture_a_class_is_asked_about(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8), np.uint8)
    np.savez(tmp_path / "hot.npz", images=images, labels=np.eye(3)[np.arange(60) % 3])
    assert list_pictures(tmp_path / "hot.npz").in_order() == ("0", "1", "2")
    np.savez(tmp_path / "floats.npz", images=images, labels=(np.arange(60) % 3).astype(float))
    assert list_pictures(tmp_path / "floats.npz").in_order() == ("0", "1", "2")
    np.savez(tmp_path / "names.npz", images=images, labels=[f"img {i}" for i in range(60)])
    with pytest.raises(FittingroomError, match="each of 60 pictures has a label of its own"):
        load(str(tmp_path / "names.npz"), tmp_path / "home")


def test_a_picture_under_two_labels_is_told_by_name_and_never_tests(fashion: Dataset, tmp_path: Path) -> None:
    root = tmp_path / "set"
    for i in range(60):
        path = root / ("cat", "dog")[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(fashion.train.images_NCHW[i, 0].copy()).save(path)
    for i in (2, 4, 6, 8, 10, 12):  # cats, called dogs as well
        Image.fromarray(fashion.train.images_NCHW[i, 0].copy()).save(root / "dog" / f"again {i}.png")
    said: list[str] = []
    data = load(str(root), tmp_path / "home", said.append)
    [told] = [line for line in said if "under another label" in line]
    assert "12 pictures are there under another label" in told and "cat/2.png (cat)" in told
    torn = {fashion.train.images_NCHW[i].tobytes() for i in (2, 4, 6, 8, 10, 12)}
    test = data.test.unlock(lambda: None)
    assert not torn & {image.tobytes() for image in test.images_NCHW[:]} and len(test) >= 8


def test_pictures_of_other_kinds_and_without_a_suffix(fashion: Dataset, tmp_path: Path) -> None:
    kinds = {
        ".ppm": "PPM",
        ".pgm": "PPM",
        ".mpo": "JPEG",
        ".jp2": "JPEG2000",
        ".avif": "AVIF",
        "": "PNG",
        ".png": "PNG",
    }
    for i in range(70):
        suffix = list(kinds)[i % 7]
        path = tmp_path / "set" / "ab"[i % 2] / f"{i}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(fashion.train.images_NCHW[i, 0])
        (picture.convert("RGB") if suffix == ".ppm" else picture).save(path, kinds[suffix])
    (tmp_path / "set/a/README").write_text("no picture")
    data = load(str(tmp_path / "set"), tmp_path / "home", shape=read_shape(["data.channels=1"]))
    assert len(data.train) + data.test.n == 70 and not data.faults


def test_a_folder_of_nothing_readable_says_why(tmp_path: Path) -> None:
    for place in ("a/1.heic", "b/2.heic", "b/3.dcm"):
        (tmp_path / "set" / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / place).write_bytes(b"x")
    with pytest.raises(FittingroomError, match="that can be read") as told:
        load(str(tmp_path / "set"), tmp_path / "home")
    assert "a/1.heic: .heic is not read; convert it" in str(told.value) and "1 .dcm" in str(told.value)


def test_a_table_of_other_columns_without_suffixes_below_another_folder(tmp_path: Path) -> None:
    put(tmp_path / "set/train images", ".", each=12)
    lines = [f"{i},{i % 2},site {i % 3}" for i in range(12)]
    (tmp_path / "set/train.csv").write_text("\n".join(["id_code,diagnosis,site", *lines]))
    with pytest.raises(
        FittingroomError, match="no column for the picture; it has: id_code, diagnosis, site; say which: data.path="
    ):
        list_pictures(tmp_path / "set/train.csv")
    words = ["data.path=id_code", "data.label=diagnosis", 'data.images="train images"']
    listing = list_pictures(tmp_path / "set/train.csv", read_shape(words))
    assert found(listing) == {("", "0"): 6, ("", "1"): 6} and all(p.is_file() for p in listing.pictures())  # type: ignore[union-attr]
    assert set(listing.columns) == {"site"}
    for wrong, told in (
        ("data.path=idcode", 'unknown data.path "idcode"; nearest: "id_code"'),
        ("data.images=x", "there is no folder"),
    ):
        with pytest.raises(FittingroomError, match=told):
            list_pictures(tmp_path / "set/train.csv", read_shape([*words, wrong]))


def test_a_recipe_that_names_columns_trains_and_its_data_are_found_again(tmp_path: Path) -> None:
    put(tmp_path / "pictures", ".", each=40)
    (tmp_path / "t.csv").write_text("\n".join(["id,what", *(f"{i},{'ab'[i % 2]}" for i in range(40))]))
    words = ["data.path=id", "data.label=what", "data.images=pictures"]
    recipe = read_recipe(
        "readme-004-mlp", ["train.epochs=1", "train.precision=fp32", f"data.name={tmp_path / 't.csv'}", *words]
    )
    runs = Runs(tmp_path / "runs")
    run = train(recipe, Workplace(runs=runs, home=tmp_path / "home", device="cpu"))
    assert run.done and run.recipe.data.label == "what"
    assert train(recipe, Workplace(runs=runs, home=tmp_path / "home", device="cpu")).path == run.path
