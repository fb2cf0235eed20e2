"""Cross-validation: each image is scored once, by a model that saw neither it nor a copy; the test set stays locked."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from planned import Planned, plan
from scipy.special import softmax
from sklearn.metrics import accuracy_score, log_loss

from fittingroom.cli.main import app
from fittingroom.data import Dataset, Images, LockedTest, dataset, fold_numbers, fold_of, load, not_test, prepare
from fittingroom.data.duplicates import NEAR_RMS
from fittingroom.metrics.folds import pooled
from fittingroom.metrics.story import of_study
from fittingroom.questions.crossval import cv, folded
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import DataSpec, Recipe
from fittingroom.store import RunFolder, Runs
from fittingroom.study import execute as executing
from fittingroom.study.execute import execute
from fittingroom.study.workplace import Workplace
from fittingroom.training import predict
from fittingroom.training.fit import restore

Quick = Callable[..., Recipe]
Command = Callable[..., subprocess.CompletedProcess[str]]
K = 3
BEST = ("train.select=best_val", "train.epochs=3", "data.val_fraction=0.2")


def arrays(fashion: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Real pictures of three uneven classes; some again, as they are or a little noisy, one with a wrong label."""
    labels = fashion.train.labels_N
    rows = np.concatenate([np.flatnonzero(labels == c)[:n] for c, n in ((0, 44), (1, 30), (7, 21))])
    images, labels = fashion.train.images_NCHW[rows, 0], labels[rows]
    rng = np.random.default_rng(0)
    again = rng.permutation(len(rows))[:14]
    noise = np.where(np.arange(14)[:, None, None] < 6, 0, rng.integers(-6, 7, (14, 28, 28)))
    copies = (images[again].astype(int) + noise).clip(0, 255).astype(np.uint8)
    others = labels[again].copy()
    others[-1] = 0 if others[-1] else 1
    order = rng.permutation(len(rows) + 14)
    names = np.array(["top", "trousers", "sneaker"])[np.searchsorted([0, 1, 7], np.concatenate([labels, others]))]
    return np.concatenate([images, copies])[order], names[order]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def source(fashion: Dataset, home: Path) -> str:
    """The path of an .npz whose test set fittingroom carves."""
    images, labels = arrays(fashion)
    np.savez(home / "wardrobe.npz", images=images, labels=labels)
    return str(home / "wardrobe.npz")


@pytest.fixture(scope="module")
def in_parts(fashion: Dataset, home: Path) -> str:
    """The path of one that brings its own validation and test images."""
    images, labels = arrays(fashion)
    cut = {"train": slice(0, 60), "val": slice(60, 85), "test": slice(85, None)}
    parts = {
        f"{what}_{split}": array[rows] for split, rows in cut.items() for what, array in (("x", images), ("y", labels))
    }
    np.savez(home / "divided.npz", **parts)
    return str(home / "divided.npz")


@dataclass(frozen=True)
class Look:
    """What one training saw, and what it was scored on."""

    train: Images
    val: Images | None
    scored: list[Images] = field(default_factory=list)


Key = tuple[str, int, int]  # the recipe's name, the fold, the seed
Seen = dict[Key, Look]


def key_of(run: RunFolder) -> Key:
    return run.recipe.name, run.recipe.data.fold, run.seed


class Sealed(LockedTest):
    """The test set of a data set that was loaded."""

    def unlock(self, announce: Callable[[], None]) -> Images:
        raise AssertionError("the real test set was read")


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Seen]:
    """From now on the real test set cannot be unlocked, and what trainings get is noted."""
    found: Seen = {}
    real_fit, real_unlock = executing.fit, LockedTest.unlock

    def fit(recipe: Recipe, train: Images, val: Images | None, *, seed: int, **options: object) -> object:
        found[recipe.name, recipe.data.fold, seed] = Look(train, val)
        return real_fit(recipe, train, val, seed=seed, **options)  # type: ignore[arg-type]

    def unlock(self: LockedTest, announce: Callable[[], None]) -> Images:
        images = real_unlock(self, announce)
        next(reversed(found.values())).scored.append(images)
        return images

    monkeypatch.setattr(executing, "fit", fit)
    monkeypatch.setattr(LockedTest, "unlock", unlock)
    monkeypatch.setattr(dataset, "LockedTest", Sealed)  # a part's is made in another module
    yield found
    dataset._recent.clear()  # whose test sets are sealed


