"""Starting from a run: found by name or path, known by its content; the same recipe from it and from scratch."""

from __future__ import annotations

import html
import json
import math
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import Run, two_classes
from PIL import Image
from planned import Planned, plan
from trained import resealed

from fittingroom.cli.main import app
from fittingroom.data import Dataset, load
from fittingroom.metrics.transfer import Step, cells, sentences, step
from fittingroom.metrics.verdict import Question, compare
from fittingroom.questions.transfer import LEAST_STEPS, both, sized
from fittingroom.report.transfer_page import write_transfer_page
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.read import read_recipe
from fittingroom.spec.recipe import Recipe
from fittingroom.spec.records import TIMINGS
from fittingroom.store import RunFolder, Runs
from fittingroom.study.execute import Update, execute
from fittingroom.study.initial import initial
from fittingroom.study.job import Job
from fittingroom.study.plan import Experiment

Quick = Callable[..., Recipe]
Command = Callable[..., subprocess.CompletedProcess[str]]
HOME = Path("no such home")  # a run needs none
LINEAR = ("model.layers=[{flatten=true}, {dense=16}, {act='relu'}]", "train.epochs=1", "data.limit=200")


@pytest.fixture(scope="module")
def base(fashion: Dataset, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A small run on real pictures, not to be changed."""
    recipe = read_recipe("readme-004-mlp", [*LINEAR, "train.precision=fp32"])
    return execute(plan(recipe, fashion, 0, "cpu", 1, score_test=False), Runs(tmp_path_factory.mktemp("base") / "runs"))


@pytest.fixture
def begun(base: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of it among a test's own runs."""
    return RunFolder(Path(shutil.copytree(base.path, tmp_path / "runs" / base.name)))


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path / "runs")


@pytest.fixture
def planned(fashion: Dataset, quick: Quick, runs: Runs) -> Callable[..., Job]:
    return lambda init, *overrides: plan(
        quick("readme-004-mlp", *LINEAR, f'model.init="{init}"', *overrides), fashion, 0, "cpu", 1, False, runs
    )


def retrained(run: RunFolder) -> None:
    """Other weights under the same name."""
    run.write_weights({name: array + np.float32(0.01) for name, array in run.weights.items()})


# ---------------------------------------------------------------- which weights


def test_a_run_is_found_by_name_beginning_path_and_label(begun: RunFolder, runs: Runs) -> None:
    by_name = initial(begun.name, runs, HOME)
    assert by_name is not None and by_name.label == f"{begun.name}@{by_name.sha256[:16]}"
    for word in (
        begun.name[:14],
        str(begun.path),
        f"runs/{begun.name}",
        by_name.label,
        f"{begun.path}@{by_name.sha256}",
    ):
        found = initial(word, runs, HOME)
        assert found is not None and (found.sha256, found.label) == (by_name.sha256, by_name.label)
    assert initial("", runs, HOME) is None
    start, weights = by_name.read(), begun.weights
    assert start.classes == begun.data.classes and start.weights.keys() == weights.keys()
    assert all(np.array_equal(start.weights[name], weights[name]) for name in weights)


@pytest.mark.parametrize("place", ["me@work", "a b", "x=1", "ö#"])
def test_a_run_may_lie_anywhere(place: str, begun: RunFolder, runs: Runs, tmp_path: Path) -> None:
    moved = shutil.copytree(begun.path, tmp_path / place / begun.name)
    there, here = initial(str(moved), runs, HOME), initial(begun.name, runs, HOME)
    assert there is not None and here is not None and there.label == here.label


