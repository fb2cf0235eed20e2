"""Mirrors, read back by the trackers' own readers; asked twice; begun in the middle of a run; and refused."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import reduce
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from planned import plan
from scipy import stats
from statsmodels.stats.proportion import proportion_confint
from trained import resealed
from waiting import PATIENCE_S, until

from fittingroom.cli.mirror import mirror as mirror_command
from fittingroom.data import load
from fittingroom.export import export
from fittingroom.export.mirrors import TRACKERS, Copied, read
from fittingroom.inference import Classifier
from fittingroom.metrics.calibration import calibration_error
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.read import read_recipe
from fittingroom.spec.records import Epoch
from fittingroom.store import RunFolder, Runs, Study
from fittingroom.study.execute import execute
from fittingroom.study.workplace import Workplace

pytestmark = [
    pytest.mark.slow,  # MLflow alone is imported for seconds
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning:mlflow"),
]
Command = Callable[..., subprocess.CompletedProcess[str]]
CURVES = ("lr", "train_loss", "train_accuracy", "clean_loss", "clean_accuracy", "val_loss", "val_accuracy")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A finished run with a bundle. Tests copy it."""
    runs = Runs(tmp_path_factory.mktemp("runs"))
    recipe = read_recipe("readme-004-cnn", ["train.epochs=3", "data.limit=1500", "train.precision=fp32"])
    run = execute(plan(recipe, load("fashion-mnist"), 0, "cpu", 1, True, runs), runs)
    export(run, Workplace(runs=runs))
    return run


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty one of MLflow's, which takes seconds to make."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def run(exported: RunFolder, database: Path, tmp_path: Path) -> RunFolder:
    """The same in a runs folder of this test's own."""
    copy = tmp_path / "runs" / exported.name
    shutil.copytree(exported.path, copy)
    shutil.copy(database, copy.parent)
    return RunFolder(copy)


def mirror(tracker: str, run: RunFolder, to: str = "") -> Copied:
    return TRACKERS[tracker](Runs(run.path.parent), to).copy(read(run))


def unfinish(run: RunFolder, epochs: int) -> Path:
    """Make it a run that is just training, in the middle of a line; the folder that holds what was taken away."""
    kept = run.path.parent.parent / "kept"
    kept.mkdir(exist_ok=True)
    for name in ("DONE", "metrics.json", "predictions.npz", "weights.safetensors", "epochs.jsonl"):
        shutil.move(run.path / name, kept / name)
    shutil.move(run.bundle.path, kept / "bundle")
    lines = (kept / "epochs.jsonl").read_text().splitlines(keepends=True)
    (run.path / "epochs.jsonl").write_text("".join(lines[:epochs]) + lines[epochs][:20])
    return kept


def go_on(run: RunFolder, kept: Path) -> None:
    shutil.copytree(kept, run.path, dirs_exist_ok=True)


def client_of(run: RunFolder) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{run.path.parent / 'mlflow.db'}")


def copies(client: Any) -> list[Any]:
    return list(client.search_runs([e.experiment_id for e in client.search_experiments()]))


def curve(client: Any, run_id: str, key: str) -> list[tuple[int, float]]:
    return [(m.step, m.value) for m in client.get_metric_history(run_id, key)]


def curve_of(epochs: list[Epoch], key: str) -> list[tuple[int, float]]:
    return [(e.epoch, getattr(e, key)) for e in epochs]


# ---------------------------------------------------------------- MLflow


@pytest.mark.main_job
def test_mlflow_reads_back_what_the_run_holds(run: RunFolder) -> None:
    copied = mirror("mlflow", run)
    client = client_of(run)
    (found,) = copies(client)
    assert copied.place == found.info.run_id and found.info.run_name == run.name
    assert client.get_experiment(found.info.experiment_id).name == "fashion-mnist"
    for key in CURVES:
        assert curve(client, found.info.run_id, key) == curve_of(run.epochs, key)
    test = run.metrics.test
    assert test
    assert {k: v for k, v in found.data.metrics.items() if k.startswith("test")} == pytest.approx(
        {f"test_{k}": getattr(test, k) for k in ("accuracy", "loss", "ece")} | intervals(run)
    )
    assert curve(client, found.info.run_id, "test_accuracy") == [(3, test.accuracy)]
    assert found.info.status == "FINISHED" and found.data.metrics["train_s"] == run.metrics.train_s
    passed_s = (found.info.end_time - found.info.start_time) / 1000
    assert passed_s == pytest.approx(run.metrics.train_s + run.metrics.eval_s, abs=0.002)
    tags = found.data.tags
    assert tags["fittingroom.digest"] == run.identity["digest"] and tags["fittingroom.status"] == "finished"
    assert (tags["fittingroom.recipe"], tags["fittingroom.seed"]) == ("readme-004-cnn", "0")
    assert tags["fittingroom.version"] == run.environment.fittingroom
    assert socket.gethostname() not in json.dumps(tags) and f'"{getpass.getuser()}"' not in json.dumps(tags)