def cross_validate(
    recipes: Sequence[Recipe], path: str, home: Path, runs: Runs, seeds: range = range(1), k: int = K
) -> list[RunFolder]:
    trials = [t for recipe in recipes for t in folded(recipe, path, k, "test", seeds)]
    return Planned(trials, runs, home=home, at_once=1).train()


@pytest.fixture
def tiny(quick: Quick) -> Quick:
    return lambda *overrides: quick("readme-004-mlp", "train.batch_size=32", "optimizer.lr=0.01", *overrides)


def keys(images: Images) -> Counter[tuple[bytes, int]]:
    """How often each picture with each label is there."""
    return Counter((image.tobytes(), int(c)) for image, c in zip(images.images_NCHW[:], images.labels_N, strict=True))


def nearest(a: Images, b: Images) -> float:
    """The least root mean square difference between a picture of one and a picture of the other."""
    flat = [images.images_NCHW[:].reshape(len(images), -1).astype(float) for images in (a, b)]
    return min(float(np.sqrt(((row - other) ** 2).mean())) for row in flat[0] for other in flat[1])


# ---------------------------------------------------------------- parts


def test_parts_are_those_of_a_loop(source: str, home: Path) -> None:
    data = load(source, home)
    spec = DataSpec(folds=K, fold_is="test")
    number_N = fold_numbers(data, spec)
    assert number_N.shape == (len(not_test(data)),) and set(number_N.tolist()) == set(range(K))
    for part in range(K):
        held = fold_of(data, spec.model_copy(update={"fold": part}))
        scored = held.test.unlock(lambda: None)
        for images, rows in ((scored, number_N == part), (held.train, number_N != part)):
            assert np.array_equal(images.images_NCHW, not_test(data).images_NCHW[:][rows])
            assert np.array_equal(images.labels_N, not_test(data).labels_N[rows]) and images.classes == data.classes
        assert held.test.n == len(scored) and held.val is None and held.name == data.name


def test_other_parts_have_other_digests_and_no_parts_the_data_themselves(source: str, home: Path) -> None:
    data = load(source, home)
    specs = [DataSpec(folds=k, fold=f, fold_is="test", split_seed=s) for k in (2, 3) for f in (0, 1) for s in (0, 1)]
    assert len({fold_of(data, spec).digest for spec in specs} | {data.digest}) == len(specs) + 1
    assert fold_of(data, DataSpec()) is data and fold_of(data, DataSpec(folds=3)) is data


def test_a_part_for_validation_is_the_part_for_scoring(source: str, home: Path) -> None:
    data = load(source, home)
    for part in range(K):
        _, val = prepare(data, DataSpec(folds=K, fold=part))
        held = fold_of(data, DataSpec(folds=K, fold=part, fold_is="test"))
        assert val is not None and keys(val) == keys(held.test.unlock(lambda: None))


def test_a_part_without_a_picture_is_refused_before_anything_is_trained(source: str, home: Path, tiny: Quick) -> None:
    data = load(source, home)
    parts = folded(tiny(), source, 100, "test", range(1))
    empty = set(range(100)) - set(fold_numbers(data, parts[0].recipe.data).tolist())
    with pytest.raises(FittingroomError, match="part|fold"):
        plan(parts[min(empty)].recipe, data, 0, "cpu", 1)


# ---------------------------------------------------------------- who scores what


