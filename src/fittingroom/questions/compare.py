"""Which recipe is best, by how much ± what, is that real, what does it cost?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from fittingroom.data import Dataset
from fittingroom.metrics.rows import Pair, Row
from fittingroom.metrics.story import Story, gather
from fittingroom.metrics.verdict import Comparison, Question
from fittingroom.questions.answer import Answer, Table
from fittingroom.report.page import figures, write_report
from fittingroom.report.theme import Draw, Figure
from fittingroom.spec.digest import digest
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import Recipe
from fittingroom.spec.study import is_study, parse_study, read_study
from fittingroom.store import RunFolder, Runs, Study
from fittingroom.store.events import StudyWritten
from fittingroom.store.runs import safe_name
from fittingroom.study.workplace import Workplace


@dataclass(frozen=True, repr=False, eq=False)
class Compared(Answer):
    """The verdict on one data set or several, and all that is known of the runs behind it."""

    heading = "verdict"
    stories: Sequence[Story]
    runs: Runs
    page: Path
    study: str = ""

    @property
    def comparisons(self) -> list[Comparison]:
        """One for each data set."""
        return [story.comparison for story in self.stories]

    @property
    def sentences(self) -> list[str]:
        return list(chain.from_iterable(c.sentences for c in self.comparisons))

    @property
    def verdict(self) -> str:
        """Which is best, and how it stands against each other one."""
        return " ".join(self.sentences)

    @property
    def rows(self) -> list[Row]:
        """Each recipe's figures (accuracies are fractions), the best first; of several data sets, one after the other."""
        return list(chain.from_iterable(c.rows for c in self.comparisons))

    @property
    def pairs(self) -> list[Pair]:
        """Each pair of recipes: by how much, and whether that is real."""
        return list(chain.from_iterable(c.pairs for c in self.comparisons))

    @property
    def table(self) -> Table:
        return self.tables[0]

    @property
    def tables(self) -> list[Table]:
        return [c.table for c in self.comparisons]

    def json(self) -> dict[str, Any]:
        reads = self.runs.test_reads()
        return {"comparisons": [c.model_dump(mode="json") for c in self.comparisons], "test_reads": reads}

    def _write(self, path: Path) -> None:
        write_report(self.stories, self.runs, path)

    def _draw(self) -> Iterator[tuple[str, Draw]]:
        for story in self.stories:
            before = f"{safe_name(story.data.name)}-" if len(self.stories) > 1 else ""
            yield from ((before + name, draw) for name, draw in figures(story))

    def save_figures(self, folder: Path) -> None:
        for story in self.stories:
            for name, draw in figures(story):
                Figure(draw).save(folder / f"{safe_name(story.data.name)}-{safe_name(name)}.png")


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
    from fittingroom.study.plan import crossed
    from fittingroom.study.run import train

    if not recipes:
        raise FittingroomError("name at least one recipe; see: fittingroom recipes")
    name = name or study_name([r.name for r in recipes], data or [r.data.name for r in recipes], len(seeds))
    finished = list(chain.from_iterable(train(crossed(recipes, data, seeds), place, name)))
    remember(place, name, Study(runs=names(finished)))
    return Compared(gather(finished, place.runs, question), place.runs, page_of(place, name), name)


@dataclass(frozen=True)
class Planned:
    """What is to be compared, as words or a study file name it."""

    recipes: list[Recipe]
    data: list[str | Dataset]
    seeds: range
    name: str


def planned(
    words: Sequence[str], changes: Sequence[str], data: Sequence[str | Dataset] = (), seeds: range | None = None
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
        return Planned(recipes, sets, chosen, Path(words[0]).stem)
    on = sets or [recipe.data.name for recipe in recipes]
    return Planned(recipes, sets, chosen, study_name([r.name for r in recipes], on, len(chosen), changes))


def study_name(recipes: Sequence[str], data: Sequence[str | Dataset], seeds: int, changes: Sequence[str] = ()) -> str:
    """What a study is called that nobody named: another question gets another name.

    >>> study_name(["a", "b"], ["/my/pictures"], 3)
    'a-b-pictures-3-seeds'
    """
    words = "-".join([*recipes, *dict.fromkeys(map(called, data)), f"{seeds}-seeds"])[:90]
    return words + (f"-{digest(sorted(changes))[:4]}" if changes else "")


def called(data: str | Dataset) -> str:
    """What data are called in names: of a path, the last part."""
    return data.name if isinstance(data, Dataset) else Path(data).name


def page_of(place: Workplace, name: str) -> Path:
    """Where the page of this name goes unless a person says otherwise."""
    return place.runs.path / f"{safe_name(name)}.html"


def names(folders: Sequence[RunFolder]) -> tuple[str, ...]:
    return tuple(folder.name for folder in folders)


def remember(place: Workplace, name: str, study: Study, **arrays: Any) -> None:
    """Write which runs answer a question, and tell who watches."""
    place.runs.write_study(name, study, arrays)
    place.progress.event(StudyWritten(name=name))