def intervals(run: RunFolder) -> dict[str, float]:
    """By others' formulas: Wilson's interval of the accuracy, Student's of the loss."""
    logits, labels = run.predictions("test")  # type: ignore[misc]
    low, high = proportion_confint((logits.argmax(1) == labels).sum(), len(labels), method="wilson")
    exact = logits.astype(np.float64)
    losses = np.log(np.exp(exact).sum(1)) - exact[np.arange(len(labels)), labels]
    loss_low, loss_high = stats.t.interval(0.95, len(losses) - 1, losses.mean(), stats.sem(losses))
    assert run.metrics.test and run.metrics.test.ece == calibration_error(logits, labels)
    return {
        "test_accuracy_low": low,
        "test_accuracy_high": high,
        "test_loss_low": loss_low,
        "test_loss_high": loss_high,
    }


def test_mlflow_gets_the_recipe_by_path_and_as_a_file(run: RunFolder, tmp_path: Path) -> None:
    mirror("mlflow", run)
    client = client_of(run)
    (found,) = copies(client)
    recipe = tomllib.loads((run.path / "recipe.toml").read_text())
    plain = {k: v for k, v in found.data.params.items() if not k.startswith(("model.layers", "seed"))}
    assert plain["train.precision"] == "fp32" and plain["data.limit"] == "1500"
    for path, value in plain.items():
        stated = reduce(lambda tree, key: tree[key], path.split("."), recipe)
        assert str(stated).lower() == value.lower(), path
    for i, layer in enumerate(recipe["model"]["layers"]):
        assert tomllib.loads(f"layer = {found.data.params[f'model.layers.{i}']}")["layer"].items() <= layer.items()
    assert f"model.layers.{i + 1}" not in found.data.params and found.data.params["seed"] == "0"
    place = Path(client.download_artifacts(found.info.run_id, "", str(tmp_path)))
    assert (place / "recipe.toml").read_bytes() == (run.path / "recipe.toml").read_bytes()
    assert (place / "metrics.json").read_bytes() == (run.path / "metrics.json").read_bytes()
    figures = {file.name: file.read_bytes() for file in (place / "figures").iterdir()}
    assert set(figures) == {"accuracy_curves.png", "loss_curves.png", "confusion.png", "structure.png"}
    assert all(png.startswith(b"\x89PNG") and len(png) > 5000 for png in figures.values())
    assert not (Path.cwd() / "mlruns").exists()  # where MLflow puts files unless it is told


@pytest.mark.main_job
def test_mlflow_s_model_says_what_the_bundle_says(run: RunFolder, exported: RunFolder) -> None:
    from mlflow import pyfunc

    copied = mirror("mlflow", run)
    client = client_of(run)
    place = Path(client.get_logged_model(copied.model.removeprefix("models:/")).artifact_location.removeprefix("file:"))
    assert not [file for file in place.rglob("*") if "pkl" in file.name or "pickle" in file.name]
    model = pyfunc.load_model(str(place))
    images = Runs(exported.path.parent).thumbnails(run.data.digest)[:700]  # type: ignore[index]
    assert np.array_equal(model.predict(images), Classifier(run.bundle).graph.predict(images)[1])
    assert model.metadata.metadata["classes"] == list(run.data.classes)
    assert model.metadata.get_input_schema().numpy_types() == [np.uint8]
    assert [tuple(x.shape) for x in model.metadata.get_input_schema()] == [(-1, 1, 28, 28)]
    assert [tuple(x.shape) for x in model.metadata.get_output_schema()] == [(-1, 10)]
    assert "fittingroom[serve]" in (place / "requirements.txt").read_text()
    (found,) = copies(client)
    assert [m.model_id for m in found.outputs.model_outputs] == [copied.model.removeprefix("models:/")]