@pytest.mark.parametrize("which", ["source", "in_parts"])
@pytest.mark.parametrize("changes", [(), BEST, ("data.limit=40",)], ids=["last", "best_val", "limit"])
def test_each_image_is_scored_once_by_a_model_that_saw_no_copy(
    which: str,
    changes: tuple[str, ...],
    request: pytest.FixtureRequest,
    home: Path,
    seen: Seen,
    tiny: Quick,
    tmp_path: Path,
) -> None:
    path, runs = request.getfixturevalue(which), Runs(tmp_path)
    all_images = not_test(load(path, home))
    finished = cross_validate([tiny(*changes)], path, home, runs)
    assert sum((keys(images) for look in seen.values() for images in look.scored), Counter()) == keys(all_images)
    for run in finished:
        look = seen[key_of(run)]
        train, val, (scored,) = look.train, look.val, look.scored
        assert run.data.n_test == len(scored) and run.data.n_train == len(train)
        others = keys(all_images) - keys(scored)
        assert keys(train) <= others and (val is None or keys(val) <= others)
        assert nearest(train, scored) > NEAR_RMS and (val is None or nearest(val, scored) > NEAR_RMS)
        if "data.limit=40" in changes:
            assert len(train) + len(val or ()) == pytest.approx(40, abs=2)
        else:
            assert keys(train) + (keys(val) if val else Counter()) == others
    assert runs.test_reads() == {} and not (tmp_path / "test_reads.jsonl").exists()
    assert len(finished) == len(seen) == K


def test_best_val_chooses_on_images_out_of_the_other_parts(
    source: str, home: Path, seen: Seen, tiny: Quick, tmp_path: Path
) -> None:
    finished = cross_validate([tiny(*BEST)], source, home, Runs(tmp_path))
    for run in finished:
        look = seen[key_of(run)]
        train, val, (scored,) = look.train, look.val, look.scored
        assert val is not None and len(val) / (len(val) + len(train)) == pytest.approx(0.2, abs=0.05)
        assert not keys(val) & keys(scored) and nearest(train, val) > NEAR_RMS
        stored = run.predictions("val")
        assert stored is not None and np.array_equal(stored[1], val.labels_N)
        model = restore(run.recipe, run.weights, train)
        assert np.array_equal(stored[0], predict(model, val))
        accuracies = [e.val_accuracy or 0 for e in run.epochs]
        assert run.metrics.selected_epoch in {i + 1 for i, a in enumerate(accuracies) if a == max(accuracies)}
        assert run.metrics.val and run.metrics.val.accuracy == max(accuracies) == accuracy_score(
            val.labels_N, stored[0].argmax(1)
        )


def test_a_run_that_validates_on_a_part_reads_the_real_test_set_and_says_so(
    source: str, home: Path, tiny: Quick, tmp_path: Path
) -> None:
    """Only a part that stands in for the test set leaves that one alone."""
    data, runs = load(source, home), Runs(tmp_path)
    run = execute(plan(tiny("data.folds=3"), data, 0, "cpu", 1), runs)
    stored = run.predictions("test")
    assert stored is not None and np.array_equal(stored[1], data.test.unlock(lambda: None).labels_N)
    assert runs.test_reads() == {"wardrobe": 1}


# ---------------------------------------------------------------- put together


def by_hand(runs: Sequence[RunFolder], scored: Sequence[Images], all_images: Images) -> np.ndarray:
    """Every model on every image; of each image the logits of the one model that was scored on it."""
    logits_NK = np.full((len(all_images), len(all_images.classes)), np.nan)
    for run, part in zip(runs, scored, strict=True):
        mine = keys(part)
        said_NK = predict(restore(run.recipe, run.weights, all_images), all_images)
        for i, (image, label) in enumerate(zip(all_images.images_NCHW[:], all_images.labels_N, strict=True)):
            if (image.tobytes(), int(label)) in mine:
                assert np.isnan(logits_NK[i]).all(), "scored twice"
                logits_NK[i] = said_NK[i]
    return logits_NK


