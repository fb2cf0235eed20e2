"""How much of a classifier's accuracy survives corrupted images, and whether two differ in that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from fittingroom.metrics.crossed import estimate
from fittingroom.metrics.pairs import Judged, judge_pairs
from fittingroom.metrics.parts import Part, judge_parts, parts_words
from fittingroom.metrics.words import LUCK
from fittingroom.spec.design import ALONE, Design
from fittingroom.spec.records import Record
from fittingroom.store import LoadedRun


class Robust(Record):
    """A recipe under corruption; accuracies are fractions, means over its seeds."""

    recipe: str
    seeds: tuple[int, ...]
    clean: float
    mean: float  # mean corruption accuracy: over images, kinds and severities
    sd: float | None  # of it, between seeds
    low: float  # 95 % interval of it, for other images and, with several seeds, other seeds
    high: float
    by_kind: dict[str, tuple[float, ...]]  # kind → accuracy at each severity


class RobustPair(Record):
    """`better` against `worse` by mean corruption accuracy, on the same harmed images."""

    better: str
    worse: str
    difference: float
    low: float
    high: float
    level: float
    resolved: bool
    kinds: tuple[Part, ...]  # by kind of corruption
    text: str


Robustness = tuple[list[Robust], list[RobustPair]]  # rows, the most robust first, and how they differ


@dataclass(frozen=True)
class RobustRun:
    """What one run said of the harmed images: predictions (C kinds, S severities, N images) and labels (N,)."""

    seed: int
    version: int  # of the corruptions
    clean: float
    kinds: tuple[str, ...]
    said_CSN: np.ndarray
    labels_N: np.ndarray
    design: Design = ALONE

    def right_CN(self) -> np.ndarray:
        """For each kind and image the share of its five harmed versions that are classified rightly (C,N)."""
        return np.asarray((self.said_CSN == self.labels_N).mean(1))


def compare_robustness(runs: Mapping[str, Sequence[RobustRun]]) -> Robustness:
    """Rows (most robust first) and pairs, judged like test accuracy: seeds and images crossed, Holm over the pairs."""
    first = next(iter(runs.values()))[0]
    kinds, design = first.kinds, first.design
    right_SCN = {name: np.stack([run.right_CN() for run in group]) for name, group in runs.items()}
    right = {name: values.mean(1) for name, values in right_SCN.items()}
    rows = sorted((_row(name, group, right[name]) for name, group in runs.items()), key=lambda r: -r.mean)
    ranked = list(combinations([row.recipe for row in rows], 2))
    seeds = {name: [run.seed for run in group] for name, group in runs.items()}
    return rows, [_pair(judged, kinds, right_SCN, design) for judged in judge_pairs(ranked, right, seeds, design)]


def _row(name: str, group: Sequence[RobustRun], right_SN: np.ndarray) -> Robust:
    whole = estimate(right_SN, group[0].design)
    accuracy_CS = np.mean([(run.said_CSN == run.labels_N).mean(2) for run in group], axis=0)
    low, high = whole.interval()
    return Robust(
        recipe=name,
        seeds=tuple(run.seed for run in group),
        clean=float(np.mean([run.clean for run in group])),
        mean=whole.mean,
        sd=float(right_SN.mean(1).std(ddof=1)) if len(group) > 1 else None,
        low=low,
        high=high,
        by_kind={kind: tuple(map(float, row)) for kind, row in zip(group[0].kinds, accuracy_CS, strict=True)},
    )


def _pair(judged: Judged, kinds: Sequence[str], right_SCN: Mapping[str, np.ndarray], design: Design) -> RobustPair:
    better, worse, difference = judged.better, judged.worse, judged.estimate.mean
    ahead_SCN = right_SCN[better][judged.better_runs] - right_SCN[worse][judged.worse_runs]
    parts = judge_parts((kind, estimate(ahead_SCN[:, c], design)) for c, kind in enumerate(kinds))
    interval = f"[{100 * judged.low:+.2f}, {100 * judged.high:+.2f}]"
    figures = f"by {100 * difference:.2f} points of mean corruption accuracy {interval}"
    if judged.resolved:
        text = f"{better} stands corruption better than {worse}, {figures}, a real difference."
    else:
        why = LUCK if judged.estimate.seeds == 1 else "not resolved"
        text = f"{better} is ahead of {worse} under corruption {figures}: {why}."
    if judged.estimate.seeds > 1:
        text += " " + parts_words(parts, better, worse, "kinds of corruption", "under")
    return RobustPair(
        better=better,
        worse=worse,
        difference=difference,
        low=judged.low,
        high=judged.high,
        level=judged.level,
        resolved=judged.resolved,
        kinds=tuple(parts),
        text=text,
    )


def weakest(row: Robust, most: int = 3) -> list[tuple[str, float]]:
    """The kinds of corruption that cost a recipe most: kind and mean accuracy over severities, the worst first."""
    means = {kind: float(np.mean(values)) for kind, values in row.by_kind.items()}
    return sorted(means.items(), key=lambda item: item[1])[:most]


def robustness(runs: Mapping[str, Sequence[LoadedRun]]) -> Robustness | None:
    """How the recipes stand corruption, if every run was stressed in the same way; None otherwise."""
    stressed = {name: [_stressed(run) for run in group] for name, group in runs.items()}
    found = {name: [run for run in group if run] for name, group in stressed.items()}
    kinds = {(run.version, run.kinds) for group in found.values() for run in group}
    if len(kinds) != 1 or any(len(found[name]) < len(group) for name, group in runs.items()):
        return None
    return compare_robustness(found)


def _stressed(run: LoadedRun) -> RobustRun | None:
    found = run.folder.stressed()
    if found is None or not run.metrics.test:
        return None
    kinds = tuple(map(str, found["kinds"]))
    return RobustRun(
        seed=run.seed,
        version=int(found["version"]),
        clean=run.metrics.test.accuracy,
        kinds=kinds,
        said_CSN=found["said"],
        labels_N=found["labels"],
        design=run.design,
    )
