"""Text cells and sentences that a page and a terminal show alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fittingroom.metrics.effects import Effect
from fittingroom.metrics.metric import Metric
from fittingroom.metrics.robustness import Robust, RobustPair, weakest
from fittingroom.metrics.words import percent


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
    }  # fmt: skip


def weakest_words(row: Robust) -> str:
    """The kinds of corruption that cost a recipe most, with its accuracy under each."""
    return ", ".join(f"{kind} ({100 * mean:.1f} %)" for kind, mean in weakest(row))


def effect_cells(effect: Effect, by: Metric) -> list[str]:
    """A part's effect as text cells: part, score with and without it, gain with interval, real or not, in words."""
    gain = f"{by.signed(effect.gain)} [{by.signed(effect.low)}, {by.signed(effect.high)}]"
    real = "yes" if effect.resolved else "not established"
    return [effect.part, by.show(effect.with_part), by.show(effect.without_part), gain, real, effect.text]


def deletion_words(curve: Mapping[str, Any]) -> str:
    """What deleting the tenth of the pixels that matter most does, beside a random tenth."""
    at = list(curve["share"]).index(0.1)
    return (
        f"over {curve['images']} test images, without the 10 % of the pixels that matter most the confidence falls from "
        f"{100 * curve['attributed'][0]:.0f} to {100 * curve['attributed'][at]:.0f} %; without a random 10 %, to "
        f"{100 * curve['random'][at]:.0f} %."
    )
