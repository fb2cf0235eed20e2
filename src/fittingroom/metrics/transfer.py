"""Training from scratch against starting from trained weights, on more and more images."""

from __future__ import annotations

from collections.abc import Sequence

from fittingroom.metrics.rows import Row
from fittingroom.metrics.verdict import Comparison
from fittingroom.metrics.words import pair_sentence
from fittingroom.spec.records import Record


class Step(Record):
    """The two ways with so many training images."""

    images: int
    label: str  # "10 a class", "all 5,432"
    scratch: Row
    tuned: Row
    comparison: Comparison


def step(images: int, label: str, scratch: str, comparison: Comparison) -> Step:
    """A step from the comparison of the recipe that is called `scratch` with the other."""
    rows = {row.recipe == scratch: row for row in comparison.rows}
    return Step(images=images, label=label, scratch=rows[True], tuned=rows[False], comparison=comparison)


def sentences(steps: Sequence[Step]) -> list[str]:
    """Each step in words, the fewest images first."""
    return [f"{s.label}: {pair_sentence(s.comparison.pairs[0], s.comparison.by)}" for s in steps]


def cells(steps: Sequence[Step]) -> list[list[str]]:
    """The steps as a table of text, its head first."""
    by = steps[0].comparison.by
    lines = [
        ["training images", f"from scratch{by.unit}", "± sd", f"from trained weights{by.unit}", "± sd", "gain", "real?"]
    ]
    for s in steps:
        pair = s.comparison.pairs[0]
        sign = 1 if pair.better == s.tuned.recipe else -1
        low, high = sorted((sign * pair.low, sign * pair.high))
        gain = f"{by.signed(sign * pair.difference)} [{by.signed(low)}, {by.signed(high)}]"
        scores = [text for row in (s.scratch, s.tuned) for text in (by.show(row.score), by.show(row.score_sd))]
        lines.append([s.label, *scores, gain, {"better": "yes", "same": "the same", "undecided": "open"}[pair.outcome]])
    return lines