@pytest.mark.slow
@pytest.mark.main_job
def test_mlflow_serves_the_model(run: RunFolder, exported: RunFolder, tmp_path: Path) -> None:
    copied = mirror("mlflow", run)
    images = Runs(exported.path.parent).thumbnails(run.data.digest)[:20]  # type: ignore[index]
    uri = f"sqlite:///{run.path.parent / 'mlflow.db'}"
    words = ["models", "serve", "--env-manager", "local", "--model-uri", copied.model]
    with listening(words, "/ping", tmp_path, MLFLOW_TRACKING_URI=uri) as address:
        question = json.dumps({"inputs": images.tolist()}).encode()
        kind = {"Content-Type": "application/json"}
        asked = urllib.request.Request(f"{address}/invocations", question, kind)
        with urllib.request.urlopen(asked, timeout=PATIENCE_S) as response:
            said = json.load(response)["predictions"]
        assert np.array_equal(np.float32(said), Classifier(run.bundle).graph.predict(images)[1])
        wrong = urllib.request.Request(f"{address}/invocations", b'{"inputs": [[1, 2]]}', kind)
        with pytest.raises(urllib.error.HTTPError, match="400") as refused:
            urllib.request.urlopen(wrong, timeout=PATIENCE_S)
        refused.value.close()


@contextmanager
def listening(words: list[str], ready: str, folder: Path, **env: str) -> Iterator[str]:
    """The command `mlflow WORDS` on a free port until the block ends; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (folder / "server.log").open("w")
    command = [sys.executable, "-m", "mlflow", *words, "--host", "127.0.0.1", "--port", f"{port}"]
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # it calls uvicorn by name
    settings = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "PATH": paths} | env
    process = subprocess.Popen(command, env=settings, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        address = f"http://127.0.0.1:{port}"
        until(lambda: process.poll() is not None or answers(address + ready), pause_s=0.1)
        assert process.poll() is None, (folder / "server.log").read_text()
        yield address
    finally:
        os.killpg(process.pid, 15)
        process.wait(PATIENCE_S)
        log.close()


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=1) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False


@pytest.mark.slow
@pytest.mark.skipif(find_spec("flask") is None, reason="a tracking server needs the whole of MLflow")
def test_a_tracking_server_gets_it_all_and_the_model_comes_back(run: RunFolder, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    words = ["server", "--backend-store-uri", f"sqlite:///{tmp_path / 'server.db'}", "--workers", "1"]
    words += ["--artifacts-destination", str(tmp_path / "kept")]
    with listening(words, "/health", tmp_path) as address:
        first, again = mirror("mlflow", run, address), mirror("mlflow", run, address)
        client = MlflowClient(tracking_uri=address)
        (found,) = copies(client)
        assert (first.place, first.model, again.added) == (again.place, again.model, 0)
        assert curve(client, first.place, "val_loss") == curve_of(run.epochs, "val_loss")
        files = {file.path for file in client.list_artifacts(first.place)}
        assert files == {"figures", "recipe.toml", "metrics.json"} and found.info.status == "FINISHED"
        graphs = [file.read_bytes() for file in (tmp_path / "kept").rglob("model.onnx")]
        assert graphs == [run.bundle.graph()]


# ---------------------------------------------------------------- TensorBoard


@pytest.mark.main_job
def test_tensorboard_reads_back_what_the_run_holds(run: RunFolder) -> None:
    copied = mirror("tensorboard", run)
    assert copied.place == str(run.path.parent / "tensorboard" / run.name)
    found = opened(copied.place)
    for key in CURVES:
        values = [(e.step, e.value) for e in found.Scalars(key.replace("_", "/"))]
        assert values == [(epoch, np.float32(value)) for epoch, value in curve_of(run.epochs, key)]
    test = run.metrics.test
    assert test
    (shown,) = found.Scalars("test/accuracy")
    assert (shown.step, shown.value) == (3, pytest.approx(test.accuracy))
    for key, value in intervals(run).items():
        assert found.Scalars(key.replace("_", "/", 1))[0].value == pytest.approx(value)
    assert set(found.Tags()["images"]) == {
        f"figures/{x}" for x in ("accuracy_curves", "loss_curves", "confusion", "structure")
    }
    (image,) = found.Images("figures/confusion")
    assert image.encoded_image_string.startswith(b"\x89PNG") and image.width > 300
    (text,) = found.Tensors("recipe")
    assert (run.path / "recipe.toml").read_text() in text.tensor_proto.string_val[0].decode()
    start = parameters(found)
    assert start["train.epochs"].number_value == 3 and start["optimizer.kind"].string_value == "adam"
    assert start["seed"].number_value == 0 and start["optimizer.nesterov"].bool_value is False
    (file,) = Path(copied.place).iterdir()
    assert socket.gethostname() not in file.name


def opened(place: str) -> Any:
    """As TensorBoard keeps it: scalars and images as it was given them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    everything = {"scalars": 0, "images": 0, "tensors": 0}
    return EventAccumulator(place, size_guidance=everything).Reload()


