"""One HTML page about a data set's defects: `fittingroom audit`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fittingroom.data import Images
from fittingroom.data.duplicates import near_rms
from fittingroom.metrics.audit import FEW, Audit
from fittingroom.metrics.words import percent
from fittingroom.report import charts
from fittingroom.report.answer import Answer, Table
from fittingroom.report.pictures import data_uri, png_bytes, sheet
from fittingroom.report.render import render
from fittingroom.report.theme import Draw
from fittingroom.store.atomic import write

SHOWN = 120  # suspects on the page
LISTED = 20  # suspects in the table


def write_audit_page(audit: Audit, images: Images, path: Path) -> Path:
    """Write the page about `audit`, whose indices are rows of `images`."""

    def picture(row: int) -> str:
        return data_uri(png_bytes(images.images_NCHW[row]))

    html = render(
        "audit_page.html",
        about=f"audit {audit.dataset}",
        audit=audit,
        suspects=[(s, picture(s.index)) for s in audit.suspects if s.flagged][:SHOWN],
        next=[(s, picture(s.index)) for s in audit.suspects if not s.flagged][:SHOWN],
        outliers=[(o, picture(o.index)) for o in audit.outliers],
        twins=[(t, data_uri(png_bytes(sheet(images.images_NCHW[[t.a, t.b]], 2)))) for t in audit.twins[:FEW]],
        contradicting=sum(t.label_a != t.label_b for t in audit.twins),
        scores=score_cells(audit),
        near_rms=near_rms(images.images_NCHW),
    )
    write(path, html)
    return path


def score_cells(audit: Audit) -> list[list[str]]:
    """Each scored recipe as text: with all images, without the suspects, without as many random ones."""
    return [
        [
            s.recipe,
            percent(s.whole),
            percent(s.without_suspects),
            f"{percent(s.without_random)} ± {percent(s.random_sd)}",
        ]
        for s in audit.scores
    ]


@dataclass(frozen=True, repr=False, eq=False)
class Audited(Answer):
    """The defects of one split, and its images; suspects that a person has decided to be fine are counted only."""

    audit: Audit
    images: Images
    fine: int
    decisions: Path  # the file that says which are fine
    page: Path
    study: str = ""

    @property
    def sentences(self) -> list[str]:
        found = f"{self.audit.flagged} of {self.audit.images:,} {self.audit.split} labels are suspect"
        shown = min(LISTED, len(self.audit.suspects))
        first = f"here are the first {shown}" if self.audit.able else f"here are the {shown} that were doubted most"
        told = [f"{found}; {first}, more on the page", *filter(None, [self.audit.auditors])]
        return [f"{self.fine} that you decided are fine are not listed ({self.decisions})"] * bool(self.fine) + told

    @property
    def table(self) -> Table:
        suspects = self.audit.suspects[:LISTED]
        named = any(s.name for s in suspects)
        return [
            ["picture" if named else "#", "given", "looks like", "score", "flagged"],
            *(
                [s.name or str(s.index), s.given, s.suggested, f"{s.score:.4f}", "yes" if s.flagged else "no"]
                for s in suspects
            ),
        ]

    @property
    def tables(self) -> list[Table]:
        head = ["recipe", "all images %", "without suspects %", "without as many random ones %"]
        return [self.table, *([[head, *score_cells(self.audit)]] if self.audit.scores else [])]

    @property
    def listing(self) -> Table:
        return [
            ["picture", "split", "given", "looks like", "score", "suspect"],
            *(
                [
                    s.name or f"#{s.index}",
                    self.audit.split,
                    s.given,
                    s.suggested,
                    f"{s.score:.4f}",
                    "yes" if s.flagged else "no",
                ]
                for s in self.audit.suspects
            ),
        ]

    def json(self) -> dict[str, Any]:
        return self.audit.model_dump(mode="json")

    def _write(self, path: Path) -> None:
        write_audit_page(self.audit, self.images, path)

    def _draw(self) -> Iterator[tuple[str, Draw]]:
        classes = self.images.classes
        given = np.array([s.given_label for s in self.audit.suspects if s.flagged], np.int64)
        counts = {"all labels": self.images.labels_N, "suspect": given}
        binned = {name: np.bincount(labels, minlength=len(classes)) for name, labels in counts.items()}
        yield "suspects_by_class", lambda: charts.balance(binned, classes)
