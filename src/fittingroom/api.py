"""The notebook's door: the questions that the command line answers (all but `bench`), from Python. `import fittingroom as fr`.

Each function takes what its command takes. Where work is done is said by the same words everywhere, as keywords (`Place`):
`runs`, `home`, `device`, `at_once`, `launcher`, `strict`, `costs`, `quiet`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, Unpack, cast, get_type_hints

from fittingroom.data import Dataset
from fittingroom.notebook import Data, Run
from fittingroom.progress import progress
from fittingroom.questions import listing
from fittingroom.questions.recipes import read, read_all
from fittingroom.report.rows import Rows
from fittingroom.spec.errors import FittingroomError, need, unknown
from fittingroom.spec.overrides import names_and_changes
from fittingroom.spec.read import read_shape
from fittingroom.spec.recipe import Recipe
from fittingroom.spec.study import is_study
from fittingroom.store import BundleFolder, RunFolder, Runs
from fittingroom.study.workplace import Workplace

if TYPE_CHECKING:
    from fittingroom.metrics.verdict import Question
    from fittingroom.questions.recipes import RecipeLike
    from fittingroom.report.audit_page import Audited
    from fittingroom.report.best_page import Chosen
    from fittingroom.report.claims_page import Replicated
    from fittingroom.report.explain_page import Explained
    from fittingroom.report.page import Ablated, Compared
    from fittingroom.report.reported_page import Weighed
    from fittingroom.report.stress_page import Stressed
    from fittingroom.report.transfer_page import Transferred
    from fittingroom.report.tune_page import Tuned

DataLike = str | Path | Dataset | tuple[Any, Any]  # a name, a path, a loaded data set, or (images, labels)
F = TypeVar("F", bound=Callable[..., Any])


class Place(TypedDict, total=False):
    """Where and how work is done: keywords of every function that works."""

    runs: str | Path  # the folder of runs and reports
    home: str | Path | None  # where data live; None: FITTINGROOM_HOME, or the platform's cache folder
    device: str  # auto, cpu, cuda or mps
    at_once: int | None  # runs that share the machine; None: one a core, on a GPU one
    launcher: str  # who trains: local, ray (a cluster on this machine), or ray=ADDRESS
    strict: bool  # refuse pictures that cannot be used, instead of leaving them out
    costs: bool  # measure what recipes cost here, too, where nothing was trained just now
    quiet: bool  # no progress


DEFAULTS: Place = {
    "runs": "runs", "home": None, "device": "auto", "at_once": None, "launcher": "local", "strict": False, "costs": False,
    "quiet": False,
}  # fmt: skip


class Asked(Place, total=False):
    """What decides, too: keywords of every function that judges."""

    metric: str  # that decides; "": accuracy
    effect: float | None  # the difference that one cares about, in the metric's size
    same: float | None  # a difference that makes none, as the metric is shown: 0.3 is 0.3 points
    at: str  # thresholds on validation: "sensitivity=0.95", "costs=10:1"
    positive: str  # the class that is looked for


ASKED: Asked = {"metric": "", "effect": None, "same": None, "at": "", "positive": ""}


def _placed(function: F) -> F:
    """Spell out the keywords of `Place` or `Asked` in a function's signature, so that a notebook's Shift-Tab shows them."""
    signature = inspect.signature(function)
    kinds = get_type_hints(Asked)
    [rest] = [p for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD]
    own = [p for p in signature.parameters.values() if p is not rest]
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kinds[name])
        for name, default in ((ASKED if "Asked" in rest.annotation else {}) | DEFAULTS).items()
    ]
    function.__signature__ = signature.replace(parameters=[*own, *more])  # type: ignore[attr-defined]
    return function


def _workplace(place: Place, others: Iterable[str] = ()) -> Workplace:
    """Where work is done; of `others` a wrong keyword could be meant, too."""
    strange = sorted(place.keys() - DEFAULTS.keys())
    if strange:
        raise unknown("keyword", strange[0], known := [*others, *DEFAULTS], ", ".join(known))
    given: dict[str, Any] = {**DEFAULTS, **place}
    home, quiet = given.pop("home"), given.pop("quiet")
    return Workplace(
        **given | {"runs": Runs(Path(given["runs"]))}, home=Path(home) if home else None, progress=progress(quiet)
    )


def _asked(asked: Asked) -> tuple[Workplace, Question]:
    """Where work is done, and what decides."""
    from fittingroom.metrics.verdict import Question

    given: dict[str, Any] = {**ASKED, **asked}
    question = Question(**{name: given.pop(name) for name in ASKED})
    return _workplace(cast(Place, given), ASKED), question


def _data(data: DataLike | None, place: Workplace) -> str | Dataset:
    """What a question takes: a name or path as text, or a data set."""
    if isinstance(data, tuple):
        from fittingroom.data.own.keep import keep_arrays
        from fittingroom.store.fetch import home

        if len(data) != 2:
            raise FittingroomError(f"data: got {len(data)} things; give (images, labels)")
        return str(keep_arrays(*data, home(place.home)))
    return data if isinstance(data, Dataset) else str(data or "")


def _seeds(seeds: int | Sequence[int]) -> Sequence[int]:
    chosen = range(seeds) if isinstance(seeds, int) else list(seeds)
    if not chosen or min(chosen) < 0:
        raise FittingroomError(f"seeds: got {seeds!r}; give a number of at least 1, or a list of numbers ≥ 0")
    return chosen


def _folder(run: Run | str | Path, place: Workplace) -> RunFolder:
    return run.folder if isinstance(run, Run) else place.runs.find(str(run))


# ---------------------------------------------------------------- what there is


def recipes() -> Rows:
    """The recipes that come along.

    >>> recipes()[0]["recipe"]
    'best-fashion'
    """
    return listing.recipes()


def models() -> Rows:
    """The networks that a recipe can name in `model.kind`, with their arguments. Needs torch.

    >>> "fastnet" in [row["name"] for row in models()]
    True
    """
    need("torch", "fittingroom.models", "train")
    return listing.models()


def data(home: str | Path | None = None) -> Rows:
    """The data sets that are known by name, and whether they are here.

    >>> [row["name"] for row in data()]
    ['fashion-mnist', 'mnist']
    """
    return listing.datasets(Path(home) if home else None)


def runs(text: str = "", runs: str | Path = "runs", parts: bool = False) -> Rows:
    """The runs of a folder whose name holds `text`; with `parts` the folds and trials of studies, too.

    >>> len(runs(runs="no such folder"))
    0
    """
    return listing.runs_table(listing.runs_in(Runs(Path(runs)), text, parts)[0])


@_placed
def load_data(data: DataLike = "fashion-mnist", *changes: str, **place: Unpack[Place]) -> Data:
    """A verified data set: `.train.images_NCHW` (N,C,H,W) uint8 and `.train.labels_N`; `.show()` shows it.

    By name, by the path of pictures, or as `(images, labels)`. `changes` say what pictures become ("data.image_size=64").
    Raises `FittingroomError` for an unknown name or when no source delivers.

    >>> load_data().train.images_NCHW.shape
    (60000, 1, 28, 28)
    """
    here = _workplace(place)
    return Data.of(here.load(_data(data, here), read_shape(changes)))


@_placed
def new(name: str, data: DataLike, *changes: str, out: str | Path | None = None, **place: Unpack[Place]) -> Path:
    """Write a first recipe for pictures of your own, NAME.toml, with a reason beside every line; its path.

    Raises `FittingroomError`, also where there is a file already.

    >>> new("garments", "fashion-mnist").name
    'garments.toml'
    """
    from fittingroom.questions.new import new as write

    here = _workplace(place)
    return write(name, str(_data(data, here)), here, changes=changes, out=Path(out) if out else None)


# ---------------------------------------------------------------- questions


@_placed
def train(
    recipe: RecipeLike,
    *changes: str,
    data: DataLike | None = None,
    seed: int = 0,
    test: bool = True,
    fresh: bool = False,
    **place: Unpack[Place],
) -> Run:
    """Train one recipe, or a network of your own ("key=value" changes follow it), and give its run.

    A finished run is not trained again, unless `fresh`. `test`: whether it meets the test set at its end.
    Raises `FittingroomError` for a wrong recipe, unknown data, or a loss that is not finite.

    >>> run = train("readme-004-mlp", "train.epochs=1", "data.limit=2000", quiet=True)
    >>> 0.5 < run.test_accuracy < 1
    True
    """
    need("torch", "fittingroom.train", "train")
    from fittingroom.questions.train import train as one

    here = _workplace(place)
    begin: Literal["", "fresh"] = "fresh" if fresh else ""
    return Run(one(read(recipe, changes), here, data=_data(data, here), seed=seed, test=test, begin=begin).path)


@_placed
def best(
    pictures: DataLike,
    *changes: str,
    candidates: Sequence[str] = (),
    minutes: float | None = None,
    thorough: bool = False,
    offline: bool = False,
    export: bool = True,
    **place: Unpack[Place],
) -> Chosen:
    """Which classifier for these pictures, how good is it really, and why? From a folder to an answer, and a model to use.

    `changes` say how pictures are read ("data.group=patient"); `candidates` names them ("frozen-lite0", "scratch" …); after
    `minutes` no further one is begun; `thorough` trains all layers of a network, too; `offline` fetches no weights; without
    `export` no bundle and no site are written. Raises `FittingroomError`.

    >>> best("fashion-mnist", candidates=["nothing"], quiet=True)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    fittingroom.spec.errors.FittingroomError: unknown candidate "nothing"...
    """
    need("torch", "fittingroom.best", "train")
    from fittingroom.export.bundle import handed_over
    from fittingroom.questions.best import best as ask

    here = _workplace(place)
    return ask(
        _data(pictures, here), here,
        candidates=candidates, shape=read_shape(changes), minutes=minutes, thorough=thorough, offline=offline,
        hand_over=handed_over if export else None,
    )  # fmt: skip


@_placed
def compare(
    recipes: RecipeLike | Sequence[RecipeLike] | Mapping[str, RecipeLike],
    *changes: str,
    data: DataLike | list[DataLike] | None = None,
    seeds: int | Sequence[int] | None = None,
    until: str = "",
    most: int | None = None,
    minutes: float | None = None,
    name: str = "",
    **asked: Unpack[Asked],
) -> Compared:
    """Which is best, by how much ± what, is that real? Trains what is missing of recipes × data sets × seeds (3).

    `recipes`: names, files, recipes, networks of your own, {"name": any of these}, or one study file. `metric` decides ("":
    accuracy; see `fittingroom.metrics.metric.METRICS`); `effect` is the difference you care about, in its size; one
    below `same` points makes none for you (default: 0.1 on MNIST, 0.3 on Fashion-MNIST, else 1). `at` chooses thresholds on
    validation ("sensitivity=0.95", "costs=10:1") for the class `positive` (of two, the second), and what that leaves open
    decides. `until="settled"` trains seeds in rounds, `most` of them (32), until every pair is decided or hardly can be, or
    `minutes` are over; each look is allowed for. Raises `FittingroomError`.

    >>> c = compare(["readme-004-mlp"], "train.epochs=1", "data.limit=2000", seeds=2, at_once=1, quiet=True)
    >>> c.rows[0].seeds
    (0, 1)
    """
    need("torch", "fittingroom.compare", "train")
    from fittingroom.questions import compare as room
    from fittingroom.questions.settle import settle, until_settled

    here, question = _asked(asked)
    question = until_settled(question, until, seeds, most, minutes)
    sets = [_data(one, here) for one in (data if isinstance(data, list) else [data]) if one is not None]
    chosen = None if seeds is None else _seeds(seeds)
    if isinstance(recipes, str | Path) and is_study(str(recipes)):
        planned = room.planned([str(recipes)], changes, sets, until=until)
        chosen, sets, read_ones, name = chosen or planned.seeds, planned.data, planned.recipes, name or planned.name
    else:
        read_ones = read_all(recipes, changes)
    if question.most:
        return settle(read_ones, here, data=sets, question=question, minutes=minutes, name=name)
    return room.compare(read_ones, here, data=sets, seeds=chosen or range(3), question=question, name=name)


@_placed
def ablate(
    recipe: RecipeLike,
    *changes: str,
    drop: Sequence[str] = (),
    data: DataLike | None = None,
    seeds: int | Sequence[int] = 3,
    **asked: Unpack[Asked],
) -> Ablated:
    """What does each part of a recipe do? The recipe against itself without the part (`drop`; default: each it has).

    Raises `FittingroomError` for a part that it does not have.

    >>> a = ablate("readme-004-mlp", "train.epochs=1", "data.limit=1000", drop=["dropout"], seeds=2, at_once=1, quiet=True)
    >>> [effect.part for effect in a.effects]
    ['dropout']
    """
    need("torch", "fittingroom.ablate", "train")
    from fittingroom.questions.ablate import ablate as ask

    here, question = _asked(asked)
    return ask(read(recipe, changes), here, drop=drop, data=_data(data, here), seeds=_seeds(seeds), question=question)


@_placed
def cv(
    recipes: RecipeLike | Sequence[RecipeLike] | Mapping[str, RecipeLike],
    *changes: str,
    folds: int = 5,
    data: DataLike | None = None,
    seeds: int | Sequence[int] = 3,
    redraw: bool = False,
    **asked: Unpack[Asked],
) -> Compared:
    """Cross-validate: each training image is held out once, near duplicates are never divided. The test set stays locked.

    `redraw`: each seed divides the images anew (repeated cross-validation).

    >>> c = cv("readme-004-mlp", "train.epochs=1", "data.limit=500", folds=2, seeds=1, at_once=1, quiet=True)
    >>> c.rows[0].recipe, c.comparisons[0].on
    ('readme-004-mlp', 'held-out')
    """
    need("torch", "fittingroom.cv", "train")
    from fittingroom.questions.crossval import cv as ask

    here, question = _asked(asked)
    read_ones, images = read_all(recipes, changes), _data(data, here)
    return ask(
        read_ones,
        here,
        folds=folds,
        data=images,
        seeds=_seeds(seeds),
        redraw=redraw,
        question=question,
        changes=changes,
    )


@_placed
def tune(
    recipe: RecipeLike,
    *words: str,
    data: DataLike | None = None,
    trials: int | None = None,
    minutes: float | None = None,
    objective: str | Sequence[str] = "accuracy",
    pruner: str = "none",
    seeds: int = 3,
    resume: bool = False,
    **place: Unpack[Place],
) -> Tuned:
    """Search with validation images only; then meet the test set once, with `seeds` fresh seeds, against the recipe as it was.

    `words` set values ("train.epochs=3") or name a space ("optimizer.lr=log(1e-4, 1e-1)", "train.batch_size=choice(32, 64)").
    Needs the extra `tune`.

    >>> t = tune("readme-004-mlp", "train.epochs=1", "data.limit=500", "optimizer.lr=log(1e-4, 1e-2)",
    ...          trials=2, seeds=1, at_once=1, quiet=True)
    >>> len(t.found.trials)
    2
    """
    need("torch", "fittingroom.tune", "train")
    from fittingroom.questions.tune import Kept, Settings, spaces_of
    from fittingroom.questions.tune import tune as ask

    here = _workplace(place)
    changes, space = spaces_of(words)
    objectives = (objective,) if isinstance(objective, str) else tuple(objective)
    settings = Settings(objectives, pruner, trials=trials, minutes=minutes)
    kept = Kept(resume=resume)
    given = read(recipe, changes)
    return ask(given, here, space=space, data=_data(data, here), seeds=seeds, settings=settings, kept=kept)


@_placed
def transfer(
    run: Run | str | Path,
    *changes: str,
    data: DataLike,
    per_class: Sequence[int] = (10, 100, 1000),
    seeds: int | Sequence[int] = 3,
    metric: str = "",
    **place: Unpack[Place],
) -> Transferred:
    """Is it worth starting from a run's weights? The same recipe from them and from scratch, on more and more images.

    >>> run = train("readme-004-mlp", "train.epochs=1", "data.limit=500", quiet=True)
    >>> t = transfer(run, "data.limit=50", data="mnist", per_class=[2], seeds=1, quiet=True)  # doctest: +SKIP
    """
    need("torch", "fittingroom.transfer", "train")
    from fittingroom.metrics.verdict import Question
    from fittingroom.questions.transfer import transfer as ask

    here = _workplace(place)
    return ask(
        _folder(run, here), here,
        data=_data(data, here), changes=changes, per_class=per_class, seeds=_seeds(seeds), question=Question(metric),
    )  # fmt: skip


@_placed
def replicate(
    *words: str,
    claims: Sequence[str] = (),
    seeds: int | None = None,
    quick: bool = False,
    until: str = "",
    most: int | None = None,
    evidence: str | Path | None = None,
    **place: Unpack[Place],
) -> Replicated:
    """Do claims stand? Re-runs READMEs ("004"), recipes or files that make claims (none: all that ship), and judges each.

    "key=value" among `words` changes the recipes; `quick` is two epochs each, for a look. `until="settled"` trains seeds in
    rounds, `most` of them (32), until each claim is decided; each look is allowed for. `evidence` is a folder of packed runs:
    they count as finished, what is trained is packed into it, and without `seeds` and `until` what is there is judged.

    >>> r = replicate("readme-004-mlp", "data.limit=500", claims=["004-mlp-mnist"], seeds=1, quick=True, at_once=1, quiet=True)
    >>> [j.id for j in r.judgements]
    ['004-mlp-mnist']
    """
    if seeds or until or not evidence:
        need("torch", "fittingroom.replicate", "train")
    from fittingroom.metrics.verdict import Question
    from fittingroom.questions.replicate import replicate as ask
    from fittingroom.questions.settle import until_settled

    names, changes = names_and_changes(words)
    at_most = until_settled(Question(), until, seeds, most).most
    kept = Path(evidence) if evidence else None
    here = _workplace(place)
    return ask(names, here, claims=claims, changes=changes, seeds=seeds, quick=quick, most=at_most, evidence=kept)


@_placed
def claims(*words: str, **place: Unpack[Place]) -> Weighed:
    """How probable is a claimed order, from its figures alone? "CNN 92.68 vs MLP 91.65 on 10000", a file of [[claims]] with such
    `figures`, READMEs ("004"), recipes that make claims.

    >>> claims("92.68 vs 91.65 on 10000").orders[0].outcome
    'supported'
    """
    from fittingroom.questions.claims import claims as ask

    return ask(words, _workplace(place))


@_placed
def stress(*which: Run | str | Path, **place: Unpack[Place]) -> Stressed:
    """What do runs stand? Eleven corruptions of the test images at five severities. `which`: runs, or studies by name.

    >>> run = train("readme-004-mlp", "train.epochs=1", "data.limit=500", quiet=True)
    >>> stress(run, quiet=True).table[0][1]  # doctest: +SKIP
    'clean %'
    """
    need("torch", "fittingroom.stress", "train")
    from fittingroom.questions.stress import stress as ask

    return ask([str(one.path if isinstance(one, Run) else one) for one in which], _workplace(place))


@_placed
def audit(
    data: DataLike,
    *changes: str,
    recipe: RecipeLike | None = None,
    split: Literal["train", "test"] = "test",
    score: Sequence[str] = (),
    folds: int = 5,
    **place: Unpack[Place],
) -> Audited:
    """What is wrong with the data? Suspect labels, duplicates and outliers, by models of `recipe` that did not see them.

    `score`: runs or studies whose test scores are told with and without the suspects. Needs the extra `audit`.

    >>> audit("mnist", "train.epochs=1", split="test", quiet=True).audit.images  # doctest: +SKIP
    10000
    """
    need("torch", "fittingroom.audit", "train")
    from fittingroom.questions.audit import audit as ask
    from fittingroom.questions.audit import auditor_of

    here = _workplace(place)
    images = _data(data, here)
    auditor = read(auditor_of(images, here.runs, score, here.home) if recipe is None else recipe, changes)
    return ask(images, here, auditor=auditor, split=split, score=score, folds=folds)


@_placed
def explain(run: Run | str | Path, *images: int | str | Path, **place: Unpack[Place]) -> Explained:
    """What does an answer rest on? Of test images by number, picture files, and the most confident mistakes of a run.

    Needs the extra `explain`.

    >>> run = train("readme-004-mlp", "train.epochs=1", "data.limit=500", quiet=True)
    >>> explain(run, 17, quiet=True).table[1][0]  # doctest: +SKIP
    'test image 17 (Ankle boot)'
    """
    need("torch", "fittingroom.explain", "train")
    from fittingroom.questions.explain import explain as ask

    here = _workplace(place)
    rows, files = [i for i in images if isinstance(i, int)], [Path(i) for i in images if not isinstance(i, int)]
    return ask(_folder(run, here), here, images=rows, pictures=files)


# ---------------------------------------------------------------- to use


@_placed
def export(
    run: Run | str | Path,
    *,
    out: str | Path | None = None,
    quantize: Literal["no", "int8"] = "no",
    web: str | Path | None = None,
    at: str = "",
    positive: str = "",
    **place: Unpack[Place],
) -> BundleFolder:
    """A run's model as a bundle: an ONNX graph, weights, a model card, and proof that nothing changed. `web`: a site, too.

    `at` ("sensitivity=0.95") has it answer by a threshold for the class `positive` (of two, the second), chosen on validation.
    Needs the extra `export`.

    >>> run = train("readme-004-mlp", "train.epochs=1", "data.limit=10000", quiet=True)
    >>> export(run, quiet=True).parity.changed_predictions
    0
    """
    need("torch", "fittingroom.export", "train")
    from fittingroom.export.bundle import export as ship

    here = _workplace(place)
    places = [Path(p) if p else None for p in (out, web)]
    return ship(_folder(run, here), here, out=places[0], quantize=quantize, web=places[1], at=at, positive=positive)


@_placed
def predict(
    model: Run | BundleFolder | str | Path, *pictures: str | Path, top: int = 3, **place: Unpack[Place]
) -> Rows:
    """What do pictures show? Files and folders, answered by a bundle, or by a run, which is exported once. Needs no torch.

    A row for each: `file`, `answer`, `p` (of the answer, sure or not), `top` (classes with probabilities), `fault` where it could
    not be read.
    """
    from fittingroom.export.find import find_bundle
    from fittingroom.inference import Classifier
    from fittingroom.inference.pictures import classify, named_pictures

    here = _workplace(place)
    word = str(model.path) if isinstance(model, Run | BundleFolder) else str(model)
    named, faults, _ = named_pictures([str(picture) for picture in pictures])
    classifier = Classifier(find_bundle(word, here))
    found = [result for batch in classify(classifier, named, top=top) for result in batch]
    rows: list[dict[str, Any]] = [
        {"file": r.name, "answer": r.answer.says, "p": r.answer.top[0][1], "top": dict(r.answer.top), "fault": ""}
        if r.answer
        else {"file": r.name, "answer": None, "p": None, "top": {}, "fault": r.fault}
        for r in found
    ]
    return Rows(rows + [{"file": name, "answer": None, "p": None, "top": {}, "fault": why} for name, why in faults])


__all__ = [
    "Recipe", "Run", "ablate", "audit", "best", "claims", "compare", "cv", "data", "explain", "export", "load_data", "models",
    "new", "predict", "recipes", "replicate", "runs", "stress", "train", "transfer", "tune",
]  # fmt: skip
