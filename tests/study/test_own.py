"""Networks of a person's own, trained: what is hashed is what is trained, everywhere, and it can be made again."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st
from notebook import Notebook
from planned import plan, study_of
from trained import resealed

from fittingroom.data import Dataset
from fittingroom.metrics.story import gather
from fittingroom.models import MODELS
from fittingroom.models.source import capture
from fittingroom.spec.changes import told_apart
from fittingroom.spec.digest import NUMERICS, digest
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.read import read_recipe
from fittingroom.spec.recipe import ModelSpec, Recipe
from fittingroom.store import RunFolder, Runs
from fittingroom.store.runs import recipe_toml
from fittingroom.study.execute import execute
from fittingroom.training import predict
from fittingroom.training.rebuild import rebuild

TEXT = """from torch import nn
def build(channels, size, classes, hidden=8):
    return nn.Sequential(nn.Flatten(), nn.Linear(784, hidden), nn.ReLU(), nn.Linear(hidden, classes))
"""
CELL = """
from torch import nn
SLOPE = 0.1
class Net(nn.Sequential):
    def __init__(self, channels, classes, width=8):
        super().__init__(nn.Flatten(), nn.Linear(784 * channels, width), nn.LeakyReLU(SLOPE), nn.Linear(width, classes))
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with nothing in it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def with_model(quick: Callable[..., Recipe]) -> Callable[..., Recipe]:
    """A quick recipe called "own" with this model."""

    def make(**model: object) -> Recipe:
        found = {"kind": "python", "target": "mynet:build", **model}
        return quick().model_copy(update={"name": "own", "model": ModelSpec(**found)})  # type: ignore[arg-type]

    return make


def said(run: RunFolder, data: Dataset) -> np.ndarray:
    """What a run's network, made again, says of the first test images."""
    test = data.test.unlock(lambda: None).take(np.arange(50))
    return predict(rebuild(run, test), test)


def is_as_it_was(run: RunFolder, data: Dataset) -> bool:
    stored = run.predictions("test")
    return stored is not None and np.allclose(said(run, data), stored[0][:50], atol=1e-4)


def test_a_module_that_was_edited_is_another_run_with_other_weights(
    fashion: Dataset, with_model: Callable[..., Recipe], here: Path
) -> None:
    """In one process, as in a notebook: the same names and shapes of weights, another network."""
    runs = Runs(here / "runs")
    (here / "mynet.py").write_text(TEXT)
    first = execute(plan(with_model(), fashion, 0, "cpu", 1), runs)
    (here / "mynet.py").write_text(TEXT.replace("ReLU", "Tanh"))
    second = execute(plan(with_model(), fashion, 0, "cpu", 1), runs)
    assert first.name != second.name
    a, b = first.weights, second.weights
    assert a.keys() == b.keys() and not all(np.array_equal(a[name], b[name]) for name in a)
    assert [layer.kind for layer in first.structure.layers][2] == "ReLU"
    assert [layer.kind for layer in second.structure.layers][2] == "Tanh"
    (here / "mynet.py").unlink()
    assert is_as_it_was(first, fashion) and is_as_it_was(second, fashion)
    assert told_apart([first.recipe, second.recipe])[1].startswith("model.sources=")
    seed = execute(plan(first.recipe, fashion, 1, "cpu", 1), runs)
    with pytest.raises(FittingroomError, match='two different experiments are called "own"'):
        gather([second, seed], runs)


def test_a_run_of_one_file_has_the_digest_that_it_always_had(
    fashion: Dataset, with_model: Callable[..., Recipe], here: Path
) -> None:
    (here / "mynet.py").write_text(TEXT)
    job = plan(with_model(args={"hidden": 3}), fashion, 4, "cpu", 1)
    deciding = job.recipe.deciding()
    assert deciding["model"].pop("sources") == {"mynet": TEXT} and deciding["model"]["args"] == {"hidden": 3}
    by_hand = {
        "recipe": deciding, "data": fashion.digest, "seed": 4, "device": "cpu", "model_source": TEXT, "numerics": NUMERICS,
    }  # fmt: skip
    assert job.identity["digest"] == digest(by_hand)


def test_a_recipe_of_a_run_is_trained_again_elsewhere(
    fashion: Dataset, with_model: Callable[..., Recipe], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "mynet.py").write_text(TEXT)
    run = execute(plan(with_model(), fashion, 0, "cpu", 1), Runs(here / "runs"))
    text = (run.path / "recipe.toml").read_text()
    assert f'mynet = """\n{TEXT}"""\n' in text
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    (here / "mynet.py").unlink()
    Path("recipe.toml").write_text(text)
    again = execute(plan(read_recipe("recipe.toml"), fashion, 0, "cpu", 1), Runs(Path("runs")))
    assert again.name == run.name
    assert (again.path / "weights.safetensors").read_bytes() == (run.path / "weights.safetensors").read_bytes()


