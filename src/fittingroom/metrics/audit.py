"""A data set's defects as one record: suspect labels, outliers, near duplicates, and what suspects do to scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fittingroom.metrics.story import Story
from fittingroom.metrics.suspects import Flattery, Suspects, flattery
from fittingroom.spec.records import Record

FEW = 24  # outliers that are kept


class Suspect(Record):
    """An image whose label is doubted: `index` counts from 0 in the split's own order."""

    index: int
    name: str = ""  # of one's own picture's file
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
    name: str = ""
    label: str
    distance: float  # mean, to its nearest neighbours; grey levels, root mean square


class Twins(Record):
    """Two near duplicates of one split."""

    a: int
    b: int
    name_a: str = ""
    name_b: str = ""
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
    accuracy: float | None = None  # of the auditors, on images that they had not seen; None in audits of before
    yardstick: float = 0.0  # what always naming the largest class gets
    able: bool = True  # whether such auditors can tell a wrong label from a hard picture; else none is flagged
    suspects: tuple[Suspect, ...]
    outliers: tuple[Outlier, ...]
    twins: tuple[Twins, ...]
    scores: tuple[Flattery, ...]

    @property
    def auditors(self) -> str:
        """How good the auditors were, and what follows, as one sentence; "" for audits of before."""
        if self.accuracy is None:
            return ""
        how = (
            f"{self.auditor} was right on {100 * self.accuracy:.1f} % of these images, none of which it had seen; always naming "
            f"the largest class gets {100 * self.yardstick:.1f} %"
        )
        if self.able:
            return how + "."
        return (
            how
            + ". That is too little to tell a wrong label from a hard picture, so none is called suspect; a better recipe "
            "(--recipe NAME), or more pictures, could tell."
        )


@dataclass(frozen=True)
class Measured:
    """What was measured of the audited images besides their labels: how far each lies from all others, and near duplicates."""

    far_N: np.ndarray  # rows, the farthest first
    distance_N: np.ndarray  # to the nearest neighbours; grey levels, root mean square
    names_N: np.ndarray | None  # what one's own pictures are called
    twins: Sequence[tuple[int, int]]  # rows of near duplicates
    rms: Sequence[float]  # by which each pair differs


def doubted(
    suspects: Suspects, rows: np.ndarray, classes: Sequence[str], names_N: np.ndarray | None
) -> tuple[Suspect, ...]:
    """These rows as records."""
    labels_N, said_N = suspects.labels_N, suspects.suggested_N
    return tuple(
        Suspect(
            index=i,
            name="" if names_N is None else str(names_N[i]),
            given=classes[labels_N[i]],
            suggested=classes[said_N[i]],
            given_label=labels_N[i],
            suggested_label=said_N[i],
            score=suspects.quality_N[i],
            confidence=suspects.p_NK[i].max(),
            flagged=suspects.flagged_N[i],
        )
        for i in rows.tolist()
    )


def describe(
    auditor: str, folds: int, about: tuple[str, str], classes: Sequence[str], suspects: Suspects, measured: Measured,
    stories: Sequence[Story], most: int,
) -> Audit:  # fmt: skip
    """The audit of one split by the models of `auditor`: at least `most` suspects, and what these do to `stories`.

    `about` is the data set's name and title.
    """
    ranked = suspects.order_N[: max(most, int(suspects.flagged_N.sum()))]
    labels_N, names_N = suspects.labels_N, measured.names_N

    def name(row: int) -> str:
        return "" if names_N is None else str(names_N[row])

    twins = [
        Twins(
            a=a,
            b=b,
            name_a=name(a),
            name_b=name(b),
            label_a=classes[labels_N[a]],
            label_b=classes[labels_N[b]],
            rms=float(r),
        )
        for (a, b), r in zip(measured.twins, measured.rms, strict=True)
    ]
    return Audit(
        dataset=about[0],
        title=about[1],
        split=suspects.split,
        images=len(labels_N),
        flagged=int(suspects.flagged_N.sum()),
        auditor=auditor,
        folds=folds,
        accuracy=suspects.accuracy,
        yardstick=suspects.yardstick,
        able=suspects.able,
        suspects=doubted(suspects, ranked, classes, names_N),
        outliers=tuple(
            Outlier(index=i, name=name(i), label=classes[labels_N[i]], distance=measured.distance_N[i])
            for i in measured.far_N[:FEW].tolist()
        ),
        twins=tuple(sorted(twins, key=lambda t: t.label_a == t.label_b)),
        scores=tuple(
            flattery(recipe, np.stack([r.logits_NK.argmax(1) == r.labels_N for r in group]), suspects)
            for story in stories
            for recipe, group in story.runs.items()
        ),
    )
