"""Which recipe is best, by how much ± what, is that real, what does it cost?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fittingroom.data import Dataset, prepare
from fittingroom.data.split import fold_of
from fittingroom.metrics.story import gather
from fittingroom.metrics.verdict import Question
from fittingroom.questions.again import answered, asked_for
from fittingroom.report.page import Compared
from fittingroom.spec.digest import digest
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import Recipe
from fittingroom.spec.study import is_study, parse_study, read_study
from fittingroom.store import RunFolder, Runs, Study
from fittingroom.store.events import StudyWritten
from fittingroom.store.runs import safe_name
from fittingroom.study.workplace import Workplace

if TYPE_CHECKING:
    from fittingroom.study.plan import Plan


def compare(
    recipes: Sequence[Recipe],
    place: Workplace,
    *,
    data: Sequence[str | Dataset] = (),
    seeds: Sequence[int] = range(3),
    question: Question = Question(),
    name: str = "",
) -> Compared:
    """Train what is missing of recipes × data × seeds, and judge it. Without `data`, each recipe goes with its own.

    `name` is what the study is called. Raises `FittingroomError`.
    """
    if not recipes:
        raise FittingroomError("name at least one recipe; see: fittingroom recipes")
    name = name or study_name([r.name for r in recipes], data or [r.data.name for r in recipes], f"{len(seeds)}-seeds")
    asked = asked_for(recipes, data, seeds, place)
    finished = answered(name, asked, place) or _trained(recipes, data, seeds, question, name, place)
    remember(place, name, Study(runs=names(finished), asked=question.asked, plan=asked))
    return Compared(gather(finished, place.runs, question), place.runs, page_of(place.runs, name), name)


def _trained(
    recipes: Sequence[Recipe],
    data: Sequence[str | Dataset],
    seeds: Sequence[int],
    question: Question,
    name: str,
    place: Workplace,
) -> list[RunFolder]:
    with place.loading_torch():
        from fittingroom.study.plan import crossed, plan
        from fittingroom.study.run import run

    planned = plan(crossed(recipes, data, seeds), place, name)
    refuse_unfit(question, planned)
    return list(chain.from_iterable(run(planned, place)))


def refuse_unfit(question: Question, planned: Plan) -> None:
    """Raise `FittingroomError` before anything is trained where some data cannot answer: for want of classes, or of validation
    images to choose a threshold on.
    """
    looked_at = set()
    for e, data, jobs in zip(planned.experiments, planned.loaded, planned.jobs, strict=True):
        where, spec = question.point(data.classes), jobs[0].recipe.data
        if e.score_test and fold_of(data, spec).test.n == 0:
            raise FittingroomError(
                f"{data.name} has no test images (data.test_fraction = 0); cross-validation needs none: fittingroom cv"
            )
        if where.aim and (data.digest, spec) not in looked_at:
            looked_at.add((data.digest, spec))
            _, val = prepare(fold_of(data, spec), spec)
            where.refuse_few(*(np.empty(0), None) if val is None else (val.labels_N, val.groups_N))


@dataclass(frozen=True)
class Planned:
    """What is to be compared, as words or a study file name it."""

    recipes: list[Recipe]
    data: list[str | Dataset]
    seeds: range
    name: str


def planned(
    words: Sequence[str],
    changes: Sequence[str],
    data: Sequence[str | Dataset] = (),
    seeds: range | None = None,
    until: str = "",
) -> Planned:
    """The comparison of recipes by name or file, or of one study file; `changes` are overrides for all.

    Raises `FittingroomError`.
    """
    studies = [word for word in words if is_study(word)]
    if studies and len(words) > 1:
        raise FittingroomError(f"{studies[0]} is a study, which names its recipes itself; give it alone")
    if not words:
        raise FittingroomError("name at least one recipe; see: fittingroom recipes")
    study = read_study(Path(words[0])) if studies else parse_study({"recipes": list(words)})
    recipes = study.read(list(changes), Path(words[0]).parent if studies else Path())
    chosen, sets = seeds or range(study.seeds), [*data] or [*study.data]
    if studies:
        return Planned(recipes, sets, chosen, Path(words[0]).stem + (f"-until-{until}" if until else ""))
    on = sets or [recipe.data.name for recipe in recipes]
    far = f"until-{until}" if until else f"{len(chosen)}-seeds"
    return Planned(recipes, sets, chosen, study_name([r.name for r in recipes], on, far, changes))


def study_name(recipes: Sequence[str], data: Sequence[str | Dataset], far: str, changes: Sequence[str] = ()) -> str:
    """What a study is called that nobody named: another question gets another name. `far`: how many seeds it has.

    >>> study_name(["a", "b"], ["/my/pictures"], "3-seeds")
    'a-b-pictures-3-seeds'
    """
    words = "-".join([*recipes, *dict.fromkeys(map(called, data)), far])[:90]
    return words + (f"-{digest(sorted(changes))[:4]}" if changes else "")


def called(data: str | Dataset) -> str:
    """What data are called in names: of a path, the last part."""
    return data.name if isinstance(data, Dataset) else Path(data).name


def page_of(runs: Runs, name: str) -> Path:
    """Where the page of this name goes unless a person says otherwise."""
    return runs.path / f"{safe_name(name)}.html"


def names(folders: Sequence[RunFolder]) -> tuple[str, ...]:
    return tuple(folder.name for folder in folders)


def remember(place: Workplace, name: str, study: Study, **arrays: Any) -> None:
    """Write which runs answer a question, and tell who watches."""
    place.runs.write_study(name, study, arrays)
    place.progress.event(StudyWritten(name=name))