@pytest.mark.parametrize("which", ["source", "in_parts"])
def test_pooled_logits_are_each_images_own_models(
    which: str, request: pytest.FixtureRequest, home: Path, seen: Seen, tiny: Quick, tmp_path: Path
) -> None:
    path, runs = request.getfixturevalue(which), Runs(tmp_path)
    data = load(path, home)
    all_images = not_test(data)
    other = tiny("model.layers=[{flatten=true}]").model_copy(
        update={"name": "linear fold 1 of 3"}
    )  # a name to stumble on
    place = Workplace(runs=runs, home=home, device="cpu", at_once=1)
    answer = cv([tiny(), other], place, folds=K, data=path, seeds=range(2))
    finished = [RunFolder(runs.path / name) for name in runs.study(answer.study).runs]  # type: ignore[union-attr]
    by_name = {key_of(run): run for run in finished}
    (story,) = answer.stories
    found = [run for name in (tiny().name, other.name) for run in story.runs[name]]
    assert [(run.name, run.seed) for run in found] == [(r.name, s) for r in (tiny(), other) for s in range(2)]
    for run in found:
        parts = [(run.name, f, run.seed) for f in range(K)]
        expected = by_hand([by_name[p] for p in parts], [seen[p].scored[0] for p in parts], all_images)
        assert np.allclose(run.logits_NK, expected, atol=1e-4) and np.array_equal(run.labels_N, all_images.labels_N)
        told = run.metrics.test
        assert told is not None and told.n == run.data.n_test == len(all_images)
        assert told.accuracy == pytest.approx(accuracy_score(all_images.labels_N, expected.argmax(1)), abs=1e-12)
        assert told.loss == pytest.approx(
            log_loss(all_images.labels_N, softmax(expected, axis=1), labels=range(3)), rel=1e-4
        )
        of_parts = [by_name[p].metrics for p in parts]
        assert run.metrics.train.accuracy == pytest.approx(np.mean([m.train.accuracy for m in of_parts]))
        assert run.metrics.train_s == pytest.approx(np.mean([m.train_s for m in of_parts]))
    (again,) = of_study(answer.study, runs)
    assert again.comparison == story.comparison  # without the data, from what is stored
    for row in story.comparison.rows:
        mine = [accuracy_score(all_images.labels_N, r.logits_NK.argmax(1)) for r in found if r.name == row.recipe]
        assert row.score == pytest.approx(np.mean(mine)) and row.score_sd == pytest.approx(np.std(mine, ddof=1))
        assert row.seeds == (0, 1)
    assert story.comparison.images == len(all_images) and story.comparison.on == "held-out"
    assert story.thumbnails_NCHW is not None and np.array_equal(story.thumbnails_NCHW, all_images.images_NCHW)


def test_pooled_says_what_it_is_and_keeps_to_its_own_parts(
    source: str, home: Path, tiny: Quick, tmp_path: Path
) -> None:
    """Runs of other cuts of the same data may lie beside them."""
    data, runs = load(source, home), Runs(tmp_path)
    thirds, halves = (cross_validate([tiny("train.epochs=1")], source, home, runs, k=k) for k in (3, 2))
    numbers = [fold_numbers(data, mine[0].recipe.data) for mine in (thirds, halves)]
    (in_three,), (in_two,) = (pooled({"mlp": mine}, n) for mine, n in zip((thirds, halves), numbers, strict=True))
    assert in_three.data.title == "wardrobe, 3-fold cross-validation" and in_two.data.title.startswith(
        "wardrobe, 2-fold"
    )
    assert len({in_three.data.digest, in_two.data.digest, data.digest, *(run.data.digest for run in thirds)}) == 6
    assert pooled({"mlp": thirds[::-1]}, numbers[0])[0].logits_NK.tobytes() == in_three.logits_NK.tobytes()
    assert [run.part for run in halves] == ["fold 1 of 2", "fold 2 of 2"] and in_two.name == "mlp"


# ---------------------------------------------------------------- the command


@pytest.fixture
def pets(fashion: Dataset, tmp_path: Path) -> Path:
    """A folder of real pictures, 16 of each of three classes."""
    for c in (0, 1, 7):
        for i in np.flatnonzero(fashion.train.labels_N == c)[:16]:
            path = tmp_path / "pets" / f"class {c}" / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(fashion.train.images_NCHW[i, 0]).save(path)
    return tmp_path / "pets"