def test_the_label_of_the_working_directory_has_the_runs_name(
    begun: RunFolder, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(begun.path)
    found = initial(".", runs, HOME)
    assert found is not None and found.label.startswith(f"{begun.name}@")


def test_what_cannot_be_started_from_is_refused(begun: RunFolder, runs: Runs) -> None:
    with pytest.raises(FittingroomError, match='unknown run "readme-005"; .*fittingroom runs'):
        initial("readme-005", runs, HOME)
    label = initial(begun.name, runs, HOME).label  # type: ignore[union-attr]
    wrong = f"{begun.name}@{'0' * 16}"
    with pytest.raises(FittingroomError, match=f"{wrong} is asked for, but the weights of .* are {label}"):
        initial(wrong, runs, HOME)
    (begun.path / "DONE").unlink()
    with pytest.raises(FittingroomError, match="is not finished"):
        initial(begun.name, runs, HOME)
    (begun.path / "DONE").write_text("2026-11-20T10:00:00+00:00\n")  # as before there were seals
    (begun.path / "weights.safetensors").unlink()
    with pytest.raises(FittingroomError, match="model.init: cannot read .*weights.safetensors: No such file"):
        initial(begun.name, runs, HOME)


def test_weights_that_changed_after_planning_are_refused(
    begun: RunFolder, runs: Runs, planned: Callable[..., Job]
) -> None:
    job = planned(begun.name)
    retrained(begun)
    with pytest.raises(FittingroomError, match="have changed since this study was planned"):
        execute(job, runs)
    assert not job.folder(runs).done
    with pytest.raises(FittingroomError, match="is asked for, but the weights of"):
        planned(job.recipe.model.init)


def test_weights_that_do_not_fit_are_refused_before_anything_is_trained(
    begun: RunFolder, planned: Callable[..., Job]
) -> None:
    with pytest.raises(FittingroomError, match="model.init: 1.weight is 16×784 there and 17×784 here"):
        planned(begun.name, "model.layers.1.dense=17")
    with pytest.raises(FittingroomError, match="model.freeze: 2 of 2 layers"):
        planned(begun.name, "model.freeze=2")


# ---------------------------------------------------------------- identity


def test_the_content_of_the_weights_decides_and_not_where_they_are(
    begun: RunFolder, runs: Runs, planned: Callable[..., Job], tmp_path: Path
) -> None:
    elsewhere = RunFolder(Path(shutil.copytree(begun.path, tmp_path / "elsewhere" / "renamed")))
    first, moved = planned(begun.name), planned(elsewhere.path)
    assert first.identity["digest"] == moved.identity["digest"] == planned(first.recipe.model.init).identity["digest"]
    others = [planned(begun.name, "model.freeze=1"), planned(begun.name, "optimizer.layer_decay=0.5"), planned("")]
    retrained(elsewhere)
    others.append(planned(elsewhere.path))
    assert len({job.identity["digest"] for job in (first, *others)}) == 5
    run = execute(first, runs)
    assert run.recipe.model.init == initial(begun.name, runs, HOME).label  # type: ignore[union-attr]
    assert str(tmp_path) not in (run.path / "recipe.toml").read_text(), "a path is nobody else's"


def test_a_training_from_a_run_begins_with_its_weights_and_resumes_to_the_same_bytes(
    begun: RunFolder, runs: Runs, planned: Callable[..., Job], tmp_path: Path
) -> None:
    words = ("train.epochs=3", "optimizer.layer_decay=0.5", "model.freeze=1")
    job = planned(begun.name, *words)
    whole = execute(job, runs)
    frozen = ("body.1.weight", "body.1.bias")
    start, after = begun.weights, whole.weights
    assert {name for name in after if np.array_equal(after[name], start[name])} == {*frozen, "mean", "scale"}

    def stop(sign: Update) -> None:
        if sign.record:
            raise KeyboardInterrupt

    cut = Runs(tmp_path / "cut")
    with pytest.raises(KeyboardInterrupt):
        execute(job, cut, listen=stop)
    retrained(begun)  # it was begun with what is in its checkpoint
    again = execute(job, cut)
    assert (again.path / "weights.safetensors").read_bytes() == (whole.path / "weights.safetensors").read_bytes()
    facts = [[e.model_dump(exclude=set(TIMINGS)) for e in run.epochs] for run in (again, whole)]
    assert facts[0] == facts[1] and len(facts[0]) == 3


# ---------------------------------------------------------------- the two ways


def without(recipe: Recipe) -> dict[str, object]:
    """All of a recipe but its name and what means something from trained weights only."""
    tree = recipe.model_dump(
        mode="json", exclude={"name": True, "model": {"init", "freeze"}, "optimizer": {"layer_decay"}}
    )
    return dict(tree)


def test_both_ways_are_one_recipe(base: RunFolder) -> None:
    changes = ["model.freeze=body", "optimizer.layer_decay=0.5", "optimizer.lr=0.01", "train.batch_size=32"]
    scratch, tuned = both(base, changes)
    assert (scratch.model.init, scratch.model.freeze, scratch.optimizer.layer_decay) == ("", 0, 1.0)
    assert (tuned.model.init, tuned.model.freeze, tuned.optimizer.layer_decay) == (str(base.path), "body", 0.5)
    assert without(scratch) == without(tuned)
    assert (scratch.optimizer.lr, scratch.train.batch_size) == (
        0.01,
        32,
    ) and scratch.model.layers == base.recipe.model.layers
    assert (scratch.data.image_size, scratch.data.channels) == (28, 1), "what the weights know"
    assert (scratch.name, tuned.name) == ("from scratch", "from readme-004-mlp")


def test_a_run_that_was_itself_tuned_is_taken_as_a_plain_recipe(
    begun: RunFolder, runs: Runs, planned: Callable[..., Job]
) -> None:
    tuned_before = execute(planned(begun.name, "model.freeze=1", "optimizer.layer_decay=0.5"), runs)
    scratch, tuned = both(tuned_before, [])
    assert (scratch.model.init, scratch.model.freeze, scratch.optimizer.layer_decay) == ("", 0, 1.0)
    assert (tuned.model.init, tuned.model.freeze) == (str(tuned_before.path), 0)


def test_from_scratch_is_from_scratch(base: RunFolder) -> None:
    """Whatever a person asks for."""
    try:
        scratch, _ = both(base, [f"model.init={base.path}"])
    except FittingroomError:
        return
    assert scratch.model.init == ""


@pytest.mark.parametrize("name", ["7", "true", "1979-05-27", "'x'"])
def test_a_run_folder_may_be_called_anything(name: str, begun: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(begun.path, tmp_path / name)
    assert both(RunFolder(Path(name)), [])[1].model.init == name


@pytest.mark.parametrize("name", ["scratch", "scratch-net"])
def test_a_recipe_may_be_called_scratch(name: str, begun: RunFolder, fashion: Dataset) -> None:
    text = (begun.path / "recipe.toml").read_text()
    (begun.path / "recipe.toml").write_text(text.replace('name = "readme-004-mlp"', f'name = "{name}"', 1))
    resealed(begun)
    scratch, tuned = both(begun, [])
    assert scratch.name != tuned.name
    right = {scratch.name: 0.6, tuned.name: 0.9}
    compared = compare("pets", [run for n, share in right.items() for run in made_up(n, share)])
    found = step(30, "10 a class", scratch.name, compared)
    assert (found.scratch.recipe, found.tuned.recipe) == (scratch.name, tuned.name)


@settings(max_examples=60)
@given(
    st.integers(2, 3000), st.sampled_from([1, 16, 64, 1000]), st.integers(1, 40),
    st.lists(st.integers(1, 400), min_size=1, max_size=4, unique=True),
)  # fmt: skip
def test_sizes_grow_to_all_and_both_ways_take_the_same_steps(
    fashion: Dataset, base: RunFolder, n: int, batch: int, epochs: int, wanted: list[int]
) -> None:
    changes = [
        f"train.batch_size={batch}",
        f"train.epochs={epochs}",
        "train.select=best_val",
        "train.patience=3",
        "data.folds=3",
    ]
    data = replace(fashion, train=fashion.train.take(np.arange(n)))
    steps = sized(both(base, changes), data, wanted)
    fits = sorted(w for w in wanted if 10 * w < n)
    assert [(s.images, s.label) for s in steps] == [*((10 * w, f"{w} a class") for w in fits), (n, f"all {n:,}")]
    for s in steps:
        scratch, tuned = s.recipes
        assert [recipe.name for recipe in s.recipes] == ["from scratch", "from readme-004-mlp"]
        for recipe in s.recipes:
            assert (recipe.train.select, recipe.train.patience, recipe.data.val_fraction, recipe.data.folds) == (
                "last",
                0,
                0,
                0,
            )
            assert recipe.data.limit == (None if s.images == n else s.images)
        assert scratch.train == tuned.train and scratch.data == tuned.data
        taken = tuned.train.epochs * math.ceil(s.images / batch)
        assert taken >= LEAST_STEPS and tuned.train.epochs >= epochs
        assert tuned.train.epochs == epochs or taken < LEAST_STEPS + math.ceil(s.images / batch)
    assert Recipe.model_validate(steps[0].recipes[1].model_dump()) == steps[0].recipes[1], (
        "what is made is a valid recipe"
    )


def test_a_size_asked_for_twice_is_one(base: RunFolder, fashion: Dataset) -> None:
    assert [s.label for s in sized(both(base, []), fashion, [100, 10, 100])] == [
        "10 a class",
        "100 a class",
        "all 60,000",
    ]


def test_both_ways_see_the_same_images_as_often(
    begun: RunFolder, runs: Runs, fashion: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fittingroom.questions.transfer.LEAST_STEPS", 12)
    (size, _) = sized(both(begun, ["train.batch_size=16"]), fashion, [10])
    experiments = [
        Experiment(recipe, "fashion-mnist", [0], part=size.label, score_test=False) for recipe in size.recipes
    ]
    scratch, tuned = Planned(experiments, runs, at_once=1).train()
    assert scratch.data == tuned.data and scratch.data.n_train == 100 and scratch.data.n_val == 0
    assert len(scratch.epochs) == len(tuned.epochs) == 2
    assert scratch.weights.keys() == tuned.weights.keys()
    assert tuned.epochs[0].train_loss < scratch.epochs[0].train_loss, "it knows these pictures"


# ---------------------------------------------------------------- the page


def made_up(name: str, share: float, n: int = 200, seeds: int = 3) -> list[Run]:
    """Runs that are right on about `share` of the images."""
    rng = np.random.default_rng(int(1000 * share))
    return [Run(name, seed, *two_classes(rng.permutation(np.arange(n) < share * n + seed))) for seed in range(seeds)]


def steps_of(shares: dict[int, tuple[float, float]], metric: str = "accuracy", source: str = "net") -> list[Step]:
    found = []
    for images, (scratch, tuned) in shares.items():
        runs = made_up(f"from {source}", tuned) + made_up("from scratch", scratch)
        found.append(step(images, f"{images} a class", "from scratch", compare("pets", runs, Question(metric))))
    return found


@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_the_gain_is_that_of_the_trained_weights_with_its_sign(metric: str) -> None:
    steps = steps_of({30: (0.5, 0.8), 300: (0.9, 0.6), 3000: (0.8, 0.8)}, metric)
    head, *lines = cells(steps)
    assert len(head) == 7 and all(len(line) == 7 for line in lines)
    better = 1 if metric == "accuracy" else -1
    for line, s in zip(lines, steps, strict=True):
        assert s.scratch.recipe == "from scratch" and s.tuned.recipe == "from net"
        gain, low, high = map(float, re.sub(r"[\[\],]", " ", line[5]).split())
        assert line[0] == s.label and low <= gain <= high
        assert gain == pytest.approx(better * (float(line[3]) - float(line[1])), abs=0.011)
        same = metric == "accuracy" and max(-low, high) < 1
        assert line[6] == ("the same" if same else "yes" if low > 0 or high < 0 else "open")
    assert [line[6] for line in lines] == ["yes", "yes", "the same" if metric == "accuracy" else "open"]
    assert lines[0][5].startswith("+") and lines[1][5].startswith("-")


def test_the_page_tells_each_step_and_escapes_names(tmp_path: Path) -> None:
    steps = steps_of({30: (0.5, 0.8), 300: (0.9, 0.6)}, source="<b>net</b>")
    path = write_transfer_page(steps, "<b>net</b>", "pets & <i>co</i>", tmp_path / "deep" / "page.html")
    page = path.read_text()
    assert "<b>net" not in page and "<i>co" not in page and "pets &amp; &lt;i&gt;co" in page
    for text in [*sentences(steps), *(cell for line in cells(steps) for cell in line)]:
        assert html.escape(text, quote=False) in page.replace("&#39;", "'").replace("&#34;", '"')
    assert "3 seeds each" in page and "<script" not in page and not re.search(r'(src|href)="(?!data:|#)', page)


def test_one_seed_has_a_page(tmp_path: Path) -> None:
    runs = made_up("from net", 0.8, seeds=1) + made_up("from scratch", 0.5, seeds=1)
    steps = [step(60, "all 60", "from scratch", compare("pets", runs))]
    assert cells(steps)[1][6] == "open" and "–" in cells(steps)[1]
    assert "one seed" in write_transfer_page(steps, "net", "pets", tmp_path / "page.html").read_text()


# ---------------------------------------------------------------- the command


@pytest.mark.slow
def test_transfer_on_a_folder_of_pictures(here: Command, begun: RunFolder, fashion: Dataset, tmp_path: Path) -> None:
    labels = fashion.train.labels_N[600:]
    for c in (0, 1, 7):
        for i in 600 + np.flatnonzero(labels == c)[:15]:
            path = tmp_path / "pets" / f"class {c}" / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(fashion.train.images_NCHW[i, 0]).resize((40, 40)).save(path)
    words = [
        "transfer",
        begun.name,
        "--data",
        "pets",
        "--per-class",
        "10",
        "--seeds",
        "2",
        "--home",
        "home",
        "--at-once",
        "1",
    ]
    done = here(*words, "--json", "train.batch_size=1", "model.freeze=body")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    told = json.loads(done.stdout)
    data, runs = load(str(tmp_path / "pets"), tmp_path / "home", shape=both(begun, [])[0].data), Runs(tmp_path / "runs")
    assert data.train.shape == (1, 28, 28) and len(data.train) == 36
    assert [(s["images"], s["label"]) for s in told["steps"]] == [(30, "10 a class"), (36, "all 36")]
    for s in told["steps"]:
        for way, name in (("scratch", "from scratch"), ("tuned", "from readme-004-mlp")):
            mine = [run for run in runs.list() if (run.recipe.name, run.part) == (name, s["label"])]
            assert [run.seed for run in mine] == s[way]["seeds"] == [0, 1]
            accuracies = [run.metrics.test.accuracy for run in mine if run.metrics.test]
            assert s[way]["score"] == pytest.approx(np.mean(accuracies))
            assert all(run.data.n_train == s["images"] and run.data.n_test == data.test.n for run in mine)
            assert {run.metrics.epochs for run in mine} == {math.ceil(LEAST_STEPS / s["images"])}
            body = [run.weights["body.1.weight"] for run in mine]
            same = [np.array_equal(array, begun.weights["body.1.weight"]) for array in body]
            assert same == [way == "tuned"] * 2
        assert s["comparison"]["metric"] == "accuracy" and s["comparison"]["images"] == data.test.n
    assert "10 a class" in (tmp_path / told["report"]).read_text()
    assert runs.test_reads() == {"pets": 8}


def test_transfer_refuses(begun: RunFolder, tmp_path: Path) -> None:
    for words, told in (
        ([begun.name], "say which data"),
        (["nothing", "--data", "fashion-mnist"], "unknown run"),
        ([begun.name, "--data", "fashion-mnist", "model.freeze=2"], "model.freeze: 2 of 2 layers"),
        ([begun.name, "--data", "fashion-mnist", "model.freez=1"], "model.freez: no such key"),
        ([begun.name, "--data", "fashion-mnist", "--metric", "acuracy"], 'nearest: "accuracy"'),
    ):
        with pytest.raises(FittingroomError, match=told):
            app(["transfer", *words, "--seeds", "1"], standalone_mode=False)
    (begun.path / "DONE").unlink()
    with pytest.raises(FittingroomError, match="is not finished"):
        app(["transfer", begun.name, "--data", "fashion-mnist"], standalone_mode=False)
    assert [run.name for run in Runs(tmp_path / "runs").list()] == [begun.name]
