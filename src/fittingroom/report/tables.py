"""Text cells and sentences that a page and a terminal show alike."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fittingroom.metrics.effects import Effect
from fittingroom.metrics.metric import Metric
from fittingroom.metrics.parts import Part
from fittingroom.metrics.robustness import Robust, RobustPair, weakest
from fittingroom.metrics.story import Story
from fittingroom.metrics.words import percent, share_words


def robust_tables(rows: Sequence[Robust], pairs: Sequence[RobustPair]) -> dict[str, Any]:
    """Robustness as text: a table of mean corruption accuracies, one by kind, and a sentence for each pair."""
    kinds = list(rows[0].by_kind)
    return {
        "head": ["recipe", "clean %", "mean corruption %", "± sd", "95 % interval", "kept of clean %"],
        "rows": [
            [
                r.recipe, percent(r.clean), percent(r.mean), percent(r.sd), f"{percent(r.low)} – {percent(r.high)}",
                percent(r.mean / r.clean if r.clean else None, 1),
            ]
            for r in rows
        ],
        "kinds_head": ["recipe", *kinds],
        "kinds": [[r.recipe, *(percent(sum(r.by_kind[k]) / len(r.by_kind[k]), 1) for k in kinds)] for r in rows],
        "sentences": [pair.text for pair in pairs],
        "parts": part_table("corruption", {f"{p.better} − {p.worse}": p.kinds for p in pairs if p.better == rows[0].recipe}),
    }  # fmt: skip


def finding_table(story: Story) -> dict[str, Any] | None:
    """What is found of the class that is looked for; None where none is, and none was asked for."""
    c = story.comparison
    if not c.rows[0].finding:
        return None
    head = ["recipe", "threshold", "sensitivity", "specificity", "precision"]
    lines = []
    for row in c.rows:
        found = row.finding
        assert found
        threshold = "–" if found.threshold is None else f"{100 * (1 + math.tanh(found.threshold / 2)) / 2:.3g} %"
        lines.append(
            [row.recipe, threshold, *map(share_words, (found.sensitivity, found.specificity, found.precision))]
        )
    if all(line[1] == "–" for line in lines):
        head, lines = [head[0], *head[2:]], [[line[0], *line[2:]] for line in lines]
    title = f"Finding “{c.positive}”" if c.positive else "Each class against the rest"
    return {"title": title, "short": "Finding", "table": [head, *lines], "note": _finding_note(story)}


def _finding_note(story: Story) -> str:
    c = story.comparison
    what = f"the “{c.positive}” images" if c.positive else "a class's images"
    note = (
        f"Sensitivity (recall): how many of {what} are found. Specificity: how many of the others are not taken for it. "
        "Precision: how many of those taken for it are right."
    )
    if c.positive:
        n = int((story.labels_N == story.data.classes.index(c.positive)).sum())
        note += f" {n:,} of the {c.images:,} {c.on} images are “{c.positive}”; where it is rarer, precision is lower. "
    else:
        note += " Means over the classes. "
    if c.at:
        known = c.rows[0].finding and c.rows[0].finding.threshold is not None
        shown = " (shown: the mean, as the probability that the network gives)" if known else ""
        return note + (
            f"Each run has a threshold of its own, chosen on its validation images for {c.at} "
            f"{shown}. Intervals cover other images and, with several, other seeds."
        )
    return note + (
        "The likeliest class is the answer; another threshold finds more, or raises fewer false alarms: --at sensitivity=0.95 "
        "chooses one on validation."
    )


def part_table(what: str, columns: Mapping[str, Sequence[Part]]) -> dict[str, Any] | None:
    """Differences in points by part (down) and pair (across), each cell a text and whether it is real; None without pairs."""
    if not columns:
        return None
    names = [part.name for part in next(iter(columns.values()))]
    cells = [[(_points(part), part.resolved) for part in parts] for parts in columns.values()]
    return {"head": [what, *columns], "rows": list(zip(names, *cells, strict=True))}


def _points(part: Part) -> str:
    return f"{100 * part.difference:+.1f} [{100 * part.low:+.1f}, {100 * part.high:+.1f}]"


def weakest_words(row: Robust) -> str:
    """The kinds of corruption that cost a recipe most, with its accuracy under each."""
    return ", ".join(f"{kind} (to {100 * mean:.1f} %)" for kind, mean in weakest(row))


def effect_cells(effect: Effect, metric: Metric) -> list[str]:
    """A part's effect as text cells: part, score with and without it, gain with interval, real or not, in words."""
    gain = f"{metric.signed(effect.gain)} [{metric.signed(effect.low)}, {metric.signed(effect.high)}]"
    real = "the same" if effect.same else "yes" if effect.resolved else "not established"
    return [effect.part, metric.show(effect.with_part), metric.show(effect.without_part), gain, real, effect.text]


def deletion_words(curves: Sequence[Mapping[str, Any]]) -> str:
    """What deleting the tenth of the pixels that matter most does, beside a random tenth; a curve for each explained seed.

    >>> curve = {"share": [0.0, 0.1], "attributed": [0.9, 0.3], "random": [0.9, 0.8], "images": 500}
    >>> deletion_words([curve])  # doctest: +ELLIPSIS
    'over 500 test images (one seed), ... falls from 90 to 30 %; without a random 10 %, to 80 %.'
    """
    at = list(curves[0]["share"]).index(0.1)

    def seen(order: str, i: int) -> str:
        values = [100 * curve[order][i] for curve in curves]
        spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
        return f"{np.mean(values):.0f}{spread}"

    seeds = "one seed" if len(curves) == 1 else f"mean ± sd of {len(curves)} seeds"
    return (
        f"over {curves[0]['images']} test images ({seeds}), without the 10 % of the pixels that matter most the confidence "
        f"falls from {seen('attributed', 0)} to {seen('attributed', at)} %; without a random 10 %, to {seen('random', at)} %."
    )
