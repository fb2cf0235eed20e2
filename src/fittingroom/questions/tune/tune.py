"""Which values of a recipe's parts are best, and what did that gain without the luck of being picked?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from fittingroom.data import Dataset, prepare
from fittingroom.metrics.search import Searched
from fittingroom.metrics.story import gather
from fittingroom.metrics.verdict import Question
from fittingroom.models import with_sources
from fittingroom.questions.compare import called, names, page_of, remember
from fittingroom.questions.tune.loop import run_search
from fittingroom.questions.tune.results import best, facts, front, importance
from fittingroom.questions.tune.search import Search, score
from fittingroom.questions.tune.storage import journal, open_storage, open_study, refuse_unknown, warm_start
from fittingroom.report.tune_page import Tuned
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.parse import read_toml
from fittingroom.spec.recipe import Recipe
from fittingroom.spec.space import Dimension, is_dimension, parse_space
from fittingroom.store import Study
from fittingroom.store.atomic import write
from fittingroom.store.runs import recipe_toml, safe_name
from fittingroom.study.launch import choose_launcher
from fittingroom.study.plan import crossed
from fittingroom.study.run import train
from fittingroom.study.sharing import sharing
from fittingroom.study.workplace import Workplace
from fittingroom.training import choose_device
from fittingroom.training.select import refuse_too_few

TRIALS = 24  # unless a number or a time is given


@dataclass(frozen=True)
class Settings:
    """How to search. `objectives`: a metric on validation images first, then costs to weigh against it."""

    objectives: tuple[str, ...] = ("accuracy",)
    pruner: str = "none"
    batch: int = 8  # trials that are proposed together
    seed: int = 0  # decides what is proposed, and every trial's start
    trials: int | None = None  # in all; None: 24, if no time is given
    minutes: float | None = None  # begin no more trials after so many


@dataclass(frozen=True)
class Kept:
    """Where a search is kept, and what it goes on with."""

    name: str = ""  # default: the recipe and the data
    resume: bool = False  # go on with the search of this name
    warm: str = ""  # begin with what an earlier search of this name found
    storage: str = ""  # a file, or postgresql://… to share with others; default: a file in the runs folder


def tune(
    recipe: Recipe,
    place: Workplace,
    *,
    space: dict[str, Dimension] | None = None,
    data: str | Dataset = "",
    seeds: int = 3,
    settings: Settings = Settings(),
    kept: Kept = Kept(),
) -> Tuned:
    """Search with validation images only; then retrain the winner with fresh seeds and compare it on test with the start.

    `space` is what may be changed (default: the recipe's own); `seeds` fresh ones meet the test set. A killed search goes on
    with `kept.resume`, to the same trials. Raises `FittingroomError`.
    """
    progress, runs = place.progress, place.runs
    if space is None:
        space = parse_space(recipe.space, f"{recipe.name}: space")
    images = place.load(data or recipe.data.name, recipe.data)
    model = with_sources(recipe.model, images.train.shape, len(images.classes))  # the same for all trials
    recipe = recipe.model_copy(update={"model": model})
    name = kept.name or f"{recipe.name}-{called(data or recipe.data.name)}"
    device = choose_device(place.device)
    workers, threads = sharing(device, place.launcher, place.at_once, settings.batch)
    search = Search(
        recipe, space, images, settings.objectives, settings.pruner, settings.batch, settings.seed, device, threads
    )
    refuse_too_few(
        *prepare(images, recipe.data),
        images.val is None,
        "a search",
        "hold out more (data.val_fraction), or add pictures",
    )
    launcher = choose_launcher(place.launcher, workers)
    storage = open_storage(kept.storage or journal(runs))
    if kept.warm:
        refuse_unknown(storage, kept.warm)  # before there is a search of this one's name
    optuna_study = open_study(search, storage, name, kept.resume)
    search = replace(search, threads=optuna_study.user_attrs["threads"])  # those that it began with
    if kept.warm:
        progress.note(f"{warm_start(search, optuna_study, storage, kept.warm)} trials are taken over from {kept.warm}")
    wanted = settings.trials or (None if settings.minutes is not None else TRIALS)
    try:
        with progress.work(f"searching {name}") as tick, launcher:
            run_search(
                search, optuna_study, runs, launcher,
                trials=wanted, minutes=settings.minutes, tick=tick, say=progress.note,
            )  # fmt: skip
    except KeyboardInterrupt as stop:
        stop.add_note(f"what has been tried is saved in the search {name}")
        raise
    winner = best(search, optuna_study)
    tuned = search.recipe_of(winner.params).model_copy(update={"name": f"{recipe.name} tuned", "data": recipe.data})
    better = tuned.deciding() != recipe.deciding()
    file = runs.path / "tuning" / f"{safe_name(name)}.toml"
    write(file, recipe_toml(tuned))
    progress.note(
        f"the winner is trial {winner.number}; now {'it and ' if better else ''}the recipe as it was, with {seeds} fresh seeds"
    )
    fresh = range(settings.seed + 1, settings.seed + 1 + seeds)
    pair = [recipe, tuned] if better else [recipe]
    finished = list(chain.from_iterable(train(crossed(pair, [images], fresh), place)))
    remember(place, f"tune-{name}", Study(runs=names(finished)))
    metric = settings.objectives[0]
    story = gather(finished, runs, Question(metric, against=recipe.name if better else ""))[0]
    found = Searched(
        name=name,
        recipe=recipe.name,
        dataset=images.title,
        objectives=settings.objectives,
        trials=facts(search, optuna_study),
        best=winner,
        front=front(search, optuna_study),
        importance=importance(optuna_study),
        dimensions=space,
        comparison=story.comparison,
        fresh=[score(run.folder, metric) for run in story.runs[tuned.name if better else recipe.name]],
    )
    return Tuned(found, story, tuned, file, runs, page_of(runs, f"tune-{name}"), f"tune-{name}")


def spaces_of(words: Sequence[str], file: Path | None = None) -> tuple[list[str], dict[str, Dimension] | None]:
    """The overrides among `words` that set a value, and the space of those that name one, or of a TOML `file`; None for neither.

    Raises `FittingroomError` for both.

    >>> spaces_of(["train.epochs=2", "optimizer.lr=log(1e-4, 1e-1)"])[0]
    ['train.epochs=2']
    """
    spaces = {key: text for key, _, text in (word.partition("=") for word in words) if is_dimension(text)}
    changes = [word for word in words if not is_dimension(word.partition("=")[2])]
    if spaces and file:
        raise FittingroomError("there are two spaces, --space and the command's own; give one of them")
    if spaces:
        return changes, parse_space(spaces, "the command's spaces")
    if not file:
        return changes, None
    tree = read_toml(file)
    return changes, parse_space(tree["space"] if isinstance(tree.get("space"), dict) else tree, str(file))
