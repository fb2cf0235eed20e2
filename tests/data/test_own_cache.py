"""What is made of a folder of pictures: decoded once, whole or not at all, split with care, and said."""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
import unicodedata
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import pairwise_distances
from waiting import PATIENCE_S

from fittingroom.data import Dataset, Images, dataset, load, own, prepare, reload
from fittingroom.data.inspect import inspect
from fittingroom.data.own.listing import natural
from fittingroom.data.pixels import Rows, chunks
from fittingroom.data.split import joined
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import DataSpec, Recipe, ShapeSpec
from fittingroom.training import fit

making = importlib.import_module("fittingroom.data.own.bring")  # the package has a function of that name
Read = Callable[..., Dataset]
linux_names = pytest.mark.skipif(sys.platform != "linux", reason="names that other systems do not allow")


@pytest.fixture
def read(tmp_path: Path) -> Read:
    return lambda path, *args, **options: load(str(path), tmp_path / "home", *args, **options)


def put(path: Path, seed: int, size: tuple[int, ...] = (6, 6)) -> Path:
    """A picture of noise: no two are near duplicates."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)).save(path)
    return path


def folder(root: Path, sizes: dict[str, int], seed: int = 0) -> Path:
    """A folder for each key, with so many pictures."""
    for k, (name, n) in enumerate(sizes.items()):
        for i in range(n):
            put(root / name / f"{i}.png", seed + 1000 * k + i)
    return root


def npz(path: Path, images: np.ndarray, labels: np.ndarray, **more: np.ndarray) -> Path:
    np.savez(path, images=images, labels=labels, **more)
    return path


def noise(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 6, 6), dtype=np.uint8)


def test_of(data: Dataset) -> Images:
    return data.test.unlock(lambda: None)


test_of.__test__ = False  # type: ignore[attr-defined]


def held(data: Dataset) -> list[tuple[str, bytes]]:
    return sorted(
        (p.classes[c], i.tobytes())
        for p in (data.train, test_of(data))
        for c, i in zip(p.labels_N, p.images_NCHW[:], strict=True)
    )


def sizes(images: Images | None) -> dict[str, int]:
    assert images is not None
    return dict(zip(images.classes, np.bincount(images.labels_N, minlength=len(images.classes)).tolist(), strict=True))


def printable(lines: Iterable[str]) -> bool:
    return all(line.encode() and line.isprintable() for line in lines)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Every picture that is decoded from now on."""
    seen: list[object] = []
    plain = making.decode
    monkeypatch.setattr(making, "decode", lambda picture, scale: (seen.append(picture), plain(picture, scale))[1])
    return seen


# ---------------------------------------------------------------- once


def test_pictures_are_decoded_once(tmp_path: Path, read: Read, decoded: list[object]) -> None:
    path = folder(tmp_path / "pets", {"a": 10, "b": 10})
    shares: list[float] = []
    first = read(path, tick=shares.append)
    assert len(set(decoded)) == 20 and shares == sorted(shares) and shares[-1] == 1
    decoded.clear()
    again, by_name = read(path), read("pets")
    assert not decoded and first == again == by_name and first.name == by_name.name == "pets"
    assert held(again) == held(first) and again.remarks == first.remarks and again.acquired == first.acquired


def touch(path: Path, later_ns: int = 1) -> None:
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + later_ns))


def changed(path: Path) -> None:
    put(path / "a" / "0.png", 77)
    touch(path / "a" / "0.png", 10**9)


def replaced_by_an_older_one(path: Path) -> None:
    put(path / "a" / "0.png", 77)
    touch(path / "a" / "0.png", -(10**12))


