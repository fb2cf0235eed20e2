"""Splits and duplicates: stratified, by seed, groups undivided; the test set stays locked."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from planned import plan

import fittingroom
from fittingroom.data import Dataset, Images, LockedTest, carve, folds, load, prepare
from fittingroom.data.decisions import Decision, excluded_rows, read_decisions, write_decisions
from fittingroom.data.duplicates import NEAR_RMS, cached_groups, groups, near_pairs, near_rms
from fittingroom.data.idx import parse_idx
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.read import read_recipe
from fittingroom.spec.recipe import DataSpec, Recipe
from fittingroom.training import fit


@given(st.integers(0, 10_000), st.floats(0.05, 0.6), st.integers(20, 200), st.integers(0, 30))
def test_carve_is_a_stratified_partition_that_divides_no_group(seed: int, fraction: float, n: int, pairs: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    images = Images(np.arange(n, dtype=np.uint8).repeat(4).reshape(n, 1, 2, 2), labels, ("a", "b", "c"))
    group_N = groups(n, rng.integers(0, n, (pairs, 2)))
    train, val = carve(images, fraction, seed, group_N)
    assert val is not None
    ids = [part.images_NCHW[:, 0, 0, 0].tolist() for part in (train, val)]
    assert sorted(ids[0] + ids[1]) == list(range(n))
    assert not set(group_N[ids[0]]) & set(group_N[ids[1]])
    wanted = np.rint(np.bincount(labels, minlength=3) * fraction)
    got = np.bincount(val.labels_N, minlength=3)
    assert (got <= wanted).all()
    if pairs == 0:
        assert (got == wanted).all()


@given(st.integers(0, 10_000), st.integers(2, 8), st.integers(20, 200), st.integers(0, 20))
def test_folds_are_a_stratified_partition_that_divides_no_group(seed: int, k: int, n: int, pairs: int) -> None:
    rng = np.random.default_rng(seed)
    labels, group_N = rng.integers(0, 3, n), groups(n, rng.integers(0, n, (pairs, 2)))
    fold_N = folds(labels, k, seed, group_N)
    assert np.array_equal(fold_N, folds(labels, k, seed, group_N)) and set(fold_N.tolist()) <= set(range(k))
    assert all(len(set(fold_N[group_N == g])) == 1 for g in np.unique(group_N))
    if pairs == 0:
        for label in range(3):
            sizes = np.bincount(fold_N[labels == label], minlength=k)
            assert sizes.max() - sizes.min() <= 1


def test_a_recipe_can_hold_out_a_fold_and_old_digests_stand(fashion: Dataset) -> None:
    spec = DataSpec(limit=1000, folds=4, fold=1)
    train, val = prepare(fashion, spec)
    assert val is not None and (len(train), len(val)) == (750, 250)
    others = [prepare(fashion, spec.model_copy(update={"fold": f}))[1] for f in range(4)]
    assert sum(len(o) for o in others if o) == 1000
    plain = read_recipe("readme-004-mlp")
    assert (
        "folds" not in plain.deciding()["data"]
        and "folds" in read_recipe("readme-004-mlp", ["data.folds=3"]).deciding()["data"]
    )
    with pytest.raises(FittingroomError, match="fold from 0 to folds - 1"):
        read_recipe("readme-004-mlp", ["data.folds=3", "data.fold=3"])


def test_the_seed_decides_the_split(few: tuple[Images, Images]) -> None:
    parts = [carve(few[0], 0.2, seed)[0].images_NCHW for seed in (0, 0, 1)]
    assert np.array_equal(parts[0], parts[1]) and not np.array_equal(parts[0], parts[2])


def test_no_validation_where_nothing_is_selected(fashion: Dataset) -> None:
    train, val = prepare(fashion, DataSpec(val_fraction=0.0, limit=1000))
    assert len(train) == 1000 and val is None


def test_validation_images_that_came_along_can_be_trained_on(fashion: Dataset) -> None:
    data = replace(fashion, train=fashion.train.take(np.arange(60)), val=fashion.train.take(np.arange(60, 80)))
    train, val = prepare(data, DataSpec())
    assert (len(train), len(val or ())) == (60, 20)
    train, val = prepare(data, DataSpec(val_is="train", val_fraction=0.0))
    assert len(train) == 80 and val is None and np.array_equal(train.labels_N, fashion.train.labels_N[:80])
    assert "val_is" not in read_recipe("readme-004-mlp").deciding()["data"]


def test_too_small_a_limit_is_refused(fashion: Dataset) -> None:
    with pytest.raises(FittingroomError, match="raise data.limit"):
        prepare(fashion, DataSpec(limit=2))


def test_near_pairs_agrees_with_comparing_every_pair(fashion: Dataset) -> None:
    rng = np.random.default_rng(0)
    images = fashion.train.images_NCHW[rng.permutation(60_000)[:300]].copy()
    images[7] = images[3]
    noisy = images[5].astype(int) + rng.integers(-3, 4, images[5].shape)
    images[9] = noisy.clip(0, 255)
    for rms in (8.0, 40.0):
        flat = images.reshape(len(images), -1).astype(float)
        slow = [
            (i, j)
            for i in range(len(flat))
            for j in range(i + 1, len(flat))
            if np.sqrt(((flat[i] - flat[j]) ** 2).mean()) <= rms
        ]
        pairs, distances = near_pairs(images, rms)
        assert sorted(map(tuple, pairs.tolist())) == slow
        assert (np.diff(distances) >= 0).all()
    assert near_pairs(images)[0][0].tolist() == [3, 7] and near_pairs(images)[1][0] == 0


def test_fashion_mnist_has_near_duplicates_and_they_stay_together(fashion: Dataset) -> None:
    group_N = cached_groups(fashion.train.images_NCHW, fashion.digest, fashion.home_dir)
    multiple = np.flatnonzero(np.bincount(group_N) > 1)
    assert 10 < len(multiple) < 1000
    for seed in range(3):
        _, val = carve(fashion.train, 0.1, seed, group_N)
        assert val is not None and np.bincount(val.labels_N).tolist() == [600] * 10


# ---------------------------------------------------------------- the lock


def test_a_locked_test_holds_no_image_and_announces_before_it_reads() -> None:
    order: list[str] = []
    images = Images(np.zeros((1, 1, 2, 2), np.uint8), np.zeros(1, np.int64), ("a", "b"))

    def read() -> Images:
        order.append("read")
        return images

    locked = LockedTest(1, read)
    assert not any(isinstance(v, np.ndarray | Images) for v in vars(locked).values())
    assert locked.unlock(lambda: order.append("announce")) is images and order == ["announce", "read"]

    def refuse() -> None:
        raise PermissionError

    with pytest.raises(PermissionError):
        locked.unlock(refuse)
    assert order == ["announce", "read"]


def test_no_training_code_takes_a_test_set(fashion: Dataset) -> None:
    assert not any("test" in name for name in inspect.signature(fit).parameters)
    with pytest.raises((AttributeError, TypeError)):
        next(fit(None, fashion.test, None, seed=0))  # type: ignore[arg-type]


def test_the_lock_is_opened_in_few_places_only() -> None:
    source = Path(fittingroom.__file__).parent
    opened = {
        str(file.relative_to(source))
        for file in source.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("unlock", "_read")
    }
    assert opened == {
        "data/dataset.py",
        "data/inspect.py",
        "questions/audit.py",
        "questions/stress.py",
        "study/execute.py",
        "study/scored.py",
    }


# ---------------------------------------------------------------- IDX


@given(st.binary(max_size=60))
def test_any_bytes_are_an_array_or_a_message(payload: bytes) -> None:
    try:
        assert parse_idx(payload).dtype == np.uint8
    except FittingroomError as error:
        assert "IDX" in str(error) or "cut off" in str(error)


# ---------------------------------------------------------------- images that are left out


def test_what_is_left_out_leaves_the_split_as_it_was(fashion: Dataset) -> None:
    """Both parts are those of the same recipe without `exclude`, but for the rows that it names."""
    spec = DataSpec(limit=3000)
    train, val = prepare(fashion, spec)
    assert val is not None
    everything = {image.tobytes() for image in [*train.images_NCHW, *val.images_NCHW]}
    rows = tuple(i for i in range(2000) if fashion.train.images_NCHW[i].tobytes() in everything)[:20]
    less, less_val = prepare(fashion, spec.model_copy(update={"exclude": rows}))
    assert less_val is not None and len(less) + len(less_val) == len(train) + len(val) - 20
    gone = {fashion.train.images_NCHW[i].tobytes() for i in rows}
    for before, after in ((train, less), (val, less_val)):
        kept = [image.tobytes() not in gone for image in before.images_NCHW]
        assert np.array_equal(before.images_NCHW[kept], after.images_NCHW)
        assert np.array_equal(before.labels_N[kept], after.labels_N)
    with pytest.raises(FittingroomError, match="leave it away where there are folds"):
        prepare(fashion, DataSpec(folds=3, exclude=(1,)))


def test_decisions_are_read_kept_and_refused(fashion: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "decisions.csv"
    write_decisions(path, "another", {("train", 3): "wrong"})
    decided: dict[tuple[str, int], Decision] = {("train", 7): "wrong", ("train", 5): "ambiguous", ("train", 9): "fine", ("test", 1): "wrong"}  # fmt: skip
    write_decisions(path, fashion.digest, decided)
    assert read_decisions(path, fashion.digest) == decided and read_decisions(path, "another") == {
        ("train", 3): "wrong"
    }
    assert excluded_rows(str(path), fashion) == (5, 7)
    write_decisions(path, fashion.digest, {})
    for asked, text in (
        (str(path), "says nothing about fashion-mnist"),
        (str(tmp_path / "none.csv"), "there is no file"),
        ((60_000,), "there is no row 60000"),
    ):
        with pytest.raises(FittingroomError, match=text):
            excluded_rows(asked, fashion)
    path.write_text("data,split,row,decision\nx,train,minus one,wrong\n")
    with pytest.raises(FittingroomError, match=r"line 2: expected data, split, row, decision"):
        read_decisions(path, "x")


def test_a_run_without_exclude_is_the_run_of_before(fashion: Dataset, tmp_path: Path) -> None:
    """The digest of a recipe that leaves nothing out does not know the word; one that does is another run."""
    recipe = read_recipe("readme-004-mlp")
    assert "exclude" not in recipe.deciding()["data"]
    path = tmp_path / "d.csv"
    write_decisions(path, fashion.digest, {("train", 7): "wrong"})
    some = read_recipe("readme-004-mlp", [f"data.exclude={path}"])
    job = plan(some, fashion, 0, "cpu", 1)
    assert job.recipe.data.exclude == (7,) and job.identity != plan(recipe, fashion, 0, "cpu", 1).identity


@pytest.mark.parametrize("divide", [1, 16, 128])
def test_pale_pictures_are_not_all_near_copies(divide: int, fashion: Dataset) -> None:
    """As digits stored as 0 … 16 are, or masks of 0 and 1: what differs is judged by what there is."""
    images = fashion.train.images_NCHW[:600] // divide
    images[7] = images[3]
    pairs, _ = near_pairs(images)
    group_N = groups(len(images), pairs)
    assert [3, 7] in pairs.tolist() and len(np.unique(group_N)) > 560
    if divide == 1:
        assert near_rms(images) == NEAR_RMS
    else:
        assert near_rms(images) < NEAR_RMS / 4 and len(near_pairs(images, NEAR_RMS)[0]) > 600  # what was done before


def test_strips_that_became_black_are_told_apart(fashion: Dataset, tmp_path: Path) -> None:
    root = tmp_path / "strips"
    for i in range(60):
        path = root / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        row = fashion.train.images_NCHW[14 * i : 14 * i + 14, 0]  # fourteen garments beside each other
        Image.fromarray(np.hstack(list(row)) // 4).save(path)  # dim, too
    data = load(str(root), tmp_path / "home")
    assert data.test.n >= 8
    assert len(near_pairs(data.train.images_NCHW)[0]) < 10 < len(near_pairs(data.train.images_NCHW, NEAR_RMS)[0])


def test_the_recipe_says_how_near_is_near(fashion: Dataset, quick: Callable[..., Recipe]) -> None:
    few = replace(fashion, train=fashion.train.take(np.arange(3000)), digest="0" * 64)
    parts = {near: prepare(few, DataSpec(near=near)) for near in (None, 0.0, 20.0)}
    assert all(val is not None and len(val) == 300 for _, val in parts.values())

    def divided(near: float | None, rms: float) -> int:
        train, val = parts[near]
        assert val is not None
        joint = np.concatenate([train.images_NCHW, val.images_NCHW])
        pairs, _ = near_pairs(joint, rms)
        return int(((pairs < len(train)).sum(1) == 1).sum())

    assert divided(20.0, 20.0) == 0 < divided(0.0, 20.0)
    assert quick("readme-004-mlp", "data.near=3.0").deciding()["data"]["near"] == 3.0
    assert "near" not in quick("readme-004-mlp").deciding()["data"]
    job = plan(quick("readme-004-mlp", "data.near=3.0"), fashion)
    assert job.recipe.data.near == 3.0
