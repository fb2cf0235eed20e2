"""A data set's defects as one record and one HTML page: `fittingroom audit`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fittingroom.data import Images
from fittingroom.data.duplicates import NEAR_RMS, near_pairs
from fittingroom.data.outliers import outliers
from fittingroom.metrics.suspects import Flattery, Suspects, flattery
from fittingroom.metrics.words import percent
from fittingroom.report.gather import Story
from fittingroom.report.pictures import data_uri, png_bytes, sheet
from fittingroom.report.render import render
from fittingroom.spec.records import Record
from fittingroom.store.atomic import write

SHOWN = 120  # suspects on the page
FEW = 24  # outliers and pairs on the page


class Suspect(Record):
    """An image whose label is doubted: `index` counts from 0 in the split's own order."""

    index: int
    given: str
    suggested: str
    given_label: int
    suggested_label: int
    score: float  # of the given label, 0 … 1: low is suspect
    confidence: float  # in the suggested one
    flagged: bool  # suspect by the rules of `metrics.suspects.find_suspects`; the others are next in rank


class Outlier(Record):
    """An image far from all others."""

    index: int
    label: str
    distance: float  # mean, to its nearest neighbours; grey levels, root mean square


class Twins(Record):
    """Two near duplicates of one split."""

    a: int
    b: int
    label_a: str
    label_b: str
    rms: float


class Audit(Record):
    """What is wrong with one split of a data set."""

    dataset: str
    title: str
    split: str
    images: int
    flagged: int
    auditor: str
    folds: int
    suspects: tuple[Suspect, ...]
    outliers: tuple[Outlier, ...]
    twins: tuple[Twins, ...]
    scores: tuple[Flattery, ...]


def describe(
    names: Mapping[str, object], suspects: Suspects, images: Images, train: Images, stories: Sequence[Story], most: int
) -> Audit:
    """The audit of `images` (one split): at least `most` suspects, outliers, twins, and what suspects do to `stories`.

    `names` gives the record's dataset, title, auditor and folds.
    """
    ranked = suspects.order_N[: max(most, int(suspects.flagged_N.sum()))]
    classes, labels_N, said_N = images.classes, images.labels_N, suspects.suggested_N
    far, distance_N = outliers(images, None if images is train else train)
    pairs, rms = near_pairs(images.images_NCHW)
    twins = [
        Twins(a=a, b=b, label_a=classes[labels_N[a]], label_b=classes[labels_N[b]], rms=float(r))
        for (a, b), r in zip(pairs.tolist(), rms, strict=True)
    ]
    return Audit(
        **names,  # type: ignore[arg-type]
        split=suspects.split,
        images=len(images),
        flagged=int(suspects.flagged_N.sum()),
        suspects=tuple(
            Suspect(
                index=i,
                given=classes[labels_N[i]],
                suggested=classes[said_N[i]],
                given_label=labels_N[i],
                suggested_label=said_N[i],
                score=suspects.quality_N[i],
                confidence=suspects.p_NK[i].max(),
                flagged=suspects.flagged_N[i],
            )
            for i in ranked.tolist()
        ),
        outliers=tuple(
            Outlier(index=i, label=classes[labels_N[i]], distance=distance_N[i]) for i in far[:FEW].tolist()
        ),
        twins=tuple(sorted(twins, key=lambda t: t.label_a == t.label_b)),
        scores=tuple(
            flattery(name, np.stack([r.logits_NK.argmax(1) == r.labels_N for r in group]), suspects)
            for story in stories
            for name, group in story.runs.items()
        ),
    )


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