CHANGES: dict[str, Callable[[Path], object]] = {
    "changed": changed,
    "replaced by an older one": replaced_by_an_older_one,
    "added": lambda path: put(path / "a" / "new.png", 77),
    "removed": lambda path: (path / "a" / "3.png").unlink(),
    "moved to another class": lambda path: (path / "a" / "3.png").rename(path / "b" / "100.png"),
    "a class renamed": lambda path: (path / "a").rename(path / "aa"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_noticed(change: str, tmp_path: Path, read: Read) -> None:
    path = folder(tmp_path / "pets", {"a": 10, "b": 10})
    before = read(path)
    CHANGES[change](path)
    after = read(path)
    assert after.digest != before.digest and held(after) != held(before)
    assert held(reload("pets", before.digest, tmp_path / "home")) == held(before), "what a run was made with stays"


def test_a_change_in_the_table_is_noticed(tmp_path: Path, read: Read) -> None:
    names = [put(tmp_path / f"{i}.png", i).name for i in range(20)]
    table = tmp_path / "list.csv"
    for label in ("b", "c"):
        table.write_text("path,label\n" + "".join(f"{n},{label if i % 2 else 'a'}\n" for i, n in enumerate(names)))
        touch(table, ord(label))
        assert read(table).classes == ("a", label)


def test_another_shape_is_another_tensor_file(tmp_path: Path, read: Read) -> None:
    path = folder(tmp_path / "pets", {"a": 10, "b": 10})
    shapes = [ShapeSpec(), ShapeSpec(image_size=4), ShapeSpec(image_size=(4, 6)), ShapeSpec(channels=3)]
    found = [read(path, shape=shape) for shape in shapes]
    assert [d.train.shape for d in found] == [(1, 6, 6), (1, 4, 4), (1, 4, 6), (3, 6, 6)]
    assert len({d.digest for d in found}) == 4
    assert [read(path, shape=d.shape).digest for d in found] == [d.digest for d in found], (
        "a data set's shape makes it again"
    )


@pytest.mark.parametrize("what", ["heic", "broken link", "loose", "empty class"])
def test_what_is_told_about_a_folder_is_of_now(what: str, tmp_path: Path, read: Read) -> None:
    """Also where no picture that can be read has changed."""
    path = folder(tmp_path / "pets", {"a": 10, "b": 10})
    bad = path / {"heic": "a/x.heic", "broken link": "a/x.png", "loose": "x.png", "empty class": "x"}[what]

    def told(data: Dataset) -> bool:
        return any("x" in where for where, _ in data.faults) or any(": x" in line for line in data.remarks)

    assert not told(read(path, strict=True))
    {"heic": bad.touch, "broken link": lambda: bad.symlink_to("gone"), "empty class": bad.mkdir,
     "loose": lambda: put(bad, 5)}[what]()  # fmt: skip
    assert told(read(path))
    if what != "empty class":
        with pytest.raises(FittingroomError, match="cannot be used"):
            read(path, strict=True)
        bad.unlink()
        assert not told(read(path, strict=True))


def test_the_same_pictures_in_two_places_are_two_sources_of_one_tensor_file(
    tmp_path: Path, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    pets = folder(tmp_path / "pets", {"a": 10, "b": 10})
    shutil.copytree(pets, tmp_path / "beasts")
    (tmp_path / "beasts" / "a" / "bad.png").touch()
    first, second = read(pets), read(tmp_path / "beasts")
    assert first.digest == second.digest and (second.name, len(second.faults)) == ("beasts", 1)
    again = read(pets, strict=True)
    assert (again.name, again.faults) == ("pets", ())
    assert read("pets").name == "pets" and read("beasts").name == "beasts"
    with pytest.raises(FittingroomError, match="bad.png"):
        read("beasts", strict=True)


def test_another_process_may_bring_the_same_content_from_elsewhere_meanwhile(
    tmp_path: Path, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder(tmp_path / "pets", {"a": 10, "b": 10})
    plain = Path.rename

    def late(self: Path, target: Path) -> Path:
        if self.name == "set" and not Path(target).exists():
            shutil.copytree(self, target)
        return plain(self, target)

    monkeypatch.setattr(Path, "rename", late)
    assert len(read(path).train) == 16


def test_threads_at_once_make_one(
    tmp_path: Path, read: Read, decoded: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder(tmp_path / "pets", {"a": 10, "b": 10})
    made: list[object] = []
    plain = making._make
    monkeypatch.setattr(making, "_make", lambda *args: (made.append(args), plain(*args))[1])
    start, digests = threading.Barrier(4), set()

    def work() -> None:
        start.wait(PATIENCE_S)
        digests.add(read(path).digest)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(digests) == 1 and len(made) == 1


def test_processes_at_once_make_one_and_leave_nothing_else(tmp_path: Path) -> None:
    path = folder(tmp_path / "pets", {"a": 40, "b": 40})
    script = (
        "import sys, importlib\nfrom fittingroom.data import load\n"
        "making = importlib.import_module('fittingroom.data.own.bring')\n"
        "made, plain = [], making._make\n"
        "making._make = lambda *args: (made.append(1), plain(*args))[1]\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "print(load(sys.argv[1], sys.argv[2]).digest, len(made))\n"
    )
    command = [sys.executable, "-c", script, str(path), str(tmp_path / "home")]
    started = [subprocess.Popen(command, stdin=-1, stdout=-1, text=True) for _ in range(2)]
    for process in started:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    found = [process.communicate(timeout=PATIENCE_S)[0].split() for process in started]
    assert found[0][0] == found[1][0] and sorted(n for _, n in found) == ["0", "1"]
    assert {p.name for p in (tmp_path / "home" / "images").iterdir()} == {"index", found[0][0][:16]}


def test_an_interruption_leaves_nothing_that_is_taken_for_whole(
    tmp_path: Path, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder(tmp_path / "pets", {"a": 30, "b": 30})

    def interrupted(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read(path, tick=interrupted)
    assert {p.name for p in (tmp_path / "home" / "images").iterdir()} == {"index"} and not own.known(tmp_path / "home")
    assert len(read(path).train) == 48


def test_the_sample_that_shows_the_shape_is_not_kept_in_memory(
    tmp_path: Path, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four hundred photographs of twelve megapixels would be fourteen gigabytes."""
    path = npz(tmp_path / "set.npz", noise(300), np.arange(300) % 2)
    seen: list[weakref.ref[Image.Image]] = []
    most = [0]
    plain = making.decode

    def counted(picture: object, scale: object) -> Image.Image:
        image = plain(picture, scale)
        seen.append(weakref.ref(image))
        most[0] = max(most[0], sum(ref() is not None for ref in seen))
        return image

    gc.collect()
    monkeypatch.setattr(making, "decode", counted)
    monkeypatch.setattr(making, "cores", lambda: 2)
    read(path)
    assert most[0] < 100


# ---------------------------------------------------------------- damage


def damaged(tmp_path: Path, read: Read, damage: Callable[[Path], object]) -> Path:
    path = npz(tmp_path / "pets.npz", noise(40), np.arange(40) % 2)
    digest = read(path).digest
    made = tmp_path / "home" / "images" / digest[:16]
    damage(made)
    return made


def flip(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "splits.npz"])
@pytest.mark.parametrize("how", ["flipped", "cut", "emptied", "gone"])
def test_a_damaged_file_is_refused_and_named_and_made_again_once_deleted(
    name: str, how: str, tmp_path: Path, read: Read
) -> None:
    def damage(made: Path) -> None:
        file = made / name
        size = file.stat().st_size
        {"flipped": lambda: flip(file, size // 2 if name == "splits.npz" else -30), "gone": file.unlink,
         "cut": lambda: os.truncate(file, size - 20), "emptied": lambda: os.truncate(file, 0)}[how]()  # fmt: skip

    made = damaged(tmp_path, read, damage)
    digest = json.loads((made / "about.json").read_text())["digest"]
    for again in (lambda: read(tmp_path / "pets.npz"), lambda: reload("pets", digest, tmp_path / "home")):
        with pytest.raises(FittingroomError, match=f"{made.name}.*delete"):
            again()
    shutil.rmtree(made)
    assert len(read(tmp_path / "pets.npz").train) == 32


def test_a_changed_name_is_told(tmp_path: Path, read: Read) -> None:
    """A label that looks wrong would be looked for in another file."""
    made = damaged(tmp_path, read, lambda made: None)
    names = np.load(made / "names.npy")
    np.save(made / "names.npy", names[::-1])
    with pytest.raises(FittingroomError, match=r"names\.npy has changed; delete .* and give the pictures' path again"):
        read(tmp_path / "pets.npz")


@pytest.mark.parametrize("name", ["about.json", "index"])
@pytest.mark.parametrize("content", ["", "{}", '{"name": "pe', '{"digest": 7, "path": []}'])
def test_damaged_notes_are_refused_or_made_again(name: str, content: str, tmp_path: Path, read: Read) -> None:
    made = damaged(tmp_path, read, lambda made: None)
    note = made / name if name == "about.json" else next((made.parent / "index").glob("*.json"))
    note.write_text(content)
    with contextlib.suppress(FittingroomError):
        assert len(read(tmp_path / "pets.npz").train) == 32
    with pytest.raises(FittingroomError, match="unknown data set|damaged"):
        read("no-such-set")  # looks through all that is known


def test_a_run_whose_images_are_gone_says_so(tmp_path: Path, read: Read) -> None:
    path = npz(tmp_path / "pets.npz", noise(40), np.arange(40) % 2)
    digest = read(path).digest
    path.unlink()
    assert len(reload("pets", digest, tmp_path / "home").train) == 32, "the source is not needed any more"
    shutil.rmtree(tmp_path / "home" / "images" / digest[:16])
    dataset._recent.clear()  # as in another process
    with pytest.raises(FittingroomError):
        reload("pets", digest, tmp_path / "home")
    npz(path, noise(40, seed=1), np.arange(40) % 2)
    with pytest.raises(FittingroomError, match="are not in .* any more.*others"):
        reload(str(path), digest, tmp_path / "home")


# ---------------------------------------------------------------- mapped


@pytest.fixture
def mapped(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From now on every tensor file is too large for the memory."""

    def switch() -> None:
        monkeypatch.setattr(own, "RESIDENT_BYTES", 0)
        monkeypatch.setattr(making, "HASHED_BYTES", 0)

    return switch


def some_fashion(path: Path, fashion: Dataset, n: int = 400) -> Path:
    few = fashion.train.take(np.arange(n))
    return npz(path, few.images_NCHW[:, 0], few.labels_N)


def test_mapped_images_are_the_same_images(
    tmp_path: Path, fashion: Dataset, read: Read, mapped: Callable[[], None]
) -> None:
    path = some_fashion(tmp_path / "few.npz", fashion)
    resident = read(path)
    mapped()
    large = read(path)
    assert isinstance(resident.train.images_NCHW, np.ndarray) and isinstance(large.train.images_NCHW, Rows)
    assert large == resident and held(large) == held(resident)
    for spec in (DataSpec(val_fraction=0.2), DataSpec(folds=3, fold=1), DataSpec(limit=100)):
        for a, b in zip(prepare(resident, spec), prepare(large, spec), strict=True):
            assert a is not None and b is not None and isinstance(b.images_NCHW, Rows)
            assert np.array_equal(a.images_NCHW, b.images_NCHW[:]) and np.array_equal(a.labels_N, b.labels_N)
    seen, seen_mapped = inspect(resident), inspect(large)
    assert seen.pixel_sd == seen_mapped.pixel_sd and len(seen.pairs) == len(seen_mapped.pairs)
    assert np.array_equal(seen.mean_images, seen_mapped.mean_images)
    assert all(np.array_equal(a, b) for a, b in zip(seen.samples, seen_mapped.samples, strict=True))


@pytest.mark.parametrize(
    "overrides",
    [("readme-004-mlp", "train.balance=sampling"), ("fast-fashion", "train.epochs=1", "train.batch_size=64")],
    ids=["mlp, balanced", "resnet, augmented"],
)
def test_training_on_mapped_images_gives_the_same_weights(
    overrides: tuple[str, ...], tmp_path: Path, fashion: Dataset, read: Read, mapped: Callable[[], None], quick: Callable[..., Recipe]
) -> None:  # fmt: skip
    path = some_fashion(tmp_path / "few.npz", fashion, 200)
    recipe = quick(*overrides)
    states = []
    for switch in (lambda: None, mapped):
        switch()
        train, val = prepare(read(path), DataSpec(val_fraction=0.2))
        states.append([*fit(recipe, train, val, seed=3)][-1].state())
    assert states[0].keys() == states[1].keys()
    assert all(states[0][key].tobytes() == states[1][key].tobytes() for key in states[0])


@settings(max_examples=30)
@given(
    rows=st.lists(st.integers(0, 19), max_size=30),
    key=st.one_of(st.slices(20), st.integers(0, 9), st.lists(st.integers(0, 9), max_size=12)),
)  # fmt: skip
def test_rows_of_a_file_are_asked_for_like_an_array(
    rows: list[int], key: slice | int | list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    array = np.random.default_rng(0).integers(0, 256, (20, 2, 3, 3), dtype=np.uint8)
    file = tmp_path_factory.mktemp("rows") / "images.npy"
    np.save(file, array)
    chosen = np.array([*range(10), *rows])
    mine, expected = Rows(np.load(file, mmap_mode="c"), chosen), array[chosen]
    assert np.array_equal(mine[key], expected[key])
    if isinstance(key, list):
        picked = np.array(key, np.int64)
        assert np.array_equal(mine[picked], expected[picked]) and np.array_equal(mine.take(picked)[:], expected[picked])
    assert (len(mine), mine.shape, mine.nbytes) == (len(expected), expected.shape, expected.nbytes)
    assert np.array_equal(np.concatenate([*chunks(mine)]), expected)
    assert np.array_equal(mine.take(slice(2, 5))[:], expected[2:5])
    there = pickle.loads(pickle.dumps(mine))  # another process gets these rows, and none of the file's others
    assert (
        type(there) is np.ndarray
        and np.array_equal(there, expected)
        and len(pickle.dumps(mine)) < expected.nbytes + 999
    )


def test_mapped_parts_join_without_being_read(tmp_path: Path, read: Read, mapped: Callable[[], None]) -> None:
    mapped()
    data = read(npz(tmp_path / "pets.npz", noise(40), np.arange(40) % 2))
    both = joined(data.train, test_of(data))
    assert isinstance(both.images_NCHW, Rows) and len(both) == 40
    assert np.array_equal(
        both.images_NCHW[:], np.concatenate([data.train.images_NCHW[:], test_of(data).images_NCHW[:]])
    )


# ---------------------------------------------------------------- splits


def test_copies_never_lie_on_both_sides_of_the_test_set_that_is_carved(
    tmp_path: Path, fashion: Dataset, read: Read
) -> None:
    rng = np.random.default_rng(0)
    images, labels = fashion.train.images_NCHW[:300, 0], fashion.train.labels_N[:300]
    near = (images[100:200].astype(int) + rng.integers(-4, 5, (100, 28, 28))).clip(0, 255).astype(np.uint8)
    order = rng.permutation(500)
    together = np.concatenate([images, images[:100], near])[order]
    data = read(npz(tmp_path / "set.npz", together, np.concatenate([labels, labels[:200]])[order]))
    train, val = prepare(data, DataSpec(val_fraction=0.2))
    assert val is not None
    flat = [p.images_NCHW[:].reshape(len(p), -1).astype(float) for p in (train, val, test_of(data))]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert pairwise_distances(flat[a], flat[b]).min() / 28 > 8
    inside = pairwise_distances(flat[2]) / 28 <= 8
    assert len(flat[2]) > 80 and inside.sum() > len(flat[2]), "some copies went to test, with their originals"
    assert not any("pixel by pixel" in line for line in data.remarks)


@settings(max_examples=12)
@given(of_class=st.lists(st.integers(3, 30), min_size=2, max_size=5))
def test_the_carved_test_set_is_a_fifth_of_every_class(
    of_class: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root, labels = tmp_path_factory.mktemp("strata"), np.repeat(np.arange(len(of_class)), of_class)
    images = noise(len(labels))
    data = load(str(npz(root / "set.npz", images, labels)), root / "home")
    expected = np.rint(0.2 * np.array(of_class)).astype(int).tolist()
    assert list(sizes(test_of(data)).values()) == expected
    assert held(data) == sorted((str(c), i.tobytes()) for c, i in zip(labels, images, strict=True)), "a partition"


def test_a_class_too_small_for_the_test_set_is_told(tmp_path: Path, read: Read) -> None:
    data = read(folder(tmp_path / "set", {"a": 10, "rare": 2}))
    assert sizes(test_of(data)) == {"a": 2, "rare": 0}
    assert any("no picture in test of: rare" in line for line in data.remarks)
    with pytest.raises(FittingroomError, match="4 pictures to train on, too few"):
        read(folder(tmp_path / "few", {"a": 2, "b": 2}))


def test_too_few_distinct_pictures_is_the_reason_that_is_given(tmp_path: Path, read: Read) -> None:
    images = np.repeat(np.array([0, 255], np.uint8), 50)[:, None, None] * np.ones((1, 6, 6), np.uint8)
    with pytest.raises(FittingroomError, match="duplicate|copies|alike"):
        read(npz(tmp_path / "set.npz", images, np.repeat([0, 1], 50)))


GIVEN = {"train/a": 6, "train/b": 5, "val/a": 3, "val/b": 2, "test/a": 4, "test/b": 1}


def test_given_splits_are_left_alone(tmp_path: Path, read: Read) -> None:
    data = read(folder(tmp_path / "set", GIVEN))
    assert sizes(data.train) == {"a": 6, "b": 5} and sizes(data.val) == {"a": 3, "b": 2}
    assert sizes(test_of(data)) == {"a": 4, "b": 1} and data.acquired == "train and test as they came, validation too"
    train, val = prepare(data, DataSpec(val_fraction=0.5))
    assert train is data.train and val is data.val
    held_out = [prepare(data, DataSpec(folds=2, fold=f))[1] for f in (0, 1)]
    assert sum(len(h) for h in held_out if h) == 16, "folds are of train and validation together"


def test_a_missing_validation_set_is_carved_from_train_alone(tmp_path: Path, read: Read) -> None:
    data = read(folder(tmp_path / "set", {"train/a": 20, "train/b": 10, "test/a": 4, "test/b": 3}))
    assert data.val is None and sizes(test_of(data)) == {"a": 4, "b": 3}
    train, val = prepare(data, DataSpec(val_fraction=0.2))
    assert sizes(train) == {"a": 16, "b": 8} and sizes(val) == {"a": 4, "b": 2}


def test_a_missing_test_set_is_carved_from_train_alone(tmp_path: Path, read: Read) -> None:
    data = read(folder(tmp_path / "set", {"train/a": 20, "train/b": 10, "val/a": 4, "val/b": 3}))
    assert sizes(data.val) == {"a": 4, "b": 3} and sizes(test_of(data)) == {"a": 4, "b": 2}
    assert sizes(data.train) == {"a": 16, "b": 8} and "carved" in data.acquired


def test_classes_are_the_union_over_splits_in_natural_order_and_numbered_alike(tmp_path: Path, read: Read) -> None:
    given = {"train/10": 5, "train/9": 5, "val/9": 2, "val/b": 2, "test/a 2": 3, "test/10": 3, "test/a 10": 1}
    data = read(folder(tmp_path / "set", given))
    assert data.classes == ("9", "10", "a 2", "a 10", "b")
    assert all(part.classes == data.classes for part in (data.train, data.val, test_of(data)) if part)
    assert sizes(data.train) == {"9": 5, "10": 5, "a 2": 0, "a 10": 0, "b": 0}
    assert sizes(test_of(data)) == {"9": 0, "10": 3, "a 2": 3, "a 10": 1, "b": 0}
    assert any("no picture in train of: a 2, a 10, b, and what is never trained" in line for line in data.remarks)


def test_copies_between_given_splits_are_told(tmp_path: Path, read: Read) -> None:
    path = folder(tmp_path / "set", GIVEN)
    shutil.copy(path / "train" / "a" / "1.png", path / "test" / "a" / "copy.png")
    data = read(path)
    assert len(test_of(data)) == 6
    assert any("1 of 6 test pictures are in train, too" in line for line in data.remarks)


@pytest.mark.parametrize(("small", "told"), [(9, False), (10, False), (2, True)])
def test_imbalance_is_told(small: int, told: bool, tmp_path: Path, read: Read) -> None:
    data = read(folder(tmp_path / "set", {"train/many": 27, "train/few": small, "test/many": 3, "test/few": 3}))
    assert any(f'{small} training pictures of "few", 27 of "many"' in line for line in data.remarks) == told


# ---------------------------------------------------------------- the digest is of the content


def test_renaming_and_moving_keep_the_digest(tmp_path: Path, read: Read) -> None:
    path = folder(tmp_path / "set", {"a": 10, "b": 10})
    digest = read(path).digest
    for file in sorted(path.rglob("*.png")):
        file.rename(file.with_name(f"renamed {file.name}"))
    assert read(path).digest == digest
    for file in sorted(path.rglob("*.png")):
        Image.open(file).save(file.with_suffix(".bmp"))
        file.unlink()
    path.rename(tmp_path / "elsewhere")
    moved = read(tmp_path / "elsewhere")
    assert moved.digest == digest and moved.name == "elsewhere"


def test_one_grey_level_one_label_one_split_or_one_name_changes_the_digest(tmp_path: Path, read: Read) -> None:
    images, labels, classes = noise(40), np.arange(40) % 2, np.array(["a", "b"])
    pixel, label = images.copy(), labels.copy()
    pixel[7, 3, 2] ^= 1
    label[7] ^= 1
    variants = [
        (images, labels, classes),
        (pixel, labels, classes),
        (images, label, classes),
        (images, labels, np.array(["a", "c"])),
    ]
    digests = [read(npz(tmp_path / f"{i}.npz", x, y, classes=c)).digest for i, (x, y, c) in enumerate(variants)]
    for i, cut in enumerate((30, 29)):
        np.savez(
            tmp_path / f"cut{i}.npz",
            x_train=images[:cut],
            y_train=labels[:cut],
            x_test=images[cut:],
            y_test=labels[cut:],
        )
        digests.append(read(tmp_path / f"cut{i}.npz").digest)
    assert len(set(digests)) == len(digests)
    assert read(npz(tmp_path / "again.npz", images, labels, classes=classes)).digest == digests[0]


# ---------------------------------------------------------------- what lies in a folder


def test_a_class_may_be_called_train(tmp_path: Path, read: Read) -> None:
    data = read(folder(tmp_path / "vehicles", {"train": 10, "bus": 10, "test": 5}))
    assert data.classes == ("bus", "test", "train") and len(data.train) + data.test.n == 25


def test_what_systems_leave_behind_is_no_class_and_no_picture(tmp_path: Path, read: Read) -> None:
    path = folder(tmp_path / "set", {"a": 10, "b": 10})
    plain = read(path).digest
    for name in (
        "__MACOSX/a/0.png",
        ".git/0.png",
        "@eaDir/0.png",
        "a/.hidden.png",
        "a/__MACOSX/0.png",
        ".thumbs/0.png",
        "._0.png",
        "b/._0.png",
    ):
        put(path / name, 99)
    for name in (".DS_Store", "Thumbs.db", "a/Thumbs.db", "README.txt"):
        (path / name).touch()
    (path / "empty" / "deeper").mkdir(parents=True)
    data = read(path)
    assert data.classes == ("a", "b") and data.digest == plain and not data.faults


def test_an_empty_class_folder_is_told_and_is_no_class(tmp_path: Path, read: Read) -> None:
    path = folder(tmp_path / "set", {"a": 10, "b": 10})
    (path / "nobody").mkdir()
    data = read(path)
    assert data.classes == ("a", "b") and any("without a picture, so no class: nobody" in line for line in data.remarks)


@pytest.mark.parametrize(
    ("link", "target"),
    [("a/loop", ".."), ("a/self", "."), ("loop", "."), ("aaa", "."), ("a/loop", "../b"), ("d", "a"), ("a/x/y", "../..")],
)  # fmt: skip
def test_links_to_folders_neither_loop_nor_move_pictures_to_another_class(
    link: str, target: str, tmp_path: Path, read: Read
) -> None:
    path = folder(tmp_path / "set", {"a": 10, "b": 10, "c": 10})
    plain = load(str(path), tmp_path / "another home")
    (path / link).parent.mkdir(exist_ok=True)
    (path / link).symlink_to(target, target_is_directory=True)
    data = read(path)
    assert held(data) == held(plain)
    assert any("a link to a folder that is read already" in reason for _, reason in data.faults)


def test_links_to_pictures_and_folders_elsewhere_are_followed_and_broken_ones_told(tmp_path: Path, read: Read) -> None:
    elsewhere = folder(tmp_path / "elsewhere", {"b": 10})
    path = folder(tmp_path / "set", {"a": 9})
    (path / "b").symlink_to(elsewhere / "b", target_is_directory=True)
    (path / "a" / "linked.png").symlink_to(put(tmp_path / "one.png", 5))
    (path / "a" / "broken.png").symlink_to("gone")
    (path / "a" / "round.png").symlink_to("round.png")
    data = read(path)
    assert sizes(data.train) == {"a": 8, "b": 8}
    assert set(data.faults) == {("a/broken.png", "a broken link"), ("a/round.png", "a broken link")}


def test_a_folder_that_may_not_be_read_is_told(tmp_path: Path, read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder(tmp_path / "set", {"a": 10, "b": 10, "b/locked": 1})
    plain = os.scandir

    def scandir(place: Path) -> object:
        if isinstance(place, Path) and place.name == "locked":
            raise PermissionError(13, "Permission denied", str(place))
        return plain(place)

    monkeypatch.setattr(os, "scandir", scandir)
    assert read(path).faults == (("b/locked", "Permission denied"),)


def test_pictures_that_are_left_out_are_told_and_strict_refuses(tmp_path: Path, read: Read) -> None:
    path = folder(tmp_path / "set", {"a": 10, "b": 10})
    put(path / "loose.png", 5)
    (path / "a" / "photo.HEIC").touch()
    (path / "b" / "drawing.svg").touch()
    (path / "b" / "bad.jpg").write_text("no picture")
    (path / "b" / "notes.txt").touch()
    said: list[str] = []
    data = read(path, said.append)
    assert {where for where, _ in data.faults} == {"loose.png", "a/photo.HEIC", "b/drawing.svg", "b/bad.jpg"}
    assert all(any(where in line for line in said) for where, _ in data.faults)
    assert any("1 .txt" in line for line in said)
    with pytest.raises(FittingroomError, match=r"4 pictures cannot be used(.|\n)*convert it to PNG or JPEG"):
        read(path, strict=True)


REFUSED: dict[str, tuple[dict[str, int], str]] = {
    "nothing": ({}, "no class folders"),
    "no class folders": ({".": 5}, "5 pictures but no class folders"),
    "one class": ({"a": 5}, 'one class only ."a".'),
    "no training pictures": ({"test/a": 5, "test/b": 5}, "no train/"),
    "words for the same": ({"train/a": 5, "train/b": 5, "val/a": 2, "valid/a": 2}, "which mean the same"),
    "train twice": ({"train/a": 5, "train/b": 5, "Train/a": 2}, "which mean the same"),
    "classes beside train": ({"train/a": 5, "train/b": 5, "c": 2}, "beside it other folders with pictures: c"),
    "empty train": ({"train/.a": 5, "test/a": 5, "test/b": 5}, "no train"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_folders_that_are_no_data_set_are_refused(what: str, tmp_path: Path, read: Read) -> None:
    given, words = REFUSED[what]
    (tmp_path / "set").mkdir()
    with pytest.raises(FittingroomError, match=words):
        read(folder(tmp_path / "set", given))


def test_one_class_that_can_be_read_is_too_few(tmp_path: Path, read: Read) -> None:
    path = folder(tmp_path / "set", {"a": 10})
    for i in range(3):
        (path / "b").mkdir(exist_ok=True)
        (path / "b" / f"{i}.png").write_bytes(b"no picture")
    with pytest.raises(FittingroomError, match=r"fewer than two classes(.|\n)*b/0.png: is no PNG"):
        read(path)
    shutil.rmtree(path / "a")
    (path / "a").mkdir()
    (path / "a" / "0.png").touch()
    with pytest.raises(FittingroomError, match=r"none of 4 pictures can be read(.|\n)*a/0.png"):
        read(path)


# ---------------------------------------------------------------- names


NAMES = [
    "日本語", "简体中文", "한국어", "العربية", "עברית", "हिन्दी", "ไทย", "ελληνικά", "русский", "ქართული", "Ä ö ß", "👩‍🚀", "می‌خواهم",
    "T-shirt∕top", " in the middle ", "100 %", "a'b\"c", "{x}[y]", "-dash", "x" * 200, "a\\b", "$HOME", "<b>&amp;",
]  # fmt: skip


@linux_names
@pytest.mark.parametrize("name", NAMES)
def test_a_class_may_be_called_anything_that_can_be_shown(name: str, tmp_path: Path, read: Read) -> None:
    data = read(
        folder(tmp_path / name, {f"train/{name}": 3, "train/other": 3, f"test/{name}": 2, f"test/{name}/{name}": 1})
    )
    plain = unicodedata.normalize("NFC", name)
    assert data.classes == tuple(sorted({plain, "other"}, key=natural))
    assert sizes(test_of(data)) == {plain: 3, "other": 0} and data.name == plain


@linux_names
def test_two_spellings_of_one_name_are_one_class(tmp_path: Path, read: Read) -> None:
    given = {
        f"train/{unicodedata.normalize('NFC', 'café')}": 4,
        "train/tea": 4,
        f"test/{unicodedata.normalize('NFD', 'café')}": 3,
    }
    data = read(folder(tmp_path / "set", given))
    assert data.classes == ("café", "tea") and sizes(test_of(data)) == {"café": 3, "tea": 0}
    both = read(
        folder(tmp_path / "both", {unicodedata.normalize(form, "café"): 10 for form in ("NFC", "NFD")} | {"tea": 10})
    )
    assert both.classes == ("café", "tea") and len(both.train) + both.test.n == 30


def test_names_that_differ_in_capitals_only_are_two_classes_and_told(tmp_path: Path, read: Read) -> None:
    path = folder(tmp_path / "set", {"Cat": 10, "cat": 10, "dog": 10})
    if len(list(path.iterdir())) == 3:
        data = read(path)
        assert set(data.classes) == {"Cat", "cat", "dog"} and any("capitals only: " in line for line in data.remarks)


NASTY = [
    "line\nbreak",
    "\x1b[31mred",
    "\u202egnp.exe",
    "bell\x07",
    "tab\t",
    "caf\udce9",
    "\u2028",
    "zero\u200bwidth",
    "\x9b31m",
]


@linux_names
@pytest.mark.parametrize("name", NASTY)
def test_no_name_can_write_over_what_is_shown(name: str, tmp_path: Path, read: Read) -> None:
    path = folder(tmp_path / f"set {name}", {f"{name} class": 10, "other": 10, f"other/{name}": 1})
    (path / "other" / f"{name}.png").write_bytes(b"no picture")
    (path / "other" / f"x.{name}").touch()
    (path / f"empty {name}").mkdir()
    (path / "other" / f"{name}.heic").touch()
    said: list[str] = []
    data = read(path, said.append)
    assert len(data.classes) == 2 and len(data.train) + data.test.n == 21 and len(data.faults) == 2
    assert printable(
        [*said, *data.classes, *data.remarks, data.name, *(text for fault in data.faults for text in fault)]
    )
    assert read(path) == data and len(own.known(tmp_path / "home")) == 1
    with pytest.raises(FittingroomError) as told:
        read(path, strict=True)
    assert printable(str(told.value).removeprefix(str(path)).splitlines())


@linux_names
@pytest.mark.parametrize("names", [("caf\udce9", "caf\udce8"), ("a\x01", "a\x02")])
def test_classes_that_cannot_be_told_apart_once_shown_are_not_mixed(
    names: tuple[str, str], tmp_path: Path, read: Read
) -> None:
    path = folder(tmp_path / "set", {names[0]: 10, names[1]: 10, "other": 10})
    with contextlib.suppress(FittingroomError):
        assert len(read(path).classes) == 3
