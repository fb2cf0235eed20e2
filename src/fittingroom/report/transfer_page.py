"""One HTML page about starting from trained weights: `fittingroom transfer`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fittingroom.metrics.metric import METRICS
from fittingroom.metrics.rows import Row
from fittingroom.metrics.verdict import Comparison
from fittingroom.metrics.words import pair_sentence
from fittingroom.report import charts
from fittingroom.report.render import both_modes, render
from fittingroom.spec.records import Record
from fittingroom.store.atomic import write


class Step(Record):
    """The two ways with so many training images."""

    images: int
    label: str
    scratch: Row
    tuned: Row
    comparison: Comparison


def step(images: int, label: str, comparison: Comparison) -> Step:
    """A step from the comparison of the recipe "from scratch, …" with the other."""
    scratch, tuned = sorted(comparison.rows, key=lambda row: row.recipe != f"from scratch, {label}")
    return Step(images=images, label=label, scratch=scratch, tuned=tuned, comparison=comparison)


def cells(steps: Sequence[Step]) -> list[list[str]]:
    """The table, header first."""
    by = METRICS[steps[0].comparison.metric]
    lines = [
        ["training images", f"from scratch{by.unit}", "± sd", f"from trained weights{by.unit}", "± sd", "gain", "real?"]
    ]
    for s in steps:
        pair = s.comparison.pairs[0]
        sign = 1 if pair.better == s.tuned.recipe else -1
        low, high = sorted((sign * pair.low, sign * pair.high))
        gain = f"{by.signed(sign * pair.difference)} [{by.signed(low)}, {by.signed(high)}]"
        scores = [text for row in (s.scratch, s.tuned) for text in (by.show(row.score), by.show(row.score_sd))]
        lines.append([s.label, *scores, gain, "yes" if pair.resolved else "open"])
    return lines


def sentences(steps: Sequence[Step]) -> list[str]:
    """Each step in words, the fewest images first."""
    return [pair_sentence(s.comparison.pairs[0], METRICS[s.comparison.metric]) for s in steps]


def write_transfer_page(steps: Sequence[Step], source: str, dataset: str, path: Path) -> Path:
    """Write the page about starting from the run `source` on `dataset`."""
    seeds = len(steps[0].scratch.seeds)
    html = render(
        "transfer_page.html",
        about=f"transfer {dataset}",
        source=source,
        dataset=dataset,
        sentences=sentences(steps),
        table=cells(steps),
        chart=both_modes(lambda dark: charts.transfer(steps)),
        seeds=f"{seeds} seeds" if seeds > 1 else "one seed",
    )
    write(path, html)
    return path
