"""Which recipe is best, with as many seeds as it takes: trained in rounds, judged after each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from fittingroom.data import Dataset
from fittingroom.metrics.rounds import FIRST, MOST, rounds
from fittingroom.metrics.story import Story, gather
from fittingroom.metrics.verdict import Comparison, Question
from fittingroom.questions.compare import names, page_of, refuse_unfit, remember, study_name
from fittingroom.report.page import Compared
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import Recipe
from fittingroom.store import Study
from fittingroom.study.workplace import Workplace

if TYPE_CHECKING:
    from fittingroom.study.plan import Plan


def until_settled(
    question: Question, until: str, seeds: object = None, most: int | None = None, minutes: float | None = None
) -> Question:
    """`question`, with seeds in rounds if `until` says "settled". Raises `FittingroomError` for what does not go together."""
    if until not in ("", "settled"):
        raise FittingroomError(f'until: got "{until}"; it is "settled", or left away for a fixed number of seeds')
    if until and seeds is not None:
        raise FittingroomError(
            "seeds are a plan, and until settled is another; give the most there may be instead (most)"
        )
    if not until and (most is not None or minutes is not None):
        raise FittingroomError("most and minutes go with until settled; a fixed plan has seeds")
    if minutes is not None and not minutes > 0:
        raise FittingroomError(f"minutes: got {minutes:g}; give a time above 0")
    if not until:
        return question
    if most == 0:  # which elsewhere means a plan
        raise FittingroomError(f"most: got 0; the first look is after {FIRST} seeds, so give at least that")
    return replace(question, most=MOST if most is None else most)


def settle(
    recipes: Sequence[Recipe],
    place: Workplace,
    *,
    data: Sequence[str | Dataset] = (),
    question: Question,
    minutes: float | None = None,
    name: str = "",
) -> Compared:
    """Train seeds in rounds until every pair is decided or hardly can be, with `question.most` of them, or after `minutes`.

    A recipe that is beaten gets no more. Each look is allowed for: see `fittingroom.metrics.rounds`. What is finished counts, so
    that a study that was stopped goes on, and decides what it would have decided. Raises `FittingroomError`.
    """
    from fittingroom.study.launch import choose_launcher
    from fittingroom.study.plan import crossed, plan
    from fittingroom.study.run import run

    if len(recipes) < 2:
        raise FittingroomError("it takes two recipes for something to be settled; see: fittingroom recipes")
    name = name or study_name([r.name for r in recipes], data or [r.data.name for r in recipes], "until-settled")
    planned = plan(crossed(recipes, data, range(question.most)), place, name)
    refuse_unfit(question, planned)
    digests = [dataset.digest for dataset in planned.loaded]
    if lonely := [i for i, digest in enumerate(digests) if digests.count(digest) < 2]:
        alone = planned.experiments[lonely[0]].recipe.name
        raise FittingroomError(
            f"{alone} would be alone on its images; name one data set for all (--data), and read its pictures alike "
            "(data.image_size, data.channels)"
        )
    seeds = [rounds(question.most)[0]] * len(digests)
    coming = planned.between([0] * len(digests), seeds, place)
    began = time.monotonic()
    for line in planned.cautions:
        place.progress.note(f"warning: {line}")
    with choose_launcher(place.launcher, planned.at_once) as crew:
        while True:
            run(coming, place, crew)
            finished = [job.folder(place.runs) for jobs, n in zip(planned.jobs, seeds, strict=True) for job in jobs[:n]]
            if coming.waiting:  # or a study that goes on would look smaller than it is until it is where it was
                remember(place, name, Study(runs=names(finished), asked=question.asked))
            stories = gather(finished, place.runs, question)
            for story in stories:
                place.progress.note(_known(story.comparison))
            more = [
                _next(stories, e.recipe.name, d) or n
                for e, d, n in zip(planned.experiments, digests, seeds, strict=True)
            ]
            if more == seeds:
                break
            following = planned.between(seeds, more, place)
            next_s = _takes_s(following, stories)
            if minutes is not None and time.monotonic() - began + next_s > 60 * minutes:
                place.progress.note(
                    f"the next round would take about {next_s:.0f} s, and {minutes:g} minutes are over then"
                )
                break
            place.progress.note(f"next round: {sum(more) - sum(seeds)} trainings, about {next_s:.0f} s")
            coming, seeds = following, more
    if not coming.waiting:
        remember(place, name, Study(runs=names(finished), asked=question.asked))
    return Compared(stories, place.runs, page_of(place.runs, name), name)


def _next(stories: Sequence[Story], recipe: str, digest: str) -> int | None:
    """After how many seeds it is looked at `recipe` again; None where it needs no more."""
    looked = next(story.comparison.looked for story in stories if story.data.digest == digest)
    assert looked
    return looked.next if recipe in looked.contenders else None


def _takes_s(coming: Plan, stories: Sequence[Story]) -> float:
    """About how long what waits will take: as long as those before it, and together no less than the longest."""
    took = {(s.data.digest, row.recipe): row.train_s for s in stories for row in s.comparison.rows}
    each_s = [took[job.data_digest, job.recipe.name] for job in coming.waiting]
    return max(sum(each_s) / coming.at_once, *each_s) if each_s else 0.0


def _known(c: Comparison) -> str:
    """What is known after a look, in a line."""
    assert c.looked
    words = {"better": "real", "same": "the same for practical purposes", "undecided": "undecided"}
    pairs = (
        f"{p.better} − {p.worse} {c.by.signed(p.difference)} [{c.by.signed(p.low)}, {c.by.signed(p.high)}], {words[p.outcome]}"
        for p in c.pairs
    )
    return f"after {c.looked.seeds} seeds on {c.dataset}: {'; '.join(pairs)}"
