"""What does each part of a recipe do? The recipe against itself without the part, on the same seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from fittingroom.data import Dataset
from fittingroom.metrics.effects import effects
from fittingroom.metrics.story import Story, gather, of_study
from fittingroom.metrics.verdict import Question
from fittingroom.questions.compare import names, page_of, refuse_unfit, remember
from fittingroom.report.page import Ablated
from fittingroom.spec.ablation import parts, without
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import Recipe
from fittingroom.store import Runs, Study
from fittingroom.study.workplace import Workplace


def ablate(
    recipe: Recipe,
    place: Workplace,
    *,
    drop: Sequence[str] = (),
    data: str | Dataset = "",
    seeds: Sequence[int] = range(3),
    question: Question = Question(),
) -> Ablated:
    """Measure what the parts named in `drop` do; without any, all that the recipe has.

    Raises `FittingroomError` for a part that it does not have, and as `compare` does.
    """
    from fittingroom.study.plan import crossed, plan
    from fittingroom.study.run import run

    dropped = list(dict.fromkeys(drop or [p for p in parts(recipe) if not p.startswith("augment.")]))
    if not dropped:
        raise FittingroomError(f"{recipe.name} has no part to drop; name a layer: --drop model.layers.N")
    variants = {part: without(recipe, part) for part in dropped}
    name = f"ablate-{recipe.name}"
    planned = plan(crossed([recipe, *variants.values()], [data] if data else [], seeds), place, name)
    refuse_unfit(question, planned)
    finished = list(chain.from_iterable(run(planned, place)))
    settings = {"recipe": recipe.name, "parts": {variant.name: part for part, variant in variants.items()}}
    remember(place, name, Study(question="ablate", runs=names(finished), settings=settings, asked=question.asked))
    story = gather(finished, place.runs, _against(question, recipe.name))[0]
    return _judged(settings, story, place.runs, page_of(place.runs, name), name)


def reported(study: Study, name: str, runs: Runs, question: Question) -> Ablated:
    """The ablation of before that is called so, judged again. Needs no torch."""
    story = of_study(name, runs, _against(question.or_else(study.asked), study.settings["recipe"]))[0]
    return _judged(study.settings, story, runs, page_of(runs, "report"), name)


def _against(question: Question, recipe: str) -> Question:
    return replace(question, against=recipe)


def _judged(settings: Mapping[str, Any], story: Story, runs: Runs, page: Path, name: str) -> Ablated:
    found = effects(settings["recipe"], settings["parts"], story.comparison, story.runs)
    return Ablated(settings["recipe"], found, story, runs, page, name)
