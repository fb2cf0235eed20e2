"""Which is better, by how much ± what, is that real, what does it cost. From stored predictions to rows and pairs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations
from typing import Any, Protocol

import numpy as np
from pydantic import Field, computed_field

from fittingroom.metrics.crossed import Estimate, detectable, estimate, groups_needed, images_needed, seeds_needed
from fittingroom.metrics.finding import FOUND, bootstrap
from fittingroom.metrics.finding import finding as found_by
from fittingroom.metrics.intervals import proportion
from fittingroom.metrics.luck import luck_of_seeds
from fittingroom.metrics.mcnemar import mcnemar
from fittingroom.metrics.metric import ACCURACY, METRICS, Metric
from fittingroom.metrics.operating import Point, Scored, decided_by, point
from fittingroom.metrics.pairs import Bootstrapped, Judged, judge_pairs
from fittingroom.metrics.rounds import FIRST, Looked, look
from fittingroom.metrics.rows import Pair, Row
from fittingroom.metrics.sameness import images_for_same, margin, seeds_for_same
from fittingroom.metrics.statistic import Trained
from fittingroom.metrics.words import in_rounds, no_better, sentences, table, thresholds
from fittingroom.spec.errors import FittingroomError, unknown
from fittingroom.spec.records import Cost, Environment, Record

FEW_IMAGES = 200  # with fewer for test, a cross-validation is proposed
FEW_GROUPS = 10  # with fewer in what is scored, it is said how little that can show
UNEVEN = 1.5  # times as many test images in the largest class as in the smallest: balanced accuracy is told, too


class Comparison(Record):
    """The verdict on one data set; `rows` best first."""

    dataset: str
    metric: str
    positive: str = ""  # the class that is looked for: the one that was named, or the second of two
    score_of: str = ""  # the class that the score is of; "": of all
    at: str = ""  # what the thresholds were chosen for, on validation, in words; "": the likeliest class is the answer
    asked: dict[str, Any] = Field(default={})  # what differs from what is asked where nobody says anything
    images: int
    groups: int = 0  # that the images belong to; 0: each is alone
    rows: tuple[Row, ...]
    pairs: tuple[Pair, ...]
    sentences: tuple[str, ...]  # of the verdict
    yardstick: float | None = None  # what always naming the largest class scores; None for a metric that has none
    on: str = "test"  # which images were scored: "test", or "held-out" ones of a cross-validation
    looked: Looked | None = None  # where seeds were added until it was settled

    @computed_field  # type: ignore[prop-decorator]
    @property
    def verdict(self) -> str:
        """Which is best, and how it stands against each other one, in words."""
        return " ".join(self.sentences)

    @property
    def by(self) -> Metric:
        """The metric that decided, of the class that was looked for."""
        return METRICS[self.metric].of(self.score_of)

    @property
    def table(self) -> list[list[str]]:
        """The rows as text cells, header first; columns of which nothing is known are left out."""
        return table(self.rows, self.by, self.on)

    def _repr_html_(self) -> str:
        from html import escape

        head, *body = self.table
        cells = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in line) + "</tr>" for line in body)
        header = "".join(f"<th>{escape(c)}</th>" for c in head)
        return f"<p><b>{escape(self.verdict)}</b></p><table><tr>{header}</tr>{cells}</table>"


class Evidence(Trained, Scored, Protocol):
    """All that the verdict needs of one finished run: logits and labels of its images, and its facts."""

    @property
    def name(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def environment(self) -> Environment: ...
    @property
    def cost(self) -> Cost | None: ...


EFFECT = 0.005  # half a point: the difference that people ask about unless they say otherwise


@dataclass(frozen=True)
class Question:
    """What decides a comparison, and for which difference (in the metric's own size) needed seeds are given."""

    metric: str = ""  # "": accuracy, or at an operating point what that leaves open
    effect: float | None = None  # None: EFFECT
    against: str = ""  # only pairs with this recipe are judged, which leaves Holm fewer to correct for
    at: str = ""  # what thresholds are chosen for, on validation: "sensitivity=0.95", "costs=10:1"
    positive: str = ""  # the class that is looked for; "": of two the second, of several each against the rest
    same: float | None = None  # below it, as the metric is shown (points), a difference makes none; None: see `margin`
    most: int = 0  # seeds, added round by round until it is settled, each look allowed for; 0: as many as were planned

    def __post_init__(self) -> None:
        decided_by(self.metric, self.at)  # a wrong one is told before training
        if self.effect is not None and not 0 < self.effect < math.inf:
            raise FittingroomError(f"effect: got {self.effect:g}; give a difference above 0 (0.005 = half a point)")
        margin(self.same, "", self.by)
        if self.most != 0 and self.most < FIRST:
            raise FittingroomError(
                f"most: got {self.most}; the first look is after {FIRST} seeds, so give at least that"
            )

    @property
    def by(self) -> Metric:
        """The metric that decides."""
        return METRICS[decided_by(self.metric, self.at)]

    @property
    def asked(self) -> dict[str, Any]:
        """What differs from what is asked where nobody says anything."""
        return {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if f.name != "against" and getattr(self, f.name) != f.default
        }

    def or_else(self, asked: Mapping[str, Any]) -> Question:
        """This one, or where it says nothing what was `asked` before.

        Another metric or aim leaves away what hung on that one. How often it was looked is no matter of asking: seeds that were
        added until it was settled are judged as such, and by the margin that decided when. Raises `FittingroomError`.
        """
        mine, most = self.asked, asked.get("most", self.most)
        other = any(mine.get(key, asked.get(key)) != asked.get(key) for key in ("metric", "at"))
        kept = {key: value for key, value in asked.items() if not other or key == "positive"}
        if most and not other and mine.get("same", kept.get("same")) != kept.get("same"):
            raise FittingroomError(
                "same: this study ended when it was settled by its own margin; with another, ask it anew"
            )
        return replace(self, **(kept | mine | {"most": most}))

    def point(self, classes: Sequence[str]) -> Point:
        """Where it is asked. Raises `FittingroomError` if the metric says the same of every model of so few classes, or for
        a `positive` that is none of them.
        """
        by, n = self.by, 2 if self.positive else len(classes)
        if n < by.least_classes:
            raise FittingroomError(
                f"{by.name} of {n} classes is the same for every model; it takes {by.least_classes} classes: "
                "leave --metric away"
            )
        return point(classes, self.positive, self.at)


def compare(
    dataset: str,
    evidence: Sequence[Evidence],
    question: Question = Question(),
    on: str = "test",
    classes: Sequence[str] = (),
) -> Comparison:
    """Judge the recipes of `evidence`, which were all scored on the same images (`on`: test or held-out) of `dataset`.

    `classes` are their names (default: numbers). Raises `FittingroomError` if there is nothing to judge.
    """
    names = list(dict.fromkeys(e.name for e in evidence))
    if question.against and question.against not in names:
        raise unknown("recipe", question.against, names, "the recipes that are compared")
    if not names:
        raise FittingroomError(f"no finished run with a test score on {dataset}; see: fittingroom runs")
    where = question.point(classes or [str(c) for c in range(evidence[0].logits_NK.shape[1])])
    subject, effect = where.subject(question.by), question.effect
    by = question.by.of(subject, where.aim.costs if where.aim else None)
    by_name = {name: sorted((e for e in evidence if e.name == name), key=lambda e: e.seed) for name in names}
    sign, design = 1 if by.larger_is_better else -1, evidence[0].design
    values = {name: np.stack([where.values(by, e) for e in runs]) for name, runs in by_name.items()}
    if np.isnan(next(iter(values.values()))).any():
        raise FittingroomError(
            f"the {on} images are all of “{subject}”, or none is: nothing can be found among them"
            if subject and where.positive is not None
            else f"{by.name} holds classes against one another, and some of what was scored together is of one class only"
        )
    threshold_luck = where.aim and not design.folds  # which folds show by themselves
    bootstrapped = {name: bootstrap(by, runs, where) for name, runs in by_name.items()} if threshold_luck else {}
    rows = sorted(
        (_row(by_name[name], values[name], by, where, bootstrapped.get(name)) for name in names),
        key=lambda r: -sign * r.score,
    )
    ranked = [pair for pair in combinations((r.recipe for r in rows), 2) if question.against in ("", *pair)]
    plain = where.positive is None and where.aim is None
    yardstick = by.of_largest_class(evidence[0].labels_N) if plain else None
    within = margin(question.same, dataset, by)
    if question.same and within and by.name == ACCURACY.name and within * len(evidence[0].labels_N) < 1:
        raise FittingroomError(
            f"same: {question.same:g} points of {len(evidence[0].labels_N):,} {on} images are less than one of them; "
            "it is given in points: 0.3 is 0.3 points"
        )
    better = {name: sign * of_name for name, of_name in values.items()}
    drawn = {name: of[by.name] for name, of in bootstrapped.items()}
    looked = None
    if question.most:
        if strange := next(
            (runs for runs in by_name.values() if [e.seed for e in runs] != list(range(len(runs)))), None
        ):
            raise FittingroomError(f"seeds that are added in rounds are 0, 1, 2 …; {strange[0].name} has others")
        judged, looked = look(ranked, better, design, drawn, most=question.most, within=within)
    else:
        seeds = {name: [e.seed for e in runs] for name, runs in by_name.items()}
        judged = judge_pairs(ranked, better, seeds, design, drawn)
    # by fewer seeds, perhaps luckier ones, than those that went on
    beaten = {j.worse for j in judged if looked and j.resolved}
    rows.sort(key=lambda row: row.recipe in beaten)
    pairs = tuple(_pair(j, by_name, EFFECT if effect is None else effect, where, within) for j in judged)
    return Comparison(
        dataset=dataset,
        metric=by.name,
        score_of=subject,
        positive=where.classes[where.positives[0]] if len(where.positives) == 1 else "",
        at=where.aim.words if where.aim else "",
        asked=question.asked,
        images=len(evidence[0].labels_N),
        groups=design.groups,
        rows=tuple(rows),
        pairs=pairs,
        sentences=(
            *sentences(dataset, rows, pairs, by, question.against, on),
            *(in_rounds(looked) if looked else ()),
            *(thresholds(rows, where, where.chosen_on(evidence[0]), on) if where.aim else ()),
            *(_unknown_groups(evidence[0]) if where.aim else ()),
            *_few_groups(design.groups, on),
            *_few_images(len(evidence[0].labels_N), design.groups, on),
            *no_better(rows, by, yardstick),
        ),
        yardstick=yardstick,
        on=on,
        looked=looked,
    )


def _few_groups(n: int, on: str) -> tuple[str, ...]:
    """What so few groups can show, in words."""
    if not 0 < n < FEW_GROUPS:
        return ()
    more = "; cross-validation (fittingroom cv) scores every group once" if on == "test" else ""
    return (
        f"The {on} images come from {n} group{'' if n == 1 else 's'} only, which is little to say anything about others{more}.",
    )


def _unknown_groups(run: Evidence) -> tuple[str, ...]:
    """Runs of before do not know how their validation images belong together."""
    if run.design.groups_N is None or run.val_design.groups_N is not None:
        return ()
    return ("How the validation images belong together was not kept by these runs: thresholds count each as alone.",)


def _few_images(n: int, groups: int, on: str) -> tuple[str, ...]:
    """What so few test images leave open, in words."""
    if on != "test" or n >= FEW_IMAGES or 0 < groups < FEW_GROUPS:  # which has been said
        return ()
    return (f"{n} test images are few: cross-validation (fittingroom cv) scores every picture once, and knows more.",)


def _row(
    runs: Sequence[Evidence],
    values_SN: np.ndarray,
    metric: Metric,
    where: Point,
    bootstrapped: Mapping[str, Bootstrapped] | None,
) -> Row:
    design = runs[0].design
    whole = alone = estimate(values_SN, design)
    if bootstrapped:
        whole = whole.plus(*bootstrapped[metric.name].share)
    low, high = whole.interval()
    asked = metric.of_a_class or where.aim or len(where.positives) == 1
    finding = found_by(runs, where, bootstrapped) if asked else None
    if len(runs) == 1 and metric.name == ACCURACY.name and not where.aim:
        low, high = proportion(values_SN[0] > 0, design)
    if finding and metric.name in FOUND:
        share = getattr(finding, metric.name)
        low, high = share.low, share.high
    if metric.scale == 100.0 or metric.ranks:  # a fraction
        low, high = max(0.0, low), min(1.0, high)

    def mean(found: Sequence[float | None]) -> float | None:
        known = [v for v in found if v is not None]
        return float(np.mean(known)) if len(known) == len(found) else None

    metrics = [e.metrics for e in runs]
    train, ece = mean([m.train.accuracy for m in metrics]), mean([m.test.ece if m.test else None for m in metrics])
    assert train is not None and ece is not None
    return Row(
        recipe=runs[0].name,
        seeds=tuple(e.seed for e in runs),
        score=whole.mean,
        scores=tuple(values_SN.mean(1).tolist()),
        score_sd=float(values_SN.mean(1).std(ddof=1)) if len(runs) > 1 else None,
        score_low=low,
        score_high=high,
        design_effect=whole.design_effect if whole.groups else None,
        test=float(np.mean([ACCURACY.score(e.logits_NK, e.labels_N) for e in runs])),
        balanced=_balanced(runs),
        finding=finding,
        train=train,
        val=mean([m.val_accuracy for m in metrics]),
        ece=ece,
        test_averaged=mean([m.test_averaged.accuracy if m.test_averaged else None for m in metrics]),
        parameters=runs[0].structure.parameters,
        flops=runs[0].structure.flops,
        epochs=float(np.mean([m.epochs for m in metrics])),
        train_s=float(np.mean([m.train_s for m in metrics])),
        at_once=max(e.environment.at_once for e in runs),
        threads=runs[0].environment.threads,
        cost=next((run.cost for run in reversed(runs) if run.cost), None),
        luck=luck_of_seeds(alone, (1 if metric.larger_is_better else -1) * values_SN.mean(1)),
    )


def _balanced(runs: Sequence[Evidence]) -> float | None:
    count_K = np.bincount(runs[0].labels_N)
    if count_K.max() <= UNEVEN * count_K[count_K > 0].min():
        return None
    return float(np.mean([METRICS["balanced_accuracy"].score(e.logits_NK, e.labels_N) for e in runs]))


def _limit(e: Estimate, needed: int | None) -> str:
    """What stands in the way of a difference: seeds, validation images to choose thresholds on, or test images."""
    if e.knows_luck and sum(variance for variance, _ in e.fixed) > 0.5 * e.error**2:
        return "validation images"
    return "seeds" if not e.knows_luck or needed or not e.images_dominate else "test set"


def _pair(
    judged: Judged, runs: Mapping[str, Sequence[Evidence]], effect: float, where: Point, within: float | None
) -> Pair:
    e, level, resolved = judged.estimate, judged.level, judged.resolved
    same = within is not None and judged.lies_within(within)
    right_better, right_worse = (
        np.stack([where.right(runs[name][k]) for k in which])
        for name, which in ((judged.better, judged.better_runs), (judged.worse, judged.worse_runs))
    )
    needed = None if resolved else seeds_needed(e, level)
    if needed is not None and needed <= e.seeds:  # the luck of this draw; the least honest answer is "a few more"
        needed = e.seeds + 1
    known = e.knows_luck
    wanted_groups = groups_needed(e, level) if known and not resolved else None
    return Pair(
        better=judged.better,
        worse=judged.worse,
        difference=e.mean,
        low=judged.low,
        high=judged.high,
        level=level,
        p=judged.p,
        resolved=resolved,
        only_better=float((right_better & ~right_worse).sum(1).mean()),
        only_worse=float((right_worse & ~right_better).sum(1).mean()),
        seeds=e.seeds,
        images=e.images,
        groups=e.groups,
        folds=e.folds,
        images_needed=None if resolved else images_needed(e, level),
        groups_needed=None if wanted_groups is None else max(wanted_groups, e.groups + 1),
        seeds_needed=needed,
        limit="" if resolved else _limit(e, needed),
        detectable=detectable(e, level) if known else None,
        effect=effect,
        seeds_for_effect=seeds_needed(e, level, effect) if known else None,
        margin=within,
        same=same,
        seeds_for_same=None if same or within is None else seeds_for_same(e, within, level),
        images_for_same=None if same or within is None else images_for_same(e, within, level),
        mcnemar=None if known or e.groups else mcnemar(right_better[0], right_worse[0]),
    )
