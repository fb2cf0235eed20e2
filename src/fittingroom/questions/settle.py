"""Which recipe is best, with as many seeds as it takes: trained in rounds, judged after each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain

from fittingroom.data import Dataset
from fittingroom.metrics.rounds import MOST, rounds
from fittingroom.metrics.story import Story, gather
from fittingroom.metrics.verdict import Comparison, Question
from fittingroom.questions.compare import names, page_of, refuse_unfit, remember, study_name
from fittingroom.report.page import Compared
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import Recipe
from fittingroom.store import Study
from fittingroom.study.workplace import Workplace


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
    return replace(question, most=MOST if most is None else most) if until else question


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
    digests = [data.digest for data in planned.loaded]
    if lonely := [d for d in digests if digests.count(d) < 2]:
        alone = planned.loaded[digests.index(lonely[0])].name
        raise FittingroomError(f"on {alone} one recipe would be alone; name one data set for all with --data")
    seeds = [rounds(question.most)[0]] * len(digests)
    began = time.monotonic()
    with ExitStack() as once:
        crew = once.enter_context(choose_launcher(place.launcher, planned.at_once))
        while True:
            finished = list(chain.from_iterable(run(planned.first(seeds, place.runs), place, crew)))
            remember(place, name, Study(runs=names(finished), asked=question.asked))
            stories = gather(finished, place.runs, question)
            more = [
                _next(stories, planned.experiments[i].recipe.name, digest) or seeds[i]
                for i, digest in enumerate(digests)
            ]
            for story in stories:
                place.progress.note(_known(story.comparison))
            if more == seeds:
                break
            each_s = [_train_s(stories, e.recipe.name, d) for e, d in zip(planned.experiments, digests, strict=True)]
            next_s = sum(s * (n - m) for s, n, m in zip(each_s, more, seeds, strict=True)) / planned.at_once
            if minutes is not None and time.monotonic() - began + next_s > 60 * minutes:
                place.progress.note(
                    f"the next round would take about {next_s:.0f} s, and {minutes:g} minutes are over then"
                )
                break
            place.progress.note(f"next round: {sum(more) - sum(seeds)} trainings, about {next_s:.0f} s")
            seeds = more
    return Compared(stories, place.runs, page_of(place.runs, name), name)


def _next(stories: Sequence[Story], recipe: str, digest: str) -> int | None:
    """After how many seeds it is looked at `recipe` again; None where it needs no more."""
    looked = next(story.comparison.looked for story in stories if story.data.digest == digest)
    assert looked
    return looked.next if any(recipe in pair for pair in looked.open) else None


def _train_s(stories: Sequence[Story], recipe: str, digest: str) -> float:
    [story] = [story for story in stories if story.data.digest == digest]
    return next(row.train_s for row in story.comparison.rows if row.recipe == recipe)


def _known(c: Comparison) -> str:
    """What is known after a look, in a line."""
    assert c.looked
    words = {"better": "real", "same": "the same for practical purposes", "undecided": "undecided"}
    pairs = (
        f"{p.better} − {p.worse} {c.by.signed(p.difference)} [{c.by.signed(p.low)}, {c.by.signed(p.high)}], {words[p.outcome]}"
        for p in c.pairs
    )
    return f"after {c.looked.seeds} seeds on {c.dataset}: {'; '.join(pairs)}"
