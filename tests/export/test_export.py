"""Bundles: whole, true to the network, and refused where they are not."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file
from scipy.special import softmax
from trained import MadeOnce, exported

from fittingroom.export import bundle as making
from fittingroom.export import export
from fittingroom.export.find import find_bundle
from fittingroom.inference import Classifier
from fittingroom.inference.classifier import Graph
from fittingroom.metrics.calibration import calibration_error, temperature
from fittingroom.spec.errors import FittingroomError
from fittingroom.store import BundleFolder, RunFolder, Runs
from fittingroom.store.bundles import refuse_strange, write_folder
from fittingroom.store.litter import PART
from fittingroom.store.seal import Damaged, json_with_seal
from fittingroom.study.workplace import Workplace

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(made_once: MadeOnce) -> Runs:
    words = ("readme-004-cnn", "train.epochs=2", "data.limit=3000")
    return Runs(made_once("exported", lambda folder: exported(folder, *words)))


@pytest.fixture(scope="module")
def run(runs: Runs) -> RunFolder:
    return runs.list()[0]


@pytest.fixture(scope="module")
def bundle(run: RunFolder) -> BundleFolder:
    return run.bundle


def test_another_runs_bundle_is_not_asked(run: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / run.name)
    mine = RunFolder(tmp_path / run.name)
    assert find_bundle(mine.name, Workplace(runs=Runs(tmp_path))).there
    facts = json.loads((mine.bundle.path / "bundle.json").read_text()) | {
        "run_digest": "0" * 64,
        "run": "another",
    }
    del facts["seal"]
    (mine.bundle.path / "bundle.json").write_text(json_with_seal(facts))
    with pytest.raises(Damaged, match="is the bundle of another run, another; export the run again"):
        find_bundle(mine.name, Workplace(runs=Runs(tmp_path)))
    parity = mine.bundle.path / "parity.json"
    parity.write_text(json_with_seal(json.loads(parity.read_text()) | {"seal": None, "images": 3}))
    with pytest.raises(Damaged, match=r"parity.json is not the file that bundle.json names"):
        mine.bundle.refuse_changed()


@pytest.mark.main_job
def test_a_bundle_says_what_the_network_said_of_the_whole_test_set(
    bundle: BundleFolder, run: RunFolder, runs: Runs
) -> None:
    logits, labels = run.predictions("test")  # type: ignore[misc]
    images = runs.thumbnails(run.data.digest)
    found, probabilities = Classifier(bundle).graph.predict(images)  # type: ignore[arg-type]
    assert (found.argmax(1) == logits.argmax(1)).all() and np.abs(found - logits).max() < 1e-4
    t = temperature(*run.predictions("val"))  # type: ignore[misc]
    assert np.allclose(probabilities, softmax(logits / t, axis=1), atol=1e-5)
    facts, parity = bundle.facts, bundle.parity
    assert parity.images == 10_000 and parity.changed_predictions == 0
    assert parity.max_logit_difference == pytest.approx(np.abs(found - logits).max(), rel=0.5)
    assert facts.measured.accuracy == run.metrics.test.accuracy == parity.accuracy_torch  # type: ignore[union-attr]
    assert facts.measured.low < facts.measured.accuracy < facts.measured.high
    assert facts.measured.ece_scaled == pytest.approx(calibration_error(logits / t, labels), abs=1e-4)
    assert facts.confidence.fitted_on == run.data.n_val and facts.classes == run.data.classes
    assert runs.test_reads() == {"fashion-mnist": 1}  # the runs folder's copy was looked at, not the test set
    for name, value in load_file(bundle.path / "weights.safetensors").items():
        assert np.array_equal(value, run.weights[name])


def test_the_graph_is_one_file_of_today_without_traces_of_this_machine(bundle: BundleFolder) -> None:
    model = onnx.load(bundle.path / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version >= 20
    assert [d.dim_param or d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim] == ["N", 1, 28, 28]
    assert not any(i.data_location == TensorProto.EXTERNAL for i in model.graph.initializer)
    assert str(Path(__file__).parents[2]).encode() not in bundle.graph()
    assert {p.key: p.value for p in model.metadata_props}["classes"].split("\n") == list(bundle.facts.classes)


def worst_class(bundle: BundleFolder, logits: np.ndarray, labels: np.ndarray) -> str:
    """The beginning of the row that a card must have for it."""
    recall = [(logits[labels == c].argmax(1) == c).mean() for c in range(10)]
    worst = int(np.argmin(recall))
    return f"| {bundle.facts.classes[worst]} | {100 * recall[worst]:.1f} % |"


def first_class(card: str) -> str:
    """The first row of a card's table of classes."""
    return [line for line in card.splitlines() if line.startswith("| ") and " % |" in line][2]


