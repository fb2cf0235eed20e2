"""One HTML page of sentences and tables, for answers that have no page of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fittingroom.metrics.speed import Ceiling, Speed
from fittingroom.metrics.words import human, percent
from fittingroom.report import charts
from fittingroom.report.answer import Answer, Table
from fittingroom.report.render import render
from fittingroom.report.theme import Draw
from fittingroom.store.atomic import write


def write_answer_page(
    command: str, title: str, sentences: Sequence[str], tables: Sequence[Sequence[Sequence[str]]], path: Path
) -> None:
    """Write what the command `fittingroom COMMAND` found."""
    write(
        path,
        render("answer_page.html", about=command, command=command, title=title, sentences=sentences, tables=tables),
    )


@dataclass(frozen=True, repr=False, eq=False)
class Benched(Answer):
    """How fast recipes train on this machine, and what its matrix product does."""

    ceiling: Ceiling
    speeds: Sequence[Speed]
    machine: str
    page: Path

    @property
    def sentences(self) -> list[str]:
        top = self.ceiling
        most = f"{human(top.of('fp32'))}FLOP/s in fp32, {human(top.of('bf16'))}FLOP/s in bf16"
        told = [f"ceiling: {most}; {self.machine}, {top.threads} threads"]
        if not all(s.quiet for s in self.speeds):
            told.append("warning: something else used this machine meanwhile; the figures are too low")
        return told

    @property
    def table(self) -> Table:
        head = ["recipe", "precision", "batch", "images/s", "FLOP/s", "of ceiling %", "overhead ms"]
        lines = [
            [
                s.recipe, s.precision, str(s.batch_size), f"{s.images_per_s:,.0f}", human(s.flops_per_s), percent(s.share, 0),
                f"{1e3 * s.overhead_s:.2f}", f"{s.evaluate_s:.2f}", f"{1e3 * s.latency_1_s:.2f}",
                "–" if s.peak_memory_bytes is None else f"{s.peak_memory_bytes / 1e6:,.0f}",
            ]
            for s in self.speeds
        ]  # fmt: skip
        return [[*head, "10,000 images s", "1 image ms", "memory MB"], *lines]

    def json(self) -> dict[str, Any]:
        speeds = [s.model_dump(mode="json") for s in self.speeds]
        return {"machine": self.machine, "ceiling": self.ceiling.model_dump(mode="json"), "speeds": speeds}

    def _write(self, path: Path) -> None:
        write_answer_page("bench", "How near trainings are to this machine's limit", self.sentences, self.tables, path)

    def _draw(self) -> Iterator[tuple[str, Draw]]:
        yield "share", lambda: charts.bars({s.recipe: 100 * s.share for s in self.speeds}, "of the ceiling (%)")
