"""Do claims stand? Which runs they need, and what the finished runs say of them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from fittingroom.metrics.claims import Groups, Judgement, grouped, judgements
from fittingroom.questions.answer import Answer, Table
from fittingroom.report import charts
from fittingroom.report.claims_page import HEAD, headline, row, write_claims_page
from fittingroom.report.theme import Draw
from fittingroom.spec.claimed import Claimed, claimed
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import Recipe
from fittingroom.study.plan import Experiment
from fittingroom.study.run import train
from fittingroom.study.workplace import Workplace

QUICK = "train.epochs=2"


@dataclass(frozen=True, repr=False, eq=False)
class Replicated(Answer):
    """Each claim judged, and the runs behind them by recipe and data set."""

    judgements: Sequence[Judgement]
    groups: Groups
    command: str
    page: Path

    @property
    def sentences(self) -> list[str]:
        return [headline(self.judgements)]

    @property
    def table(self) -> Table:
        return [[HEAD[0], *HEAD[2:]], *([cells[0], *cells[2:]] for cells in map(row, self.judgements))]

    def json(self) -> dict[str, Any]:
        return {"claims": [j.model_dump(mode="json") for j in self.judgements]}

    def _write(self, path: Path) -> None:
        write_claims_page(self.judgements, self.groups, path, self.command)

    def _draw(self) -> Iterator[tuple[str, Draw]]:
        runs = {f"{recipe} on {dataset}": [r.epochs for r in group] for (recipe, dataset), group in self.groups.items()}
        yield "accuracy_curves", lambda dark: charts.curves(runs, "accuracy")


def replicate(
    words: Sequence[str],
    place: Workplace,
    *,
    claims: Sequence[str] = (),
    changes: Sequence[str] = (),
    seeds: int | None = None,
    quick: bool = False,
) -> Replicated:
    """Re-run recipes that carry claims, and judge every one: reproduced, beaten, not reproduced or undecided.

    `words`: README numbers, recipes or files; none: all that ship. `claims`: only those ids. `seeds` None: 10, 3 or 1, by the
    length of a run. `quick`: two epochs each, for a look. Raises `FittingroomError`.
    """
    changed = [*changes, *[QUICK] * quick]
    found = claimed(words, claims, changed)
    groups = grouped(list(chain.from_iterable(train(experiments(found, seeds), place))))
    options = [*(f"--claim={name}" for name in claims), *([f"--seeds={seeds}"] if seeds else []), *["--quick"] * quick]
    command = shlex.join(["fittingroom", "replicate", *words, *changes, *options])
    return Replicated(judgements(found, groups, changed), groups, command, place.runs.path / "claims.html")


def experiments(claims: Sequence[Claimed], seeds: int | None = None) -> list[Experiment]:
    """Every recipe × data set that the claims need, once."""
    needed: dict[tuple[str, str], tuple[Recipe, str]] = {}
    for recipe, place in (pair for claim in claims for pair in claim.places):
        known, _ = needed.setdefault((recipe.name, place), (recipe, place))
        if known.deciding() != recipe.deciding():
            raise FittingroomError(f'two different recipes are called "{recipe.name}"; give one a name of its own')
    return [Experiment(recipe, place, range(seeds) if seeds else None) for recipe, place in needed.values()]
