"""What figures alone say of the order that is claimed with them: sentences, a table, a page (HTML or Markdown)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fittingroom.metrics.reported import OUTCOMES, Alone, Order
from fittingroom.metrics.words import chances, percent, probability, tally
from fittingroom.report import charts
from fittingroom.report.answer import Answer, Table
from fittingroom.report.render import both_modes, render
from fittingroom.report.theme import Draw
from fittingroom.store.atomic import write

HEAD = (
    "claim", "better", "worse", "points", "images", "runs", "holds for other images, %", "and other seeds, %",
    "would take, points", "the figures",
)  # fmt: skip
RESERVE = (
    "A figure that was chosen because it is high (of epochs, seeds, models) is too good by more than this knows. What it rests "
    "on: docs/statistics.md."
)


@dataclass(frozen=True, repr=False, eq=False)
class Weighed(Answer):
    """How probable each claimed order is, from its figures; and of figures that stand alone, their intervals."""

    orders: Sequence[Order]
    alone: Sequence[Alone]
    command: str
    page: Path

    @property
    def sentences(self) -> list[str]:
        told = [headline(self.orders)] if len(self.orders) > 1 else [order_words(one) for one in self.orders]
        told += [alone_words(one) for one in self.alone]
        return [*told, RESERVE] if self.orders else told

    @property
    def table(self) -> Table:
        rows = [[*HEAD], *map(order_row, self.orders)]
        return rows if len({o.id for o in self.orders}) > 1 else [row[1:] for row in rows]

    @property
    def tables(self) -> list[Table]:
        return [self.table] if len(self.orders) > 1 else []

    def json(self) -> dict[str, Any]:
        orders = [{**o.model_dump(mode="json"), "outcome": o.outcome} for o in self.orders]
        return {"orders": orders, "alone": [a.model_dump(mode="json") for a in self.alone]}

    def _write(self, path: Path) -> None:
        about: dict[str, Any] = {
            "title": "What the figures alone say",
            "sentences": self.sentences,
            "command": self.command,
        }
        if path.suffix == ".md":
            head = ["claim", "source", *HEAD[1:]]
            rows = [[o.text, o.source, *order_row(o)[1:]] for o in self.orders]
            write(path, render("reported_page.md", head=head, rows=rows, **about))
        else:
            chart = both_modes(lambda: charts.orders(self.orders)) if self.orders else None
            head, *rows = self.table
            words = [order_words(o) for o in self.orders]
            write(path, render("reported_page.html", head=head, rows=rows, words=words, chart=chart, **about))

    def _draw(self) -> Iterator[tuple[str, Draw]]:
        if self.orders:
            yield "probability", lambda: charts.orders(self.orders)


def headline(found: Sequence[Order]) -> str:
    """How many orders the figures support, in a sentence."""
    return f"Of {len(found)} orders, from the figures alone: {tally((o.outcome for o in found), OUTCOMES)}."


def order_words(one: Order) -> str:
    """An order as a sentence."""
    n = f"{one.images:,} test images" + (f", means of {one.runs} runs" if one.runs > 1 else "")
    ends = (
        "" if one.holds.low == one.holds.high else f" ({probability(one.holds.low)} to {probability(one.holds.high)} %)"
    )
    says = {
        "supported": "the figures support it",
        "open": "the figures alone do not tell: it depends on how alike the mistakes are and how far seeds scatter",
        "not supported": "the figures do not support it",
    }[one.outcome]
    source = f" ({one.source})" if one.source else ""
    named = f"“{one.text.rstrip('.')}”{source}: " if one.text else ""
    return (
        f"{named}{one.better} against {one.worse} on {n}: that the order holds for other images and other seeds is "
        f"{probability(one.holds.value)} % probable{ends}; {says}. " + _takes(one)
    )


def _takes(one: Order) -> str:
    if one.needed is None:
        return "No difference would be enough here."
    return f"To be supported, it would take {percent(one.needed)} points; there are {percent(one.difference)}."


def alone_words(one: Alone) -> str:
    """A single figure as a sentence."""
    low, high = percent(one.accuracy.low), percent(one.accuracy.high)
    return (
        f"{one.figure} on {one.images:,} test images: {low} to {high} % for other images of the same kind; of other seeds it "
        "says nothing."
    )


def order_row(one: Order) -> list[str]:
    """An order as text cells, as in `HEAD`."""
    return [
        one.id, one.better, one.worse, percent(one.difference), f"{one.images:,}", f"{one.runs}", chances(one.these),
        chances(one.holds), "–" if one.needed is None else percent(one.needed), one.outcome,
    ]  # fmt: skip
