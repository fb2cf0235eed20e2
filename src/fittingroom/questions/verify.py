"""Whether what is stored is what it was: every file against its seal, and the files of a run against one another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec

import numpy as np

from fittingroom.metrics.scores import scores
from fittingroom.questions.listing import named
from fittingroom.report.rows import Rows
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.records import Scores
from fittingroom.store import RunFolder, Runs
from fittingroom.store.chain import refuse_broken
from fittingroom.store.runs import run_name

WHOLE, SEALED, UNFINISHED, DAMAGED = "whole", "sealed now", "not finished", "damaged"
ARRAYS = ("cv", "best")  # studies that keep arrays
EQUAL = 1e-6  # of scores that are computed anew


def verify(runs: Runs, text: str = "", say: Callable[[float], None] = lambda share: None) -> Rows:
    """Check the runs whose names hold `text`, parts of studies too, and what is remembered of studies and test readings.

    A run of before there were seals whose files agree with one another is sealed as it is. One row each: what, its state,
    and what is wrong with it.
    """
    found = named(runs.list(), text)
    rows = []
    for i, run in enumerate(found):
        rows.append({"what": run.name, **_state(run)})
        say((i + 1) / len(found))
    for name in runs.studies():
        try:
            study = runs.study(name)
            if study and study.question in ARRAYS:
                runs.study_arrays(name)
        except FittingroomError as error:
            rows.append({"what": f"study {name}", "state": DAMAGED, "why": str(error)})
    for path in sorted(runs.path.glob("tuning/*.journal")):
        try:
            refuse_broken(path)
        except FittingroomError as error:
            rows.append({"what": f"searches {path.name}", "state": DAMAGED, "why": str(error)})
    for path in sorted(runs.path.glob("thumbnails/*.npz")):
        try:
            runs.thumbnails(path.stem)
        except FittingroomError as error:
            rows.append({"what": f"pictures {path.name}", "state": DAMAGED, "why": str(error)})
    rows += [{"what": "test_reads.jsonl", "state": DAMAGED, "why": line} for line in runs.damaged_reads()]
    return Rows(rows)


def _state(run: RunFolder) -> dict[str, str]:
    if not run.done:
        return {"state": UNFINISHED, "why": ""}
    try:
        sealed = run.seal is not None
        run.refuse_damaged()
        run.refuse_another()
        for wrong in disagreements(run):
            return {"state": DAMAGED, "why": wrong}
        if run.bundle.there:
            run.bundle.refuse_another(str(run.identity["digest"]))
            run.bundle.refuse_changed()
        if not sealed:
            run.seal_files()
        unlogged = "its reading of the test set is not in test_reads.jsonl" if run.home.unlogged([run]) else ""
        return {"state": WHOLE if sealed else SEALED, "why": _elsewhere(run) or unlogged}
    except FittingroomError as error:
        return {"state": DAMAGED, "why": str(error)}


def disagreements(run: RunFolder) -> Iterator[str]:
    """What of a finished run's files does not agree with the others, a sentence each. Raises `Damaged` for one that is no file of
    its kind.
    """
    metrics, epochs, identity, data, seal = run.metrics, run.epochs, run.identity, run.data, run.seal
    if [e.epoch for e in epochs] != list(range(1, metrics.epochs + 1)):
        yield f"epochs.jsonl has {len(epochs)} epochs, metrics.json {metrics.epochs}"
    if seal and (seal.digest, seal.seed) != (identity.get("digest"), identity.get("seed")):
        yield "DONE is of another run than run.json"
    if run.recipe.data.name != data.name:
        yield f"recipe.toml is of {run.recipe.data.name}, data.json of {data.name}"
    for split, n in (("val", data.n_val), ("test", data.n_test), ("test_averaged", data.n_test)):
        recorded: Scores | None = getattr(metrics, split)
        said = run.predictions(split)
        if (said is None) != (recorded is None):
            yield f"predictions.npz and metrics.json do not both know {split} images"
        if said is None or recorded is None:
            continue
        if len(said[1]) != n:
            yield f"predictions.npz has answers to {len(said[1]):,} {split} images, data.json knows {n:,}"
        anew = scores(*said)
        if not all(np.isclose(getattr(anew, k), getattr(recorded, k), atol=EQUAL) for k in ("accuracy", "loss", "ece")):
            yield f"the answers in predictions.npz do not give the {split} scores in metrics.json"
    weights = run.weights
    if bad := next((name for name, value in weights.items() if not np.isfinite(value).all()), None):
        yield f"weights.safetensors holds numbers that are none, in {bad}"
    if find_spec("torch"):
        yield from _of_another_network(run)


def _of_another_network(run: RunFolder) -> Iterator[str]:
    from fittingroom.models import build, describe
    from fittingroom.training.arrays import load_arrays
    from fittingroom.training.rebuild import recipe_of

    model = build(recipe_of(run).model, run.data.shape, len(run.data.classes))
    try:
        load_arrays(model, run.weights)
    except FittingroomError as error:
        yield f"weights.safetensors and recipe.toml do not agree: {error}"
    if describe(model, run.data.shape).parameters != run.structure.parameters:
        yield "structure.json is not the network's"


def _elsewhere(run: RunFolder) -> str:
    """Whether the folder is called as its run is."""
    called = f"{run.recipe.name} {run.part}".rstrip()
    own = run_name(called, run.data.name, run.seed, str(run.identity["digest"]))
    return "" if run.name == own else f"the folder was renamed: it holds {own}"