@pytest.mark.slow
def test_cv_on_a_folder_of_pictures(here: Command, pets: Path, tmp_path: Path) -> None:
    words = (
        "cv",
        "readme-004-mlp",
        "train.epochs=2",
        "--data",
        "pets",
        "--folds",
        "2",
        "--seeds",
        "1",
        "--home",
        "home",
    )
    done = here(*words, "--at-once", "1", "--json")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    told = json.loads(done.stdout)
    data, runs = load(str(pets), tmp_path / "home"), Runs(tmp_path / "runs")
    (comparison,) = told["comparisons"]
    assert comparison["images"] == len(not_test(data)) == 48 - data.test.n and comparison["on"] == "held-out"
    right = {
        run.recipe.data.fold: np.equal(run.predictions("test")[0].argmax(1), run.predictions("test")[1])
        for run in runs.list()
    }  # type: ignore[index]
    assert set(right) == {0, 1}
    assert comparison["rows"][0]["score"] == pytest.approx(np.concatenate(list(right.values())).mean())
    assert told["test_reads"] == {} and not (tmp_path / "runs" / "test_reads.jsonl").exists()
    page = (tmp_path / told["report"]).read_text()
    assert "held-out" in page and "2-fold cross-validation" in page


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train.epochs=2"], "name at least one recipe"),
        (["readme-004-mlp", "fast-mnist"], r"several data sets \(fashion-mnist, mnist\)"),
        (["readme-004-mlp", "readme-004-mlp"], 'two recipes are called "readme-004-mlp'),
        (["readme-004-mlp", "--metric", "acuracy"], 'nearest: "accuracy"'),
    ],
)
def test_cv_refuses(words: list[str], told: str) -> None:
    with pytest.raises(FittingroomError, match=told):
        app(["cv", *words], standalone_mode=False)


def test_parts_that_each_seed_draws_anew(source: str, home: Path, tiny: Quick, tmp_path: Path) -> None:
    """Repeated cross-validation: every seed scores each image once, in parts of its own."""
    data, runs = load(source, home), Runs(tmp_path)
    place = Workplace(runs=runs, home=home, device="cpu", at_once=1)
    recipes = [
        tiny("train.epochs=1"),
        tiny("model.layers=[{flatten=true}]", "train.epochs=1").model_copy(update={"name": "line"}),
    ]
    answer = cv(recipes, place, folds=K, data=source, seeds=range(2), redraw=True)
    (story,) = answer.stories
    (plain,) = cv(recipes, place, folds=K, data=source, seeds=range(1)).stories
    for recipe in (r.name for r in recipes):
        first, second = story.runs[recipe]
        assert first.logits_NK.tobytes() == plain.runs[recipe][0].logits_NK.tobytes()  # the first draw is the usual one
        drawn = [fold_numbers(data, recipes[0].data.model_copy(update={"folds": K, "split_seed": s})) for s in range(2)]
        for run, fold_N in zip((first, second), drawn, strict=True):
            assert np.array_equal(run.design.folds_N, fold_N) and np.array_equal(run.design.repeats_RN, drawn)
            assert np.array_equal(run.labels_N, not_test(data).labels_N) and run.data.digest == first.data.digest
        assert not np.array_equal(*drawn)
    by_part = {
        (run.seed, run.recipe.data.fold): run
        for run in runs.runs_of(runs.study(answer.study))
        if run.name.startswith("line")
    }
    for (seed, fold), run in by_part.items():
        said = run.predictions("test")
        mine = story.runs["line"][seed]
        assert said and np.array_equal(mine.logits_NK[mine.design.folds_N == fold], said[0])
    assert [pair.seeds for pair in story.comparison.pairs] == [2] and story.comparison.rows[0].seeds == (0, 1)
    (again,) = of_study(answer.study, runs)
    assert again.comparison == story.comparison