def parameters(found: Any) -> Any:
    from tensorboard.plugins.hparams import metadata

    content = found.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    return metadata.parse_session_start_info_plugin_data(content).hparams


# ---------------------------------------------------------------- again


@pytest.mark.parametrize("tracker", TRACKERS)
def test_mirrored_twice_there_is_one_copy(run: RunFolder, tracker: str) -> None:
    first = mirror(tracker, run)
    files = sorted(p for p in run.path.parent.rglob("*") if p.is_file() and p.name != "mlflow.db")
    again = mirror(tracker, run)
    assert first.added == 3 * 7 + 9 and again.added == 0
    assert (first.place, first.model) == (again.place, again.model)
    assert sorted(p for p in run.path.parent.rglob("*") if p.is_file() and p.name != "mlflow.db") == files
    if tracker == "mlflow":
        assert len(copies(client_of(run))) == 1


@pytest.mark.main_job
def test_a_run_that_trains_is_mirrored_up_to_its_last_whole_epoch_and_later_what_is_new(run: RunFolder) -> None:
    kept = unfinish(run, epochs=1)
    first = [mirror(tracker, run) for tracker in TRACKERS]
    assert [(c.epochs, c.added, c.finished, c.model) for c in first] == [(1, 7, False, "")] * 2
    client = client_of(run)
    (found,) = copies(client)
    assert found.info.status == "RUNNING" and found.data.tags["fittingroom.status"] == "running"
    assert curve(client, found.info.run_id, "val_loss") == curve_of(run.epochs, "val_loss")
    board = opened(first[1].place)
    assert len(board.Scalars("val/loss")) == 1 and "figures/confusion" not in board.Tags()["images"]
    assert "test/accuracy" not in board.Tags()["scalars"]

    go_on(run, kept)
    later = [mirror(tracker, run) for tracker in TRACKERS]
    assert [(c.epochs, c.added, c.finished) for c in later] == [(3, 2 * 7 + 9, True)] * 2
    assert [c.place for c in later] == [c.place for c in first] and later[0].model
    (found,) = copies(client)
    assert found.info.status == "FINISHED" and "test_accuracy" in found.data.metrics
    board = opened(later[1].place)
    for key in CURVES:
        assert curve(client, found.info.run_id, key) == curve_of(run.epochs, key)
        assert len(board.Scalars(key.replace("_", "/"))) == 3
    assert [image.step for image in board.Images("figures/loss_curves")] == [1, 3]
    assert len(list(Path(later[1].place).iterdir())) == 2  # the first is as it was: whoever has it open reads on


def test_a_run_that_began_anew_is_another_copy_in_mlflow_and_the_only_one_in_tensorboard(run: RunFolder) -> None:
    for tracker in TRACKERS:
        mirror(tracker, run)
    facts = json.loads((run.path / "env.json").read_text())
    (run.path / "env.json").write_text(json.dumps(facts | {"started": "2031-01-01T00:00:00+00:00"}))
    unfinish(run, epochs=1)
    again = [mirror(tracker, run) for tracker in TRACKERS]
    assert [c.added for c in again] == [7, 7]
    assert sorted(r.info.status for r in copies(client_of(run))) == ["FINISHED", "RUNNING"]
    assert len(opened(again[1].place).Scalars("val/loss")) == 1


def test_exported_later_the_model_is_added_once(run: RunFolder) -> None:
    shutil.move(run.bundle.path, run.path.parent.parent / "bundle")
    assert mirror("mlflow", run).model == ""
    shutil.move(run.path.parent.parent / "bundle", run.bundle.path)
    added, again = mirror("mlflow", run), mirror("mlflow", run)
    assert added.model == again.model != "" and added.added == 0
    client = client_of(run)
    assert len(client.search_logged_models([copies(client)[0].info.experiment_id])) == 1


