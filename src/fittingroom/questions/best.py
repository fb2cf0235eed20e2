"""Which classifier for these pictures, how good is it really, and why? One question from a folder to an answer.

Candidates from a line through the pixels to a network that is trained on are judged on pictures that they have not seen. Few
pictures are cross-validated (the fewer, the more often), and in each part the choice is made by the other parts; of many, one
part is held out to choose on, and the winner, trained on all of them, meets the locked test set once. Either way no picture
that had a say in the choice scores it; but where pictures are divided several times, a candidate that is far behind (p < 0.001)
on all of them is not tried on further divisions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from fittingroom.data import Dataset, not_test
from fittingroom.data.dataset import peek
from fittingroom.data.split import undivided
from fittingroom.metrics.choice import hopeless
from fittingroom.metrics.folds import pooled
from fittingroom.metrics.story import Story, stories
from fittingroom.models.pretrained import at_hand, pretrained_weights
from fittingroom.questions.compare import names, page_of, remember
from fittingroom.questions.crossval import folded, parts_of, with_pictures
from fittingroom.report.best_page import Chosen, chosen
from fittingroom.spec.candidates import SHAPE, TWO_SIZES, candidate, network_of, refuse_unknown, usual
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.pretrained import pretrained
from fittingroom.spec.recipe import Recipe, ShapeSpec
from fittingroom.store import RunFolder, Study
from fittingroom.store.runs import safe_name
from fittingroom.study.launch import Launcher, choose_launcher
from fittingroom.study.plan import Experiment
from fittingroom.study.run import train
from fittingroom.study.sharing import sharing
from fittingroom.study.workplace import Workplace
from fittingroom.training import choose_device

FEW = 1_000  # pictures: up to so many are cross-validated, of more a part is held out
PARTS = 5
ANSWERS, MOST_REPEATS = 600, 5  # so few pictures are divided anew until there are so many answers: 286 pictures twice
ENOUGH_TO_HALVE = 40  # pictures, for a look at what more of them would bring

HandOver = Callable[[RunFolder, Workplace, Path], Mapping[str, Path]]


def best(
    pictures: str | Dataset,
    place: Workplace,
    *,
    candidates: Sequence[str] = (),
    shape: ShapeSpec = SHAPE,
    minutes: float | None = None,
    thorough: bool = False,
    offline: bool = False,
    hand_over: HandOver | None = None,
) -> Chosen:
    """Judge candidates on a folder of pictures, and hand over the best: trained on everything, as a bundle and a site.

    `candidates`: their names (default: `spec.candidates.usual`); `shape`: how pictures are read and grouped; `minutes`: after so
    many no further candidate and no further division is begun; `thorough`: all layers of a network are trained, too; `offline`:
    no weights are fetched; `hand_over` makes the winner's run ready for use, with a site in the folder that it is given. What is
    finished is not done again. Raises `FittingroomError`.
    """
    refuse_unknown(candidates)
    started, progress = time.monotonic(), place.progress
    look = _look(pictures, shape, place)
    data, name = look.data, f"best-{safe_name(look.data.name)}"
    weights = _weights(candidates, place, data, offline)
    wanted = list(candidates) or usual(weights, len(not_test(data)) <= FEW, thorough)
    recipes = [candidate(one, data.train.counts, look.shape, data.may_flip) for one in wanted]
    runs: dict[str, list[RunFolder]] = {}
    fold_N = parts_of(data, _trainings(recipes[0], look))
    at_once, _ = sharing(choose_device(place.device), place.launcher, place.at_once, look.parts)
    with choose_launcher(place.launcher, at_once) as crew:  # once for all: a process takes seconds to start
        for recipe in recipes:
            if runs and _late(started, minutes):
                untried = ", ".join(r.name for r in recipes if r.name not in runs)
                progress.note(
                    f"{minutes:g} minutes are over: {untried} not tried; the same command with more minutes goes on"
                )
                break
            progress.note(f"{recipe.name}: {recipe.description}")
            runs[recipe.name] = _trained(recipe, look, place, name, crew, [0])
            story = _judged(runs, fold_N, place)
            progress.note(f"{'so far' if len(runs) > 1 else 'a first answer'}: {_leads(story)}")
        tried = [r for r in recipes if r.name in runs]
        divided = 1
        while divided < look.repeats and not _late(started, minutes):
            behind = hopeless(story)
            still = [r for r in tried if len(runs[r.name]) == divided * look.parts and r.name not in behind]
            for_whom = ", ".join(r.name for r in still)
            progress.note(f"divided anew ({divided + 1} of {look.repeats}), for {for_whom}")
            for recipe in still:
                runs[recipe.name] += _trained(recipe, look, place, name, crew, [divided])
            divided += 1
            story = _judged(runs, fold_N, place)
        if divided < look.repeats:
            progress.note(f"{minutes:g} minutes are over: the pictures are divided {divided} times, not {look.repeats}")
        if divided > 1:
            progress.note(f"all in all: {_leads(story)}")
        more = _halved(tried, look, place, name, crew, divided)
    winner = next(r for r in recipes if r.name == story.comparison.rows[0].recipe)
    final = _final(winner, look, place, name)
    folders = [*chain.from_iterable(runs.values())]
    settings = {
        "recipes": {recipe: names(mine) for recipe, mine in runs.items()},
        "parts": look.parts,
        "repeats": divided,
        "half": list(names(more)),
        "final": final.name,
    }
    study = Study(question="best", runs=names([*folders, *more, final]), settings=settings)
    remember(place, name, study, fold_N=fold_N)
    with_pictures(name, place.runs, data)
    files = hand_over(final, place, place.runs.path / f"{name}-site") if hand_over else None
    return chosen(name, place.runs, page_of(place.runs, name), files)


@dataclass(frozen=True)
class _Look:
    """The pictures, how they were read, and in how many parts they are judged."""

    data: Dataset
    shape: ShapeSpec
    folds: int
    parts: int  # of these that are held out, one after the other
    repeats: int  # how often the pictures are divided


def _look(pictures: str | Dataset, shape: ShapeSpec, place: Workplace) -> _Look:
    """Read the pictures; all of them to train on where they are few and bring no test part."""
    shape = SHAPE.model_copy(update=shape.model_dump(exclude_none=True))
    if isinstance(pictures, Dataset):
        return _parted(place.load(pictures, shape), shape)
    n, tested = peek(pictures, place.home, shape)
    if n <= FEW and not tested and shape.test_fraction is None:
        shape = shape.model_copy(update={"test_fraction": 0.0})
    return _parted(place.load(pictures, shape), shape)


def _parted(data: Dataset, shape: ShapeSpec) -> _Look:
    """In how many parts these pictures can be judged: each class, and what belongs together, has to be there for every one."""
    images = not_test(data)
    of_class = [images.labels_N == c for c in np.unique(images.labels_N)]
    unit_N = undivided(images, data, shape.near)
    units = [len(np.unique(unit_N[mine])) for mine in of_class]
    fewest = min(units)
    if fewest < 2:
        mine = of_class[int(np.argmin(units))]
        name = data.classes[int(images.labels_N[mine][0])]
        if mine.sum() == 1:
            raise FittingroomError(f"“{name}” has one picture: none could be held out; bring more of it")
        what = "near copies of one another" + (f", or belong together ({shape.group})" if shape.group else "")
        raise FittingroomError(
            f"all pictures of “{name}” are {what}: none could be held out from the others; bring some that differ"
        )
    folds = min(PARTS, fewest)
    parts = folds if len(images) <= FEW or data.test.n == 0 else 1
    repeats = min(MOST_REPEATS, max(1, ANSWERS // len(images))) if parts > 1 else 1
    return _Look(data, shape, folds, parts, repeats)


def _weights(candidates: Sequence[str], place: Workplace, data: Dataset, offline: bool) -> list[str]:
    """The pretrained networks whose weights are there, or could be fetched; what could not be is said."""
    wanted = {entry.name for one in candidates if (entry := network_of(one))} if candidates else {*TWO_SIZES}
    found = []
    for entry in pretrained().values():
        if at_hand(entry, data.home_dir):
            found.append(entry.name)
        elif entry.name in wanted and not offline:
            try:
                pretrained_weights(entry, data.home_dir, place.progress.note)
                found.append(entry.name)
            except FittingroomError as error:
                if candidates:
                    raise
                place.progress.note(f"without {entry.title}, which others begin with: {error}")
    missing = sorted(wanted - set(found))
    if missing and offline and candidates:
        raise FittingroomError(f"the weights of {', '.join(missing)} are not here; leave --offline away to fetch them")
    if missing and offline:
        place.progress.note(f"without {', '.join(missing)}, whose weights are not here (--offline)")
    return found


def _late(started: float, minutes: float | None) -> bool:
    """Whether so many minutes are over since then."""
    return minutes is not None and time.monotonic() - started > 60 * minutes


def _judged(runs: Mapping[str, Sequence[RunFolder]], fold_N: np.ndarray, place: Workplace) -> Story:
    [story] = stories(pooled(runs, fold_N), place.runs, on="held-out")
    return story


def _leads(story: Story) -> str:
    leader = story.comparison.rows[0]
    of = f"{story.comparison.images} pictures that it had not seen"
    return f"{leader.recipe} gets about {100 * leader.score:.0f} % of {of}"


def _trained(
    recipe: Recipe, look: _Look, place: Workplace, study: str, crew: Launcher, divisions: Sequence[int]
) -> list[RunFolder]:
    """One training for each part that is held out in these divisions, scored on it."""
    trainings = [t for t in _trainings(recipe, look) if set(t.seeds or ()) <= set(divisions)]
    return list(chain.from_iterable(train(trainings, place, study, crew)))


def _trainings(recipe: Recipe, look: _Look) -> list[Experiment]:
    all_parts = folded(recipe, look.data, look.folds, "test", range(look.repeats), redraw=True)
    return [replace(one, costs=False) for one in all_parts[: look.repeats * look.parts]]


def _halved(
    recipes: Sequence[Recipe], look: _Look, place: Workplace, study: str, crew: Launcher, divided: int
) -> list[RunFolder]:
    """What the first recipe on frozen features gets from half of the pictures: trainings of milliseconds; [] without any."""
    recipe = next((r for r in recipes if r.model.freeze == "body"), None)
    n = len(not_test(look.data)) * (look.folds - 1) // look.folds
    if recipe is None or n < ENOUGH_TO_HALVE:
        return []
    place.progress.note(f"what more pictures bring: {recipe.name} with half of them")
    half = recipe.model_copy(
        update={"name": f"{recipe.name} half", "data": recipe.data.model_copy(update={"limit": n // 2})}
    )
    return _trained(half, look, place, study, crew, range(divided))


def _final(recipe: Recipe, look: _Look, place: Workplace, study: str) -> RunFolder:
    """The winner, trained on every picture but those of the test set, which it meets where there is one."""
    place.progress.note(f"{recipe.name}, trained on {len(not_test(look.data)):,} pictures")
    if look.data.val is not None:
        recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"val_is": "train"})})
    [[run]] = train([Experiment(recipe, look.data, [0], costs=False)], place, study)
    return run
