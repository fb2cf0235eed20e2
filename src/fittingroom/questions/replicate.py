"""Do claims stand? Which runs they need, and what the finished runs say of them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from fittingroom.metrics.claims import Groups, Judgement, grouped, judgements
from fittingroom.metrics.rounds import rounds
from fittingroom.questions.compare import page_of
from fittingroom.questions.kept import Kept
from fittingroom.report.claims_page import Replicated, headline
from fittingroom.spec.claimed import Claimed, claimed
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import Recipe
from fittingroom.store import LoadedRun
from fittingroom.study.workplace import Workplace

if TYPE_CHECKING:
    from fittingroom.study.launch import Launcher
    from fittingroom.study.plan import Experiment

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
    evidence: Path | None = None,
) -> Replicated:
    """Re-run recipes that carry claims, and judge every one: reproduced, beaten, not reproduced or undecided.

    `words`: README numbers, recipes or files; none: all that ship. `claims`: only those ids. `seeds` None: 10, 3 or 1, by the
    length of a run. `quick`: two epochs each, for a look. `most`: instead, seeds in rounds until each claim is decided or has had
    so many; each look is allowed for. `evidence`: a folder of packed runs. They count as finished, and what is trained is packed
    into it; without `seeds` and `most` nothing is trained, and judged is what there is. Raises `FittingroomError`.
    """
    if seeds is not None and seeds < 1:
        raise FittingroomError(f"seeds: got {seeds}; give a number of at least 1")
    changed = [*changes, *[QUICK] * quick]
    found = claimed(words, claims, changed)
    options = [*(f"--claim={name}" for name in claims), *([f"--seeds={seeds}"] if seeds else []), *["--quick"] * quick]
    options += [f"--evidence={evidence}"] if evidence else []
    kept = Kept(evidence, place.progress.note) if evidence else None
    if most:
        options += ["--until", "settled", f"--most={most}"]
        judged, groups = _in_rounds(found, changed, most, place, kept)
    elif kept and seeds is None:
        groups = kept.groups(places(found))
        found = _with_runs(found, groups, kept, place)
        judged = judgements(found, groups, changed)
    else:
        groups = _runs(found, seeds, place, kept)
        judged = judgements(found, groups, changed)
    command = shlex.join(["fittingroom", "replicate", *words, *changes, *options])
    return Replicated(judged, groups, command, page_of(place.runs, "claims"))


def _with_runs(found: Sequence[Claimed], groups: Groups, kept: Kept, place: Workplace) -> list[Claimed]:
    """The claims that there is evidence about; the others are told."""
    can = [q for q in found if all((recipe.name, data) in groups for recipe, data in q.places)]
    if not can:
        raise FittingroomError(
            f"{kept.evidence.path} has no packed run that these {len(found)} claims are about; with --seeds they are trained"
        )
    if without := [q.claim.id for q in found if q not in can]:
        place.progress.note(
            f"there is no evidence about {len(without)} claims: {', '.join(without)}; --seeds trains it"
        )
    return can


def _runs(
    found: Sequence[Claimed],
    seeds: int | None,
    place: Workplace,
    kept: Kept | None,
    known: dict[Path, LoadedRun] | None = None,
    crew: Launcher | None = None,
) -> Groups:
    """The runs that claims need, by recipe and data set: what is not there is trained."""
    from fittingroom.study.run import train

    wanted = experiments(found, seeds)
    if kept is None:
        return grouped(list(chain.from_iterable(train(wanted, place, crew=crew))), known)
    assert seeds
    waiting = []
    for e in wanted:
        there, recipe = kept.of(e.recipe, str(e.dataset)), e.recipe
        missing = [seed for seed in range(seeds) if seed not in there]
        if there:  # in their precision, or they could not be held against each other
            precision = next(iter(there.values())).recipe.train.precision
            recipe = recipe.model_copy(update={"train": recipe.train.model_copy(update={"precision": precision})})
        if missing:
            waiting.append(replace(e, recipe=recipe, seeds=missing))
    trained = kept.add(chain.from_iterable(train(waiting, place, crew=crew))) if waiting else []
    groups = kept.groups(places(found), seeds)
    for run in trained:  # one that is not known again, as a network of one's own
        mine = groups.setdefault((run.name, run.data.name), [])
        if run.seed not in {one.seed for one in mine}:
            mine.append(run)
    return groups


def _in_rounds(
    found: Sequence[Claimed], changes: Sequence[str], most: int, place: Workplace, kept: Kept | None
) -> tuple[list[Judgement], Groups]:
    """Each claim as it stood when it was decided, or stands after `most` seeds; and the runs of each recipe.

    Only what an open claim is about is trained further, and none that more seeds would hardly settle. What is finished is not
    trained again, so that a study that was stopped decides what it would have decided.
    """
    from fittingroom.study.launch import choose_launcher
    from fittingroom.study.sharing import sharing
    from fittingroom.training import choose_device

    judged: dict[int, Judgement] = {}
    groups: Groups = {}
    known: dict[Path, LoadedRun] = {}
    at_once, _ = sharing(choose_device(place.device), place.launcher, place.at_once)
    with choose_launcher(place.launcher, at_once) as crew:  # once for all: a process takes seconds to start
        for seeds in rounds(most):
            still = [i for i in range(len(found)) if i not in judged or _is_open(judged[i])]
            if not still:
                break
            groups |= _runs([found[i] for i in still], seeds, place, kept, known, crew)
            judged |= zip(still, judgements([found[i] for i in still], groups, changes, most), strict=True)
            place.progress.note(f"after {seeds} seeds: {headline([*judged.values()])}")
    return [*judged.values()], groups


def places(claims: Sequence[Claimed]) -> list[tuple[Recipe, str]]:
    """Every recipe × data set that the claims need, once."""
    needed: dict[tuple[str, str], tuple[Recipe, str]] = {}
    for recipe, place in (pair for claim in claims for pair in claim.places):
        known, _ = needed.setdefault((recipe.name, place), (recipe, place))
        if known.deciding() != recipe.deciding():
            raise FittingroomError(f'two different recipes are called "{recipe.name}"; give one a name of its own')
    return [*needed.values()]


def experiments(claims: Sequence[Claimed], seeds: int | None = None) -> list[Experiment]:
    """Their trainings; `seeds` None: as many as their length grants."""
    from fittingroom.study.plan import Experiment

    return [Experiment(recipe, place, range(seeds) if seeds else None) for recipe, place in places(claims)]


def _is_open(judged: Judgement) -> bool:
    """Whether more seeds may decide it: what no run can show has no value."""
    return judged.outcome == "undecided" and judged.value is not None and not judged.closed
