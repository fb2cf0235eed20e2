"""What there is: recipes, models, data sets, runs; as rows that a notebook shows, and that a command prints."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fittingroom.metrics.words import percent
from fittingroom.report.rows import Rows
from fittingroom.spec.changes import told_apart
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.pretrained import pretrained
from fittingroom.spec.read import read_recipe, shipped_recipes
from fittingroom.store import RunFolder, Runs
from fittingroom.store.fetch import home as home_of
from fittingroom.store.runs import is_part

SPECIAL = {  # kinds of a model that are no function of ours
    "sequential": "Any plain stack of layers, as inline tables: conv, pool, norm, act, dropout, flatten, dense, repeat.",
    "python": 'Your own: target = "module:function", called with what it takes of channels, size, classes, and model.args.',
}


def recipes() -> Rows:
    """The recipes that come along: name, data, epochs, source, and what each is."""
    read = [read_recipe(name) for name in shipped_recipes()]
    return Rows(
        {
            "recipe": r.name,
            "data": r.data.name,
            "epochs": r.train.epochs,
            "source": r.source.split(";")[0],
            "what it is": r.description,
        }
        for r in read
    )


ARGS = "model.args with defaults"


def models() -> Rows:
    """The networks that a recipe can name in `model.kind`, with the arguments that they take. Needs torch."""
    from fittingroom.models import MODELS

    trained = [
        {
            "name": e.name,
            ARGS: e.args,
            "what it is": f"Trained weights for model.init, {e.kind}: {e.about} {e.licence}.",
        }
        for e in pretrained().values()
    ]
    return Rows([*_registered(ARGS, MODELS.functions, SPECIAL), *trained])


def augmentations() -> Rows:
    """The augmentations that a recipe can name under `augment`, with their parameters. Needs torch."""
    from fittingroom.augment import AUGMENTATIONS

    return _registered("parameters with defaults", AUGMENTATIONS.functions, {})


def _registered(what: str, functions: Mapping[str, Callable[..., Any]], special: Mapping[str, str]) -> Rows:
    rows = [{"name": name, what: {}, "what it is": text} for name, text in special.items()]
    for name, f in functions.items():
        parameters = {p.name: p.default for p in inspect.signature(f).parameters.values() if p.kind is p.KEYWORD_ONLY}
        rows.append({"name": name, what: parameters, "what it is": (inspect.getdoc(f) or "").split("\n")[0]})
    return Rows(rows)


def datasets(home: Path | None = None) -> Rows:
    """The data sets that are known by name, and whether they are here."""
    from fittingroom.data import catalog

    where = home_of(home)
    found = [catalog.entry(name, where) for name in catalog.catalog(where)]
    return Rows(
        {
            "name": e.name,
            "title": e.title,
            "classes": len(e.classes),
            "here": "yes" if (where / "data" / e.name / e.files.test_labels.name).exists() else "no",
            "licence": e.licence,
        }
        for e in found
    )


def own_pictures(home: Path | None = None) -> Rows:
    """Pictures of one's own that were decoded before, and where they were."""
    from fittingroom.data import own

    return Rows(
        {
            "name": a.name,
            "images": sum(map(sum, a.counts.values())),
            "classes": len(a.classes),
            "shape": "×".join(map(str, a.shape)),
            "path": path,
        }
        for a, path in own.known(home_of(home))
    )


def runs_in(runs: Runs, text: str = "", parts: bool = False, unfinished: bool = False) -> tuple[list[RunFolder], int]:
    """The run folders that `text` names, with `unfinished` only such; and how many more there are that are parts of studies.

    With `parts` these are among the others.
    """
    every = [r for r in named(runs.list(), text) if not (unfinished and r.done)]
    found = every if parts else [r for r in every if not is_part(r)]
    return found, len(every) - len(found)


def named(found: Sequence[RunFolder], text: str) -> list[RunFolder]:
    """The run that is called `text`, or else those whose names hold it."""
    return [r for r in found if r.name == text] or [r for r in found if text in r.name]


def runs_table(found: Sequence[RunFolder]) -> Rows:
    """Runs in a list. A damaged one is told, and does not hide the others."""
    rows = Rows(map(_row, found))
    whole = [i for i, row in enumerate(rows) if row["state"] != "damaged"]
    changes = dict(zip(whole, told_apart(found[i].recipe for i in whole), strict=True))
    for i, row in enumerate(rows):
        row["changed"] = changes.get(i, "")
    return rows


def _row(run: RunFolder) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(("test %", "val %", "train s", "started (UTC)"))
    try:
        row["started (UTC)"] = run.environment.started[:16].replace("T", " ")
        if not run.done:
            return {"run": run.name, "state": f"{len(run.epochs)} of {run.recipe.train.epochs} epochs", **row}
        m = run.metrics
        scores = {"test %": percent(m.test_accuracy), "val %": percent(m.val_accuracy)}
        return {"run": run.name, "state": "finished", **row, **scores, "train s": f"{m.train_s:.1f}"}
    except FittingroomError:
        return {"run": run.name, "state": "damaged", **row}


def facts(run: RunFolder) -> dict[str, Any]:
    """A run as plain data; accuracies are fractions."""
    known: dict[str, Any] = {"run": str(run.path), "done": run.done, **run.identity, "epochs_done": len(run.epochs)}
    if run.done:
        m = run.metrics
        known |= {
            "test_accuracy": m.test_accuracy,
            "val_accuracy": m.val_accuracy,
            "train_accuracy": m.train.accuracy,
            "metrics": m.model_dump(mode="json"),
            "parameters": run.structure.parameters,
            "flops": run.structure.flops,
        }
    return known