def test_what_was_interrupted_is_made_whole(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    whole = MlflowClient.log_batch
    for broken in ("log_artifact", "log_batch", "set_terminated", "log_model_artifacts"):
        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, broken, full)
            with pytest.raises(FittingroomError, match="cannot mirror to sqlite:.*No space left on device"):
                mirror("mlflow", run)
    assert MlflowClient.log_batch is whole and mirror("mlflow", run).model
    client = client_of(run)
    (found,) = copies(client)
    assert found.info.status == "FINISHED" and len(found.data.params) > 30
    assert curve(client, found.info.run_id, "val_loss") == curve_of(run.epochs, "val_loss")


# ---------------------------------------------------------------- odd runs


def test_odd_names_and_long_recipes_are_taken(run: RunFolder) -> None:
    recipe = tomllib.loads((run.path / "recipe.toml").read_text())
    layers = [{"repeat": 3, "layers": [{"conv": 8}] * 900}, *[{"dense": 9}] * 250]
    recipe |= {"name": 'it\'s "mine" ü', "model": {"kind": "sequential", "layers": layers}}
    recipe["augment"] = [{"kind": "mine", "a/b é\n": "x" * 700}]
    (run.path / "recipe.toml").write_text(tomli_w.dumps(recipe))
    resealed(run)
    for tracker in TRACKERS:
        assert mirror(tracker, run).added == 30 and mirror(tracker, run).added == 0
    (found,) = copies(client_of(run))
    assert found.data.params["model.layers.0"].endswith("…") and len(found.data.params["model.layers.0"]) == 500
    assert found.data.params["model.layers.250"] == "{dense = 9}"
    assert found.data.tags["fittingroom.recipe"] == 'it\'s "mine" ü'


def test_a_part_of_a_cross_validation_is_not_called_a_test(run: RunFolder) -> None:
    text = (run.path / "recipe.toml").read_text()
    text = text.replace("folds = 0\nfold = 0", "folds = 5\nfold = 1").replace('fold_is = "val"', 'fold_is = "test"')
    (run.path / "recipe.toml").write_text(text)
    resealed(run)
    for tracker in TRACKERS:
        mirror(tracker, run)
    names = set(copies(client_of(run))[0].data.metrics) | set(
        opened(str(run.path.parent / "tensorboard" / run.name)).Tags()["scalars"]
    )
    assert {"held_out_accuracy", "held_out/accuracy_low"} <= names and not [n for n in names if n.startswith("test")]


# ---------------------------------------------------------------- the command


def test_the_command_mirrors_studies_and_unfinished_runs(here: Command, run: RunFolder) -> None:
    other = RunFolder(run.path.with_name("readme-004-cnn_other"))
    shutil.copytree(run.path, other.path)
    unfinish(other, epochs=2)
    done = here("mirror", "tensorboard", "readme-004", "--json")
    assert done.stderr == "", done.stderr
    found = json.loads(done.stdout)
    assert [(r["run"], r["epochs"], r["finished"]) for r in found["runs"]] == [
        (run.name, 3, True),
        (other.name, 2, False),
    ]
    said = here("mirror", "tensorboard", "readme-004").stdout
    assert "3 epochs finished, nothing new" in said and "2 epochs so far, nothing new; mirror it again" in said
    assert said.splitlines()[-1] == f"to look: {found['look']}" and found["look"].startswith("tensorboard --logdir ")
    Runs(run.path.parent).write_study("mine", Study(runs=(run.name,)))
    shutil.rmtree(run.bundle.path)
    said = here("mirror", "mlflow", "mine").stdout
    assert f"3 epochs finished, 30 values added; without a model: fittingroom export {run.name}, and again" in said
    assert "to look: mlflow ui --backend-store-uri sqlite:///" in said and "to serve" not in said


@pytest.mark.slow
@pytest.mark.parametrize("tracker", TRACKERS)
def test_without_torch_and_without_a_network(run: RunFolder, without_torch: str, tracker: str) -> None:
    """In a process that meets MLflow for the first time, and makes its database."""
    (run.path.parent / "mlflow.db").unlink()
    script = without_torch + (
        "import socket\n"
        "def refuse(*args): raise AssertionError(f'called out: {args[1:]}')\n"
        "socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse\n"
        f"sys.argv = ['fittingroom', 'mirror', '{tracker}', '{run.name}', '--json']\n"
        "from fittingroom.__main__ import run\n"
        "try: run()\n"
        "finally: assert 'torch' not in sys.modules\n"
    )
    in_tests = ("CI", "PYTEST_CURRENT_TEST", "PYTEST_VERSION", "DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY")
    plain = {k: v for k, v in os.environ.items() if k not in in_tests}  # in which telemetry is off by itself
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=run.path.parent.parent, env=plain, capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert json.loads(done.stdout)["runs"][0]["added"] == 30