def test_the_card_says_how_good_and_where_not(bundle: BundleFolder, run: RunFolder) -> None:
    card = (bundle.path / "README.md").read_text()
    assert first_class(card).startswith(worst_class(bundle, *run.predictions("test")))  # type: ignore[misc]
    for part in (
        "95 % interval",
        "not sure",
        "Not measured",
        "centred by its box",
        "0 predictions change",
        "MIT",
        "f8964c12",
    ):
        assert part in card
    assert "—" not in card


def test_int8_is_smaller_and_says_what_it_costs(
    run: RunFolder, runs: Runs, tmp_path: Path, bundle: BundleFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = export(run, Workplace(runs=runs), out=tmp_path / "small", quantize="int8")
    assert len(small.graph()) < 0.4 * len(bundle.graph())
    parity = small.parity
    assert parity.quantized == "int8" and parity.accuracy_torch - parity.accuracy_onnx <= making.INT8_MAY_LOSE + 1e-9
    assert small.facts.measured.accuracy == parity.accuracy_onnx
    card = (small.path / "README.md").read_text()
    assert f"{100 * parity.accuracy_onnx:.2f} % instead of" in card
    said = Classifier(small).graph.predict(runs.thumbnails(run.data.digest))[0]  # type: ignore[arg-type]
    assert first_class(card).startswith(worst_class(small, said, run.predictions("test")[1]))  # type: ignore[index]
    monkeypatch.setattr(making, "INT8_MAY_LOSE", -1.0)
    with pytest.raises(FittingroomError, match=r"int8 loses .* points of test accuracy .*; nothing was written"):
        export(run, Workplace(runs=runs), out=tmp_path / "smaller", quantize="int8")
    assert not (tmp_path / "smaller").exists()


def test_weights_that_did_not_give_the_recorded_answers_are_not_shipped(run: RunFolder, tmp_path: Path) -> None:
    """Where no seal tells: of a run of before. The graph would be compared with a network of the same damaged file."""
    shutil.copytree(run.path, tmp_path / "runs" / run.name)
    runs = Runs(tmp_path / "runs")
    copy = RunFolder(runs.path / run.name)
    (copy.path / "DONE").write_text("2026-11-20T10:00:00+00:00\n")
    weights = copy.weights
    copy.write_weights(weights | {name: value[::-1] for name, value in weights.items() if value.shape == (10,)})
    with pytest.raises(Damaged, match=r"scored anew, give [\d,]+ of 10,000 images another answer than predictions.npz"):
        export(copy, Workplace(runs=runs), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_graph_that_says_something_else_is_not_shipped(
    run: RunFolder, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = making.Graph.predict
    monkeypatch.setattr(making.Graph, "predict", lambda *args: tuple(np.roll(a, 1, axis=0) for a in real(*args)))
    with pytest.raises(FittingroomError, match=r"says something else than the network on [\d]+ of 10,000"):
        export(run, Workplace(runs=runs), out=tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_others_is_not_replaced_and_ones_own_is(run: RunFolder, runs: Runs, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").write_text("dear")
    with pytest.raises(FittingroomError, match="holds other things"):
        export(run, Workplace(runs=runs), out=tmp_path / "photos")
    assert [p.name for p in (tmp_path / "photos").iterdir()] == ["me.jpg"]
    for _ in range(2):  # into an empty folder, then over a bundle
        (tmp_path / "mine").mkdir(exist_ok=True)
        assert export(run, Workplace(runs=runs), out=tmp_path / "mine").parity.changed_predictions == 0
    (tmp_path / "mine" / "CNAME").write_text("digits.example")
    with pytest.raises(FittingroomError, match=r"mine holds other things \(CNAME\); name an empty or a new folder"):
        export(run, Workplace(runs=runs), out=tmp_path / "mine")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine", "photos"]


def test_what_was_there_is_there_when_a_folder_cannot_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "site"
    write_folder(place, {"mark": "old"}, "mark")
    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if self.suffix == PART:
            raise OSError(errno.ENOSPC, "full")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(FittingroomError, match="no space left"):
        write_folder(place, {"mark": "new"}, "mark")
    assert (place / "mark").read_text() == "old" and list(tmp_path.iterdir()) == [place]
    monkeypatch.chdir(place)
    with pytest.raises(FittingroomError, match="cannot be replaced; name a folder in it"):
        refuse_strange(Path(), "mark", ["mark"])


def test_a_run_that_starts_over_forgets_its_bundle(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    for name in ("bundle", "bundle-int8"):
        (run.path / name).mkdir(parents=True)
    run.clear()
    assert list(run.path.iterdir()) == []


def damage(path: Path, how: str) -> None:
    facts = json.loads((path / "bundle.json").read_text())
    seal = facts.pop("seal")
    match how:
        case "reversed":
            (path / "bundle.json").write_text(json.dumps(facts | {"classes": facts["classes"][::-1], "seal": seal}))
        case "deep":
            (path / "bundle.json").write_text("[" * 100_000)
        case "pipe":
            (path / "model.onnx").unlink()
            os.mkfifo(path / "model.onnx")
        case "endless":
            (path / "model.onnx").unlink()
            (path / "model.onnx").symlink_to("/dev/zero")
        case "graph":
            (path / "model.onnx").write_bytes((path / "model.onnx").read_bytes()[:-1])
        case "no graph":
            (path / "model.onnx").unlink()
        case "json":
            (path / "bundle.json").write_text("{")
        case "no json":
            (path / "bundle.json").unlink()
        case "field":
            (path / "bundle.json").write_text(json.dumps(facts | {"classes": 3}))
        case "later":
            (path / "bundle.json").write_text(json.dumps({"format": 99}))
        case "classes":
            (path / "bundle.json").write_text(json.dumps(facts | {"classes": facts["classes"][:3]}))
        case "shape":
            framing = facts["framing"] | {"height": 32}
            (path / "bundle.json").write_text(json.dumps(facts | {"framing": framing}))
        case "no onnx":
            (path / "model.onnx").write_bytes(b"no graph at all")
            facts["sha256"]["model.onnx"] = making.sha256(b"no graph at all")
            (path / "bundle.json").write_text(json.dumps(facts))


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("graph", "is not the file that bundle.json names"),
        ("no graph", "cannot read .*model.onnx"),
        ("reversed", "bundle.json is not what it was when it was written .* export the run again"),
        ("deep", "bundle.json is damaged .*nested too deep"),
        ("pipe", "model.onnx is no plain file"),
        ("endless", "model.onnx is no plain file"),
        ("json", "bundle.json is damaged"),
        ("no json", "is no bundle"),
        ("field", "bundle.json is damaged"),
        ("later", "made by a later fittingroom"),
        ("classes", "the graph tells 10 classes apart, bundle.json names 3"),
        ("shape", "the graph takes"),
        ("no onnx", "the graph cannot be loaded"),
    ],
)
def test_a_damaged_bundle_is_told(bundle: BundleFolder, tmp_path: Path, how: str, text: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle.path, copy)
    damage(copy, how)
    with pytest.raises(FittingroomError, match=text):
        Classifier(BundleFolder(copy))


@pytest.mark.parametrize("location", ["weights.bin", "/etc/hostname", "../../../etc/hostname"])
def test_weights_outside_the_graph_are_not_read(tmp_path: Path, location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ONNX file can ask for other files; ours never does, and a stranger's gets none."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.bin").write_bytes(np.zeros((4, 2), np.float32).tobytes())
    weight = numpy_helper.from_array(np.zeros((4, 2), np.float32), "w")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    nodes = [
        helper.make_node("Cast", ["images"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["f"], ["v"]),
        helper.make_node("MatMul", ["v", "w"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
        helper.make_node("Identity", ["v"], ["features"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "g",
        [value("images", TensorProto.UINT8, ["N", 1, 2, 2])],
        [value(name, TensorProto.FLOAT, ["N", 2]) for name in ("logits", "probabilities")]
        + [value("features", TensorProto.FLOAT, ["N", 4])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    with pytest.raises(FittingroomError, match="the graph cannot be loaded"):
        Graph(model.SerializeToString(), (1, 2, 2))
    weight_inside = numpy_helper.from_array(np.zeros((4, 2), np.float32), "w")
    model.graph.initializer[0].CopyFrom(weight_inside)
    assert Graph(model.SerializeToString(), (1, 2, 2)).run(np.zeros((3, 1, 2, 2), np.uint8))[0].shape == (3, 2)


def test_a_graph_for_one_image_only_is_told() -> None:
    value = helper.make_tensor_value_info
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [1, 4])
    nodes = [
        helper.make_node("Cast", ["images"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["f", "shape"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
        helper.make_node("Identity", ["logits"], ["features"]),
    ]
    outputs = [value(name, TensorProto.FLOAT, ["N", 4]) for name in ("logits", "probabilities", "features")]
    graph = helper.make_graph(nodes, "g", [value("images", TensorProto.UINT8, ["N", 1, 2, 2])], outputs, [shape])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    with pytest.raises(FittingroomError, match="the graph cannot be run"):
        Graph(model.SerializeToString(), (1, 2, 2))


def test_a_network_that_onnx_cannot_say_is_refused() -> None:
    class Odd(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten(1)[:, :2] if x.sum() > 0 else x.flatten(1)[:, 2:4]

    with pytest.raises(FittingroomError, match="cannot be written as ONNX"):
        making.onnx_graph(Odd(), (1, 4, 4))


def test_runs_that_cannot_be_exported(run: RunFolder, runs: Runs, tmp_path: Path) -> None:
    copy = RunFolder(tmp_path / "copy")
    shutil.copytree(run.path, copy.path, ignore=shutil.ignore_patterns("bundle"))
    (copy.path / "DONE").unlink()
    with pytest.raises(FittingroomError, match="is not finished"):
        export(copy, Workplace(runs=runs), out=tmp_path / "b")
