"""Do claims stand? Which runs they need, and what the finished runs say of them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from itertools import chain

from fittingroom.metrics.claims import grouped, judgements
from fittingroom.questions.compare import page_of
from fittingroom.report.claims_page import Replicated
from fittingroom.spec.claimed import Claimed, claimed
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import Recipe
from fittingroom.study.plan import Experiment
from fittingroom.study.run import train
from fittingroom.study.workplace import Workplace

QUICK = "train.epochs=2"


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
    return Replicated(judgements(found, groups, changed), groups, command, page_of(place.runs, "claims"))


def experiments(claims: Sequence[Claimed], seeds: int | None = None) -> list[Experiment]:
    """Every recipe × data set that the claims need, once."""
    needed: dict[tuple[str, str], tuple[Recipe, str]] = {}
    for recipe, place in (pair for claim in claims for pair in claim.places):
        known, _ = needed.setdefault((recipe.name, place), (recipe, place))
        if known.deciding() != recipe.deciding():
            raise FittingroomError(f'two different recipes are called "{recipe.name}"; give one a name of its own')
    return [Experiment(recipe, place, range(seeds) if seeds else None) for recipe, place in needed.values()]
