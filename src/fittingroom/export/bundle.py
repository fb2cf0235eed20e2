"""One finished run to one bundle. Nothing is written unless the graph says what the network said."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save
from scipy.special import expit, softmax

from fittingroom.data import Dataset, not_test, prepare, reload
from fittingroom.export.graph import onnx_graph
from fittingroom.export.quantize import CALIBRATION, int8
from fittingroom.export.web import FILES as SITE
from fittingroom.export.web import MARK, export_web
from fittingroom.inference.classifier import Graph
from fittingroom.metrics.against_rest import answers
from fittingroom.metrics.calibration import FEWEST_TO_FIT, calibration_error, temperature
from fittingroom.metrics.choice import evidence_of
from fittingroom.metrics.finding import finding
from fittingroom.metrics.intervals import proportion
from fittingroom.metrics.metric import ACCURACY
from fittingroom.metrics.operating import WAYS, Point, point
from fittingroom.metrics.rows import Row
from fittingroom.metrics.scores import scores
from fittingroom.metrics.words import percent
from fittingroom.report.model_card import model_card
from fittingroom.spec.bundle import FORMAT, BundleFacts, Confidence, Measured, Operating, Parity, TensorFacts
from fittingroom.spec.errors import FittingroomError, need
from fittingroom.store import LoadedRun, RunFolder, Runs, load_run
from fittingroom.store.bundles import FACTS, FILES, GRAPH, BundleFolder, refuse_strange, sha256, write_folder
from fittingroom.store.runs import recipe_toml
from fittingroom.store.seal import json_with_seal
from fittingroom.study.scored import scored_images
from fittingroom.study.workplace import Workplace
from fittingroom.training import predict
from fittingroom.training.rebuild import rebuild, refuse_other_answers

Decide = Callable[[np.ndarray], np.ndarray]  # logits (N,K) → classes (N,)
SURE_AT = 0.5  # an answer less likely than that is more likely wrong than right
INT8_MAY_LOSE = 0.003  # of accuracy


def export(
    run: RunFolder,
    place: Workplace,
    *,
    out: Path | None = None,
    quantize: str = "no",
    web: Path | None = None,
    at: str = "",
    positive: str = "",
) -> BundleFolder:
    """Write the bundle of a finished run into the folder `out` (default: in the run's), and give it back.

    `web`: a folder for a site, too, on which the model runs in the visitor's browser. `at`: the bundle answers by a threshold
    for the class `positive` (of two, the second), chosen on the run's validation images ("sensitivity=0.95"). All test images
    that it was scored on go through both the network and the graph. Raises `FittingroomError`, with nothing written, if one of
    their predictions changes, or if `quantize="int8"` loses more than 0.3 points of accuracy; or for a run that is not finished
    and scored.
    """
    for module in ("onnx", "onnxscript", "onnxruntime"):
        need(module, "export", "export")
    if web:
        refuse_strange(web, MARK, SITE)
    out = out or (run.bundle.path if quantize == "no" else run.path / f"bundle-{quantize}")
    say, runs = place.progress.note, run.home
    run.refuse_held_out("export")
    data = reload(run.data.name, run.data.digest, place.home)
    loaded, held = _evidence(run, runs)
    on = "held-out" if held else "test"
    if quantize != "no" and on != "test" and loaded.recipe.model.neighbours:
        raise FittingroomError(
            "--quantize takes a run of neighbours that met a test set: its own pictures would find themselves, whatever it does"
        )
    refuse_strange(out, FACTS, FILES)
    where = _point(loaded, at, positive)
    if where and quantize != "no" and on != "test":
        raise FittingroomError(
            "--at with --quantize takes a run that met a test set: here nothing is left to choose an int8 threshold on"
        )
    test = scored_images(run, runs, data) if on == "test" else not_test(data)
    weights = run.weights
    model = rebuild(run, test)
    t, fitted_on = _temperature(loaded)
    say("writing the graph")
    graph = onnx_graph(model, loaded.data.shape, t, _about(loaded, data, t))
    if quantize == "int8":
        say(f"quantizing with {CALIBRATION} training images")
        train, _ = prepare(data, loaded.recipe.data)
        graph = int8(graph, train.images_NCHW[:CALIBRATION])
    say(f"comparing the graph with the network on all {len(test):,} {'test ' if on == 'test' else ''}images")
    logits_NK, _ = Graph(graph, loaded.data.shape).predict(test.images_NCHW)
    network_NK = predict(model, test)
    if on == "test":
        refuse_other_answers(run, network_NK, loaded.logits_NK)
    # what the graph says, which may be quantized; of pictures held out, what others said that were trained like it
    said = replace(loaded, logits_NK=logits_NK) if on == "test" else loaded
    if where and quantize != "no":  # of which the threshold must be the graph's own
        _, val = prepare(data, loaded.recipe.data)
        assert val
        said = replace(said, val_logits_NK=Graph(graph, loaded.data.shape).predict(val.images_NCHW)[0])
    operating = _operating(said, where, t) if where else None
    parity = _parity(logits_NK, network_NK, test.labels_N, quantize, _decide(operating, loaded.data.classes))
    _refuse_disparity(parity)
    stored = {
        GRAPH: graph,
        "weights.safetensors": save({name: np.asarray(value, order="C") for name, value in weights.items()}),
        "recipe.toml": recipe_toml(loaded.recipe).encode(),
        "parity.json": json_with_seal(parity.model_dump(mode="json")).encode(),
    }
    facts = _facts(said, data, t, fitted_on, operating, held).model_copy(
        update={"quantized": quantize, "sha256": {name: sha256(content) for name, content in stored.items()}}
    )
    about = {
        FACTS: json_with_seal(facts.model_dump(mode="json")),
        "README.md": model_card(
            said,
            facts,
            parity,
            about=data.about,
            licence=data.licence,
            test_reads=runs.test_reads().get(loaded.data.name, 0),
        ),
    }
    write_folder(out, {**stored, **about}, FACTS)
    yardstick = ACCURACY.of_largest_class(said.labels_N)
    if yardstick is not None and facts.measured.low <= yardstick:
        say(
            f"note: as far as the {on} images can tell, {loaded.name} is no better than always naming the largest class "
            f"({percent(facts.measured.accuracy)} % against {percent(yardstick)} %); the bundle says so, too"
        )
    bundle = BundleFolder(out)
    if web:
        export_web(bundle, web, home_dir=place.home, say=say)
    return bundle


def handed_over(run: RunFolder, place: Workplace, site: Path) -> dict[str, Path]:
    """The bundle of a run and a site in the folder `site`; where they cannot be made, nothing, and why is said."""
    made: dict[str, Path] = {}
    try:
        made["bundle"] = export(run, place).path
        made["site"] = export_web(run.bundle, site, home_dir=place.home, say=place.progress.note)
    except FittingroomError as error:
        place.progress.note(f"not handed over as a {'site' if made else 'bundle'}: {error}")
    return made


def _evidence(run: RunFolder, runs: Runs) -> tuple[LoadedRun, Row | None]:
    """The run with what speaks for it; and its score, where that is of pictures held out in a cross-validation.

    A model that was trained on every picture there is has no test images; `fittingroom best` knows how its way does.
    """
    run.refuse_unfinished()
    held = evidence_of(run, runs) if run.metrics.test is None else None
    return held or (load_run(run), None)


def _temperature(run: LoadedRun) -> tuple[float, int]:
    """The temperature of a run's probabilities, and on how many validation images it was fitted; 1 and 0 for too few."""
    if run.val_logits_NK is None or run.val_labels_N is None or len(run.val_labels_N) < FEWEST_TO_FIT:
        return 1.0, 0
    return temperature(run.val_logits_NK, run.val_labels_N), len(run.val_labels_N)


def _point(run: LoadedRun, at: str, positive: str) -> Point | None:
    """The operating point that is asked for. Raises `FittingroomError` where the run's validation images cannot give it."""
    if not at:
        if positive:
            raise FittingroomError(
                f'--positive "{positive}" says for which class a threshold is; say --at, too: {WAYS}'
            )
        return None
    where = point(run.data.classes, positive, at)
    if len(where.positives) > 1:
        raise FittingroomError(
            f"{run.name} tells {len(run.data.classes)} classes apart; say which is looked for: --positive CLASS "
            f"({', '.join(run.data.classes[:5])}{' …' if len(run.data.classes) > 5 else ''})"
        )
    where.threshold(run, where.positives[0])
    return where


def _operating(run: LoadedRun, where: Point, t: float) -> Operating:
    """What the bundle says of its operating point, measured on what its graph said; `t` is its temperature."""
    [c] = where.positives
    threshold, found = where.threshold(run, c), finding([run], where)
    assert where.aim and run.val_labels_N is not None
    if found is None:
        raise FittingroomError(
            f"the test images are not both of “{where.classes[c]}” and of others; nothing was written"
        )
    two = len(where.classes) == 2
    return Operating(
        positive=where.classes[c],
        aim=where.aim.words,
        threshold=threshold,
        probability=float(expit(threshold / t)) if two else None,
        chosen_on=len(run.val_labels_N),
        chosen_on_class=int((run.val_labels_N == c).sum()),
        found=found,
    )


def _facts(
    run: LoadedRun, data: Dataset, t: float, fitted_on: int, operating: Operating | None, held: Row | None
) -> BundleFacts:
    """What the bundle says of itself; how good it is, from what its graph said of the test images, or `held`."""
    logits_NK, labels_N = run.logits_NK, run.labels_N
    k, right = len(run.data.classes), logits_NK.argmax(1) == labels_N
    sure = softmax(logits_NK.astype(np.float64) / t, axis=1).max(1) >= SURE_AT
    low, high = (held.score_low, held.score_high) if held else proportion(right, run.design)
    said = scores(logits_NK, labels_N).model_dump() | ({"on": "held-out", "accuracy": held.score} if held else {})
    return BundleFacts(
        format=FORMAT if operating else 1,
        name=run.name,
        run=run.folder.name,
        run_digest=str(run.folder.identity["digest"]),
        seed=run.seed,
        dataset=run.data.name,
        data_title=run.data.title,
        data_digest=run.data.digest,
        classes=run.data.classes,
        framing=data.framing,
        inputs=(_tensor("images", "uint8", *run.data.shape, meaning="channels, height, width; 0 … 255"),),
        outputs=(
            _tensor("logits", "float32", k, meaning="one a class, before softmax"),
            _tensor("probabilities", "float32", k, meaning="softmax of the logits over the temperature"),
            TensorFacts(
                name="features", dtype="float32", shape=("N", "D"), meaning="what the last dense layer is given"
            ),
        ),
        measured=Measured(**said, low=low, high=high, ece_scaled=calibration_error(logits_NK / t, labels_N)),
        confidence=Confidence(
            temperature=t,
            fitted_on=fitted_on,
            sure_at=SURE_AT,
            unsure_share=float(1 - sure.mean()),
            sure_accuracy=float(right[sure].mean()) if sure.any() else 0.0,
        ),
        operating=operating,
        quantized="no",
        sha256={},
        made_with=version("fittingroom"),
        made=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def _tensor(name: str, dtype: str, *shape: int, meaning: str) -> TensorFacts:
    return TensorFacts(name=name, dtype=dtype, shape=("N", *shape), meaning=meaning)


def _about(run: LoadedRun, data: Dataset, t: float) -> dict[str, str]:
    """What the ONNX file says of itself, for who has nothing else."""
    return {
        "classes": "\n".join(run.data.classes),
        "framing": data.framing.model_dump_json(),
        "temperature": repr(t),
        "trained_on": f"{run.data.title} ({run.data.digest})",
        "made_with": f"fittingroom {version('fittingroom')}",
    }


def _decide(point: Operating | None, classes: Sequence[str]) -> Decide | None:
    """What an operating point answers, from logits (N,K) to classes (N,)."""
    return partial(answers, c=classes.index(point.positive), threshold=point.threshold) if point else None


def _parity(
    graph_NK: np.ndarray, network_NK: np.ndarray, labels_N: np.ndarray, quantize: str, decide: Decide | None
) -> Parity:
    said, meant = graph_NK.argmax(1), network_NK.argmax(1)
    changed = (said != meant) | (decide(graph_NK) != decide(network_NK)) if decide else said != meant
    return Parity(
        images=len(labels_N),
        max_logit_difference=float(abs(graph_NK - network_NK).max()),
        changed_predictions=int(changed.sum()),
        accuracy_torch=float((meant == labels_N).mean()),
        accuracy_onnx=float((said == labels_N).mean()),
        quantized=quantize,
        torch=torch.__version__,
        onnxruntime=version("onnxruntime"),
    )


def _refuse_disparity(parity: Parity) -> None:
    if parity.quantized == "no" and parity.changed_predictions:
        raise FittingroomError(
            f"the ONNX graph says something else than the network on {parity.changed_predictions} of {parity.images:,} "
            f"test images (largest difference of a logit: {parity.max_logit_difference:.2g}); nothing was written"
        )
    lost = parity.accuracy_torch - parity.accuracy_onnx
    if lost > max(INT8_MAY_LOSE, 1 / parity.images) + 1e-9:  # one picture of a few is more than 0.3 points
        raise FittingroomError(
            f"int8 loses {100 * lost:.2f} points of test accuracy ({100 * parity.accuracy_torch:.2f} to "
            f"{100 * parity.accuracy_onnx:.2f} %), more than {100 * INT8_MAY_LOSE:.1f}; nothing was written; "
            "export it without --quantize"
        )
