"""Do claims stand? Which runs they need, and what the finished runs say of them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from fittingroom.metrics.claims import Groups, Judgement, grouped, judgements
from fittingroom.metrics.rounds import rounds
from fittingroom.questions.compare import page_of
from fittingroom.report.claims_page import Replicated, headline
from fittingroom.spec.claimed import Claimed, claimed
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import Recipe
from fittingroom.store import LoadedRun
from fittingroom.study.launch import choose_launcher
from fittingroom.study.plan import Experiment
from fittingroom.study.run import train
from fittingroom.study.sharing import sharing
from fittingroom.study.workplace import Workplace
from fittingroom.training import choose_device

QUICK = "train.epochs=2"


def replicate(
    words: Sequence[str],
    place: Workplace,
    *,
    claims: Sequence[str] = (),
    changes: Sequence[str] = (),
    seeds: int | None = None,
    quick: bool = False,
    most: int = 0,
) -> Replicated:
    """Re-run recipes that carry claims, and judge every one: reproduced, beaten, not reproduced or undecided.

    `words`: README numbers, recipes or files; none: all that ship. `claims`: only those ids. `seeds` None: 10, 3 or 1, by the
    length of a run. `quick`: two epochs each, for a look. `most`: instead, seeds in rounds until each claim is decided or has had
    so many; each look is allowed for. Raises `FittingroomError`.
    """
    changed = [*changes, *[QUICK] * quick]
    found = claimed(words, claims, changed)
    options = [*(f"--claim={name}" for name in claims), *([f"--seeds={seeds}"] if seeds else []), *["--quick"] * quick]
    if most:
        options += ["--until", "settled", f"--most={most}"]
        judged, groups = _in_rounds(found, changed, most, place)
    else:
        groups = grouped(list(chain.from_iterable(train(experiments(found, seeds), place))))
        judged = judgements(found, groups, changed)
    command = shlex.join(["fittingroom", "replicate", *words, *changes, *options])
    return Replicated(judged, groups, command, page_of(place.runs, "claims"))


def _in_rounds(
    found: Sequence[Claimed], changes: Sequence[str], most: int, place: Workplace
) -> tuple[list[Judgement], Groups]:
    """Each claim as it stood when it was decided, or stands after `most` seeds; and the runs of each recipe.

    Only what an open claim is about is trained further, and none that more seeds would hardly settle. What is finished is not
    trained again, so that a study that was stopped decides what it would have decided.
    """
    judged: dict[int, Judgement] = {}
    groups: Groups = {}
    known: dict[Path, LoadedRun] = {}
    at_once, _ = sharing(choose_device(place.device), place.launcher, place.at_once)
    with choose_launcher(place.launcher, at_once) as crew:  # once for all: a process takes seconds to start
        for seeds in rounds(most):
            still = [i for i in range(len(found)) if i not in judged or _is_open(judged[i])]
            if not still:
                break
            runs = train(experiments([found[i] for i in still], seeds), place, crew=crew)
            groups |= grouped(list(chain.from_iterable(runs)), known)
            judged |= zip(still, judgements([found[i] for i in still], groups, changes, most), strict=True)
            place.progress.note(f"after {seeds} seeds: {headline([*judged.values()])}")
    return [*judged.values()], groups


def experiments(claims: Sequence[Claimed], seeds: int | None = None) -> list[Experiment]:
    """Every recipe × data set that the claims need, once."""
    needed: dict[tuple[str, str], tuple[Recipe, str]] = {}
    for recipe, place in (pair for claim in claims for pair in claim.places):
        known, _ = needed.setdefault((recipe.name, place), (recipe, place))
        if known.deciding() != recipe.deciding():
            raise FittingroomError(f'two different recipes are called "{recipe.name}"; give one a name of its own')
    return [Experiment(recipe, place, range(seeds) if seeds else None) for recipe, place in needed.values()]


def _is_open(judged: Judgement) -> bool:
    """Whether more seeds may decide it: what no run can show has no value."""
    return judged.outcome == "undecided" and judged.value is not None and not judged.closed