@pytest.mark.slow
def test_two_workers_train_what_only_a_cell_defines(
    fashion: Dataset, with_model: Callable[..., Recipe], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A class, a registered function and an instance of `__main__`, in processes that have another `__main__`."""
    monkeypatch.setattr(MODELS, "functions", dict(MODELS.functions))
    notebook = Notebook(monkeypatch)
    notebook.run(CELL)
    notebook.run(
        "from fittingroom.models import MODELS\n@MODELS.register\n"
        "def registered(channels, size, classes, *, width=8):\n    return Net(channels, classes, width)\n"
    )
    models = [
        dict(zip(("target", "sources"), capture(notebook["Net"]), strict=True)),
        {"kind": "registered", "target": "", "args": {"width": 4}},
        dict(zip(("target", "sources"), capture(notebook["Net"](1, 10, 6)), strict=True)),
    ]
    recipes = [with_model(**model).model_copy(update={"name": f"own {i}"}) for i, model in enumerate(models)]
    runs = Runs(here / "runs")
    study = study_of(recipes, runs, at_once=2)
    assert [job.recipe.model.target for job in study.jobs] == [
        "own_code:Net",
        "own_code:registered",
        "own_code:network",
    ]
    assert study.jobs[1].recipe.model.args == {"width": 4} and study.at_once == 2
    finished = study.train()
    assert [run.weights["body.1.bias"].shape for run in finished] == [(8,), (4,), (6,)]
    assert all(is_as_it_was(run, fashion) for run in finished)
    assert runs.test_reads() == {"fashion-mnist": 3}


def test_a_run_that_kept_no_sources_is_made_again_only_of_the_same_file(
    fashion: Dataset, with_model: Callable[..., Recipe], here: Path
) -> None:
    """As runs of before did. The digest knows what they were trained with."""
    (here / "mynet.py").write_text(TEXT)
    run = execute(plan(with_model(), fashion, 0, "cpu", 1), Runs(here / "runs"))
    recipe = run.recipe
    old = recipe.model_copy(update={"model": recipe.model.model_copy(update={"sources": {}})})
    (run.path / "recipe.toml").write_text(recipe_toml(old))
    resealed(run)
    assert not run.recipe.model.sources and is_as_it_was(run, fashion)
    assert plan(run.recipe, fashion, 0, "cpu", 1).folder(Runs(here / "runs")).name == run.name
    (here / "mynet.py").write_text(TEXT + "# a word\n")
    with pytest.raises(
        FittingroomError, match="keeps no source of its network, and mynet:build is not what it was trained"
    ):
        said(run, fashion)
    (here / "mynet.py").unlink()
    with pytest.raises(
        FittingroomError, match=r"cannot be made again: .*no such module; put the file back as it was, or"
    ):
        said(run, fashion)
    (run.path / "recipe.toml").write_text(
        recipe_toml(recipe).replace("from torch import nn", "import not_installed_here")
    )
    resealed(run)
    with pytest.raises(FittingroomError, match=r"No module named 'not_installed_here' .*; install it$"):
        said(run, fashion)


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ({"kind": "resnet20", "target": "", "sources": {"a": "b"}}, "sources are of a python model"),
        ({"target": "a:b", "sources": {"b": ""}}, 'hold the module of target = "a:b"'),
    ],
)
def test_sources_that_belong_to_nothing_are_refused(
    model: dict[str, object], told: str, with_model: Callable[..., Recipe]
) -> None:
    with pytest.raises(ValueError, match=told):
        with_model(**model)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=40))
def test_any_text_comes_back_out_of_a_recipe(text: str) -> None:
    recipe = read_recipe("readme-004-mlp").model_copy(
        update={"model": ModelSpec(kind="python", target="a.b:c", sources={"a.b": f"{text}\n", "a": text})}
    )
    found = tomllib.loads(recipe_toml(recipe))["model"]["sources"]
    assert found == {"a.b": f"{text}\n", "a": text}


def test_a_recipe_without_sources_says_nothing_of_them() -> None:
    recipe = read_recipe("readme-004-mlp")
    assert "sources" not in recipe_toml(recipe) and "sources" not in json.dumps(recipe.deciding())
    plain = recipe.model_dump(mode="json", exclude_none=True, exclude={"claims", "measured", "space"})
    del plain["model"]["sources"]
    assert recipe_toml(recipe) == tomli_w.dumps(plain)