@pytest.mark.slow
def test_mlflow_loads_the_model_without_torch_and_without_unpickling(run: RunFolder, without_torch: str) -> None:
    model = mirror("mlflow", run).model
    script = without_torch + (
        "import pickle\n"
        "import mlflow, numpy as np\n"
        "def refuse(*args, **kwargs): raise AssertionError('unpickled')\n"
        "pickle.load = pickle.loads = pickle.Unpickler = refuse\n"
        f"mlflow.set_tracking_uri('sqlite:///runs/mlflow.db')\n"
        f"print(mlflow.pyfunc.load_model({model!r}).predict(np.zeros((2, 1, 28, 28), np.uint8)).sum(1))\n"
        "assert 'torch' not in sys.modules\n"
    )
    settings = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=run.path.parent.parent, env=settings, capture_output=True, text=True
    )
    assert done.returncode == 0 and np.allclose([float(x) for x in done.stdout.strip("[]\n ").split()], 1), done.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("mlfow", "RUN"), 'unknown tracker "mlfow"; nearest: "mlflow"; see: fittingroom mirror --help'),
        (("mlflow", "reedme"), 'unknown run "reedme"; see: fittingroom runs'),
        (("mlflow", "RUN", "--to", "mlflow.db"), "mlflow.db is no tracking URI; give sqlite:///FILE.db"),
        (("mlflow", "RUN", "--to", "sqlite://"), "sqlite:// is no tracking URI"),
        (("mlflow", "RUN", "--to", "http://127.0.0.1:9"), "no answer from http://127.0.0.1:9; is an MLflow server"),
        (("mlflow", "RUN", "--to", "http://ann:se/cr@t@127.0.0.1:9"), "no answer from http://ann:…@127.0.0.1:9; is"),
        (("mlflow", "RUN", "--to", "sqlite:////no/such/a.db"), "there is no folder /no/such; make it, or"),
        (("mlflow", "RUN", "--to", "sqlite:///words.db"), "file is not a database"),
        (("mlflow", "RUN", "--to", "sqlite:///strange.db"), "is the database of something else; name another"),
        (("mlflow", "RUN", "--to", "postgresql://ann:secret@127.0.0.1:9/d"), "postgresql://ann:…@127.0.0.1:9/d: "),
        (("tensorboard", "RUN", "--to", "http://host"), "TensorBoard reads files; give --to a folder"),
        (("tensorboard", "RUN", "--to", "words.db"), "a part of this path is a file, not a folder"),
        (("tensorboard", "RUN", "--to", "runs"), "is there and holds other things"),
        (("tensorboard", "RUN", "DAMAGED"), "env.json has 1 bytes, and had"),
    ],
)
def test_mistakes_are_told_and_nothing_is_written(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("words.db").write_text("no database, this")
    with closing(sqlite3.connect("strange.db")) as other:
        other.execute("create table studies (name text)")
    shutil.copytree(run.path, run.path.with_name("DAMAGED"))
    run.path.with_name("DAMAGED").joinpath("env.json").write_text("{")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    called, _, to = " ".join(words).replace("RUN", run.name).partition(" --to ")
    tracker, *which = called.split()
    with pytest.raises(FittingroomError) as told:
        mirror_command(tracker, which, to, Path("runs"))
    assert text in str(told.value) and "\n" not in str(told.value)
    assert "secret" not in str(told.value) and "cr@t" not in str(told.value)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_mistake_ends_with_one_line_and_exit_code_2(here: Command, run: RunFolder) -> None:
    done = here("mirror", "mlflow", run.name, "--to", "http://ann:secret@127.0.0.1:9")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: no answer from http://ann:…@127.0.0.1:9; is an MLflow server running there?\n"


def test_an_experiment_that_was_deleted_is_told(run: RunFolder) -> None:
    mirror("mlflow", run)
    client = client_of(run)
    client.delete_experiment(copies(client)[0].info.experiment_id)
    with pytest.raises(
        FittingroomError, match='"fashion-mnist" was deleted in MLflow; restore it first: mlflow experiments'
    ):
        mirror("mlflow", run)
