"""One HTML page about a data set's defects: `fittingroom audit`."""

from __future__ import annotations

from pathlib import Path

from fittingroom.data import Images
from fittingroom.data.duplicates import NEAR_RMS
from fittingroom.metrics.audit import FEW, Audit
from fittingroom.metrics.words import percent
from fittingroom.report.pictures import data_uri, png_bytes, sheet
from fittingroom.report.render import render
from fittingroom.store.atomic import write

SHOWN = 120  # suspects on the page


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
        near_rms=NEAR_RMS,
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
