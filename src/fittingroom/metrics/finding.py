"""What models find of a class that is looked for, and what they take for it wrongly: shares with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fittingroom.metrics.crossed import estimate
from fittingroom.metrics.intervals import proportion
from fittingroom.metrics.metric import METRICS, Metric
from fittingroom.metrics.operating import Point, Scored
from fittingroom.metrics.pairs import Bootstrapped
from fittingroom.spec.records import Finding, Share

FOUND = ("sensitivity", "specificity", "precision")


def bootstrap(by: Metric, runs: Sequence[Scored], where: Point) -> dict[str, Bootstrapped]:
    """What runs would have scored, by `by`, and found, with thresholds from other validation images."""
    metrics = {name: METRICS[name] for name in FOUND} | {by.name: by}
    found = [where.bootstrap(list(metrics.values()), run) for run in runs]
    df = min(df for _, df in found)
    return {name: Bootstrapped(np.stack([scores[m] for scores, _ in found]), df) for m, name in enumerate(metrics)}


def finding(
    runs: Sequence[Scored], where: Point, bootstrapped: Mapping[str, Bootstrapped] | None = None
) -> Finding | None:
    """What the runs of a recipe find of the class that is looked for; None where there is nothing to find or to leave alone.

    Intervals cover other images, with several runs other seeds, and by what `bootstrapped` shows other validation images to
    choose thresholds on; without it they are of these thresholds, as they are of a model that is shipped.
    """
    first, c = runs[0], where.positives[0]
    one = len(where.positives) == 1

    def share(name: str) -> Share:
        values_SN = np.stack([where.values(METRICS[name], run) for run in runs])
        whole = estimate(values_SN, first.design)
        low, high = whole.plus(*bootstrapped[name].share).interval() if bootstrapped else whole.interval()
        if one and (values_SN == values_SN[0]).all():  # single images, whose share Wilson's interval keeps inside 0 … 1
            own_N, taken_N = first.labels_N == c, where.scores(first, c) >= 0
            of_N = {"sensitivity": own_N, "specificity": ~own_N, "precision": taken_N}[name]
            right_N = own_N if name == "precision" else taken_N == own_N
            wilson = proportion(right_N[of_N], first.design.of(of_N))
            low, high = (min(low, wilson[0]), max(high, wilson[1])) if bootstrapped else wilson
        return Share(value=whole.mean, low=max(0.0, low), high=min(1.0, high))

    if len(np.unique(first.labels_N)) < 2 or (one and c not in first.labels_N):
        return None
    known = where.aim is not None and one and not first.design.folds
    threshold = float(np.mean([where.threshold(run, c) for run in runs])) if known else None
    return Finding(**{name: share(name) for name in FOUND}, threshold=threshold)
