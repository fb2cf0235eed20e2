"""What belongs together: named by a column, folders or a pattern; pointed out where nobody named it; never divided."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from patients import EACH, PATIENTS, patients
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fittingroom.data import Dataset, fold_numbers, load, not_test, prepare
from fittingroom.data.duplicates import groups
from fittingroom.data.own.grouping import group_names, suspected
from fittingroom.data.own.listing import Listing
from fittingroom.data.strata import deal_groups, draw_groups, some_groups
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.read import read_shape
from fittingroom.spec.recipe import DataSpec


def listed(names: list[str], columns: dict[str, list[str]] | None = None) -> Listing:
    labels = [name.split("/")[-2] if name.count("/") == 1 else name.split("/")[0] for name in names]
    return Listing("things", labels, [""] * len(names), names, lambda: iter([]), [], columns=columns or {})


def of_file(fashion: Dataset, root: Path) -> Path:
    return patients(fashion, root / "scans", lambda p, i, label: f"{label}/p{p:02}_img{i}.png")


@given(st.integers(0, 1000), st.floats(0.05, 0.6), st.integers(4, 40), st.integers(2, 5))
def test_groups_are_drawn_whole_and_every_class_as_asked(seed: int, fraction: float, g: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    group_N = np.repeat(np.arange(g), rng.integers(1, 9, g))
    labels_N = rng.integers(0, k, g)[group_N]  # as patients are: each of one class
    drawn = draw_groups(labels_N, k, fraction, np.random.default_rng(seed), group_N)
    assert np.array_equal(drawn, draw_groups(labels_N, k, fraction, np.random.default_rng(seed), group_N))
    assert all(len(set(drawn[group_N == one])) == 1 for one in range(g))
    groups_of = {label: set(group_N[labels_N == label]) for label in np.unique(labels_N)}
    assert drawn.any() == any(len(own) > 1 for own in groups_of.values())
    assert set(labels_N[~drawn]) == set(labels_N)  # what is never trained is never predicted
    largest = np.bincount(group_N).max()
    for label in np.unique(labels_N):
        mine = labels_N == label
        assert abs(drawn[mine].sum() - fraction * mine.sum()) <= largest
    fold_N = deal_groups(labels_N, 3, np.random.default_rng(seed), group_N)
    assert all(len(set(fold_N[group_N == one])) == 1 for one in range(g))
    for label in np.unique(labels_N):
        sizes = np.bincount(fold_N[labels_N == label], minlength=3)
        assert sizes.max() - sizes.min() <= 2 * largest


@given(st.integers(0, 1000), st.integers(1, 30), st.integers(2, 5))
def test_few_images_are_of_every_class(seed: int, wanted: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    group_N = np.repeat(np.arange(12), rng.integers(1, 6, 12))
    labels_N = np.concatenate([np.arange(k), rng.integers(0, k, 12 - k)])[group_N]
    kept = some_groups(labels_N, k, wanted, np.random.default_rng(seed), group_N)
    assert set(labels_N[kept]) == set(range(k))
    assert all(len(set(kept[group_N == one])) == 1 for one in range(12))
    assert kept.sum() <= max(wanted, k * 5) + 5


def test_a_carved_test_has_two_groups_where_one_is_large(fashion: Dataset, tmp_path: Path) -> None:
    group_N = np.repeat(np.arange(5), [200, 40, 40, 40, 40])
    labels_N = np.arange(360) % 2
    drawn = draw_groups(labels_N, 2, 0.05, np.random.default_rng(0), group_N, least=2)
    assert len(set(group_N[drawn])) == 2


def test_the_rules() -> None:
    files = listed(["cats/p1_a.png", "cats/p1_b.png", "dogs/p2_a.png"])
    assert group_names(files, "re:(p[0-9]+)_") == ["p1", "p1", "p2"] == group_names(files, "re:p[0-9]+")
    folders = listed(["cats/p1/a.png", "cats/b.png", "dogs/p1/c.png", "dogs/x/y/c.png"])
    assert group_names(folders, "folder") == ["p1", "", "p1", "x/y"]
    table = listed(["a/1.png", "a/2.png", "b/3.png"], {"patient": ["7", " 7 ", ""]})
    assert group_names(table, "patient") == ["7", "7", ""]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("folder", "no picture of things lies in a folder below its class folder"),
        ("re:q([0-9]+)", r"is not in 2 of 2 paths: a/1.png, a/2.png"),
        ("re:(", "is no pattern"),
        ("patent", 'unknown data.group "patent"; nearest: "patient"'),
        ("empty", "that column of things is empty"),
    ],
)
def test_a_rule_that_says_nothing_is_told(rule: str, words: str) -> None:
    with pytest.raises(FittingroomError, match=words):
        group_names(listed(["a/1.png", "a/2.png"], {"patient": ["1", "1"], "empty": ["", ""]}), rule)


@pytest.mark.parametrize(
    ("names", "columns", "rule"),
    [
        ([f"cats/p{i // 4:02}_img{i}.png" for i in range(16)], {}, "re:(p[0-9]+)_img[0-9]+[^/]*$"),
        ([f"cats/p{i // 4}/train/{i}.png" for i in range(16)], {}, "folder"),
        ([f"cat{i // 8}/cat{i // 8}_{i}.png" for i in range(16)], {}, ""),  # the classes again
        (
            [f"cats/cam{i % 2}-day{i // 8}-{i:03}.jpg" for i in range(16)],
            {},
            "re:(cam[0-9]+\\-day[0-9]+)\\-[0-9]+[^/]*$",
        ),
        ([f"cats/p{i // 4}/{i}.png" for i in range(16)], {}, "folder"),
        ([f"cats/{i}.png" for i in range(16)], {"Patient_ID": [str(i // 4) for i in range(16)]}, "Patient_ID"),
        ([f"cats/{i}.png" for i in range(16)], {"patient_id": [str(i) for i in range(16)]}, ""),  # one picture each
        ([f"cats/{i}.png" for i in range(16)], {"width": ["8"] * 16}, ""),
        ([f"cats/img_{i}.png" for i in range(16)], {}, ""),
        ([f"cats/2024_{i}.png" for i in range(16)], {}, ""),  # one group is none
    ],
)
def test_what_looks_like_groups_is_suspected(names: list[str], columns: dict[str, list[str]], rule: str) -> None:
    found = suspected(listed(names, columns))
    assert found == rule
    if rule:
        assert 2 <= len(set(group_names(listed(names, columns), rule))) <= len(names) / 2


def test_no_split_divides_a_group(fashion: Dataset, tmp_path: Path) -> None:
    folder, said = of_file(fashion, tmp_path), []
    load(str(folder), tmp_path / "home", said.append)
    assert any('data.group = "re:(p[0-9]+)_img[0-9]+[^/]*$"' in line for line in said)
    shape = read_shape(['data.group="re:(p[0-9]+)_"'])
    data = load(str(folder), tmp_path / "home", said.append, shape=shape)
    assert "groups)" in said[-1] and "what belongs together (re:(p[0-9]+)_)" in said[-1]
    test = data.test.unlock(lambda: None)
    assert (
        data.train.groups_N is not None and test.groups_N is not None and data.test.n_groups == len(set(test.groups_N))
    )
    assert not set(test.groups_N) & set(data.train.groups_N) and 15 <= len(test) <= 35
    assert len(set(test.groups_N) | set(data.train.groups_N)) == PATIENTS and len(set(test.labels_N)) == 2
    spec = DataSpec(name=data.name, val_fraction=0.2, group=shape.group)
    train, val = prepare(data, spec)
    assert val is not None and not set(val.groups_N) & set(train.groups_N) and len(train) + len(val) == len(data.train)  # type: ignore[arg-type]
    assert set(val.labels_N) == {0, 1}
    few, _ = prepare(data, spec.model_copy(update={"limit": 50, "val_fraction": 0.0}))
    assert 40 <= len(few) <= 60 and all(np.sum(few.groups_N == g) == EACH for g in set(few.groups_N))  # type: ignore[arg-type]
    fold_N = fold_numbers(data, spec.model_copy(update={"folds": 4}))
    images = not_test(data)
    assert all(len(set(fold_N[images.groups_N == g])) == 1 for g in set(images.groups_N)) and set(fold_N) == {
        0,
        1,
        2,
        3,
    }  # type: ignore[arg-type]


def test_the_groups_are_part_of_the_data_and_kept(fashion: Dataset, tmp_path: Path) -> None:
    from fittingroom.data.dataset import _reloaded

    folder = of_file(fashion, tmp_path)
    plain = load(str(folder), tmp_path / "home")
    grouped = load(str(folder), tmp_path / "home", shape=read_shape(['data.group="re:(p[0-9]+)_"']))
    assert plain.digest != grouped.digest and plain.train.groups_N is None and plain.shape.group is None
    again = _reloaded(grouped.name, grouped.digest, grouped.home_dir)
    assert np.array_equal(again.train.groups_N, grouped.train.groups_N)  # type: ignore[arg-type]
    assert again.shape.group == "re:(p[0-9]+)_"
    file = next((tmp_path / "home/images").glob("*/groups.npy"))
    np.save(file, np.load(file)[::-1])
    with pytest.raises(FittingroomError, match="groups or splits have changed"):
        _reloaded(grouped.name, grouped.digest, grouped.home_dir)


def test_a_given_split_that_divides_groups_is_told(fashion: Dataset, tmp_path: Path) -> None:
    split = ("train", "train", "train", "train", "test")
    root = patients(fashion, tmp_path / "scans", lambda p, i, label: f"{split[i]}/{label}/p{p}/{i}.png")
    said: list[str] = []
    load(str(root), tmp_path / "home", said.append, shape=read_shape(["data.group=folder"]))
    assert any(f"{PATIENTS} of {PATIENTS} groups (folder) of test are in train, too" in line for line in said)


def test_a_table_names_its_groups_and_what_it_does_not_use(fashion: Dataset, tmp_path: Path) -> None:
    root = of_file(fashion, tmp_path)
    rows = [f"{p.relative_to(root)},{p.parent.name},{p.stem[:3]},x" for p in sorted(root.rglob("*.png"))]
    (root / "labels.csv").write_text("\n".join(["path,label,patient_id,remark", *rows]))
    said: list[str] = []
    load(str(root / "labels.csv"), tmp_path / "home", said.append)
    assert any('data.group = "patient_id"' in line for line in said)
    assert any("columns that say nothing here: patient_id, remark" in line for line in said)
    data = load(str(root / "labels.csv"), tmp_path / "home", shape=read_shape(["data.group=patient_id"]))
    assert data.train.groups_N is not None and len(set(data.train.groups_N)) + data.test.n_groups == PATIENTS


def test_arrays_name_their_groups(fashion: Dataset, tmp_path: Path) -> None:
    images, labels = fashion.train.images_NCHW[:60, 0], np.repeat(np.arange(12) % 2, 5)
    np.savez(tmp_path / "a.npz", images=images, labels=labels, video=np.repeat(np.arange(12), 5))
    data = load(str(tmp_path / "a.npz"), tmp_path / "home", shape=read_shape(["data.group=video"]))
    assert data.train.groups_N is not None and len(set(data.train.groups_N)) + data.test.n_groups == 12


def test_where_nothing_belongs_together_that_is_told() -> None:
    with pytest.raises(FittingroomError, match="nothing says which pictures of fashion-mnist belong together"):
        load("fashion-mnist", shape=read_shape(["data.group=folder"]))


def test_groups_too_few_to_carve_are_told(fashion: Dataset, tmp_path: Path) -> None:
    root = patients(fashion, tmp_path / "scans", lambda p, i, label: f"{label}/all/{p}-{i}.png")
    with pytest.raises(FittingroomError, match="1 groups by data.group, too few"):
        load(str(root), tmp_path / "home", shape=read_shape(["data.group=folder"]))


@given(n=st.integers(1, 40), data=st.data())
def test_groups_are_scipys_components(n: int, data: st.DataObject) -> None:
    row = st.integers(0, n - 1)
    pairs = np.array(data.draw(st.lists(st.tuples(row, row), max_size=60)), np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    assert groups(n, pairs).tolist() == connected_components(graph, directed=False)[1].tolist()
