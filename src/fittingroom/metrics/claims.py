"""Whether a claim stands: from the records of re-run recipes to reproduced, beaten, not reproduced or undecided."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fittingroom.metrics.crossed import Estimate, estimate, half_width
from fittingroom.metrics.intervals import Spread, mean_interval, prediction, spread, welch
from fittingroom.metrics.metric import ACCURACY
from fittingroom.metrics.pairs import paired
from fittingroom.metrics.reported import orders
from fittingroom.metrics.rounds import level_of, may_be_settled
from fittingroom.metrics.sameness import margin
from fittingroom.metrics.statistic import FEWEST_EPOCHS, STATISTICS, Statistic
from fittingroom.metrics.verdict import Evidence
from fittingroom.metrics.words import LUCK
from fittingroom.spec.claimed import Claimed, stated_figures
from fittingroom.spec.recipe import Claim
from fittingroom.spec.records import Record, Share
from fittingroom.store import LoadedRun, RunFolder, load_run

WIDEST = 0.01  # half-width of a prediction interval that can still reproduce a stated accuracy: one point


@dataclass(frozen=True)
class Trials:
    """The runs that speak about a claim, by seed."""

    own: Sequence[Evidence]
    than: Sequence[Evidence] = ()  # of the recipe it is compared with
    own_there: Sequence[Evidence] = ()  # both on `than_dataset`
    than_there: Sequence[Evidence] = ()
    others: Sequence[Sequence[Evidence]] = ()  # the other recipes' runs on this data set, for the pooled spread


class Judgement(Record):
    """A claim, what was measured, and the outcome; None where there is no value, or an end is infinite."""

    id: str
    text: str
    recipe: str
    dataset: str
    statistic: str  # its definition
    reason: str
    stated: str  # in words
    measured: str  # in words: value, interval, unit
    value: float | None
    low: float | None
    high: float | None
    interval: str  # what the interval is
    seeds: int
    than_seeds: int  # of what it is compared with; 0 if with nothing
    outcome: str
    note: str
    shown_in: str  # the name of the statistic, which knows how its values are shown
    before: Share | None = None  # how probable the order was from the stated figures alone, where both are stated
    compared: bool  # whether the value is a difference (or, of a cost, a ratio)
    # whether more seeds would hardly change it: both are the same, or (in rounds) they would not do
    closed: bool = False
    changed: tuple[str, ...] = ()  # overrides: not the recipe itself was judged, but a changed one

    def end(self, value: float | None, infinite: str) -> str:
        """An end of the interval as text, without its unit."""
        return infinite if value is None else self.number(value)

    def number(self, value: float) -> str:
        """A value of this judgement's statistic as text, without its unit."""
        measure = STATISTICS[self.shown_in]
        if self.compared and measure.as_ratio:
            return f"{value:.3g}"
        return f"{measure.scale * value:{'+' if self.compared else ''}.{measure.digits}f}"

    @property
    def unit(self) -> str:
        """What its values are counted in, with the space in front."""
        measure = STATISTICS[self.shown_in]
        if self.compared:
            return " times" if measure.as_ratio else measure.unit.replace(" %", " points")
        return measure.unit

    def show(self, value: float) -> str:
        """A value with its unit."""
        return self.number(value) + self.unit


def judge(claim: Claim, recipe: str, trials: Trials, most: int = 0) -> Judgement:
    """Judge `claim` about `recipe` from `trials`; `most`: seeds there may be, where it is looked after each round of them.

    A stated figure is *reproduced* if it lies in the 95 % prediction interval of one more run (which differs in its seed,
    on the same images) and that interval is at most one point to either side; *beaten* if all of the interval is above
    it, *not reproduced* if all is below. An order of test accuracies is judged by the paired comparison (seeds and images
    crossed), every other order by a 95 % interval over seeds alone. Where it is looked several times, each interval is as much
    wider as `fittingroom.metrics.rounds` says.
    """
    measure = STATISTICS[claim.statistic]
    own, than = _values(measure, trials.own), _values(measure, trials.than)
    compared = bool(claim.than or claim.without)
    if np.isnan(own).any() or np.isnan(than).any():
        why = f"the runs cannot show it: it takes at least {FEWEST_EPOCHS} epochs and a validation part"
        found = Reading(math.nan, (math.nan, math.nan), "none", "undecided", why)
    elif measure.is_cost:
        ratio = float(own[0] / than[0])
        found = Reading(ratio, (ratio, ratio), "exact", _side(claim, ratio, ratio))
        if found.outcome == "undecided":  # exactly at the bound, which no luck explains
            found = replace(found, outcome="not reproduced")
    elif claim.than_dataset:
        found = _difference_of_differences(claim, trials, most)
    elif claim.statistic == "test_accuracy" and compared and claim.relation != "equal":
        found = _order(claim, trials, most)
    elif claim.relation == "equal" or (not compared and claim.stated is not None):
        found = _of_one_more_run(claim, measure, trials, _level(trials, most))
    else:
        found = _trend(claim, measure, own, than, _level(trials, most))
    return _judgement(claim, recipe, measure, found, len(own), len(than))


@dataclass(frozen=True)
class Reading:
    """What was measured for a claim, and what follows."""

    value: float
    interval: tuple[float, float]
    kind: str  # of the interval
    outcome: str
    note: str = ""
    closed: bool = False  # whether more seeds would hardly change it


def _level(trials: Trials, most: int, e: Estimate | None = None) -> float:
    """Of an interval at this look: of what the seeds alone decide, or of an estimate."""
    return level_of(min(len(t) for t in (trials.own, trials.than) if t), most, e) if most else 0.95


def _kind(level: float, of: str) -> str:
    return f"95 % {of}" if level == 0.95 else f"{100 * level:.1f} % {of}, at this look"


def _order(claim: Claim, trials: Trials, most: int) -> Reading:
    """Which test accuracy is higher: the paired comparison."""
    found = _accuracy_difference(trials.own, trials.than)
    if found.seeds == 1:
        kind = "95 % interval of one pair of runs, for other images"
        return Reading(found.mean, found.interval(), kind, "undecided", LUCK)
    level = _level(trials, most, found)
    interval = found.interval(level)
    kind = _kind(level, "interval of the paired difference, for other seeds and images")
    outcome, within = _side(claim, *interval), margin(None, claim.dataset, ACCURACY) or 0.0
    if -within < interval[0] and interval[1] < within:
        points = f"(± {100 * within:g} points)"
        note = (
            f"the same for practical purposes {points}"
            if outcome == "undecided"
            else f"less than what matters {points}"
        )
        return Reading(found.mean, interval, kind, outcome, note, closed=True)
    closed = bool(most) and outcome == "undecided" and not may_be_settled(found, most, within=within)
    return Reading(found.mean, interval, kind, outcome, "more seeds hardly settle it" if closed else "", closed)


def _of_one_more_run(claim: Claim, measure: Statistic, trials: Trials, level: float) -> Reading:
    """A figure, or a bound on one: where would the next run (or pair of runs) fall?"""
    own, than = _values(measure, trials.own), _values(measure, trials.than)
    compared = len(than) > 0
    values = own
    if compared:
        i, j = paired([e.seed for e in trials.own], [e.seed for e in trials.than])
        values = own[i] - than[j]
    known = _known_spread(measure, trials, compared)
    interval = prediction(values, known, level)
    kind = _kind(level, "prediction interval of one more " + ("pair of runs" if compared else "run"))
    outcome, note = _side(claim, *interval), _pooling(known, len(values))
    if claim.relation == "equal":
        outcome, note = _equal(claim, interval, prediction(values, known), known, note)
    if measure.is_fraction and not compared and known.df:  # judged as it is, shown as far as it can be
        interval = (max(0.0, interval[0]), min(1.0, interval[1]))
    return Reading(float(values.mean()), interval, kind, outcome, note)


def _trend(claim: Claim, measure: Statistic, own: np.ndarray, than: np.ndarray, level: float) -> Reading:
    """A statistic of curves, by itself or against another recipe's: over seeds alone."""
    alone = "one seed shows no spread"
    if not len(than):
        interval = mean_interval(own, level)
        note = "" if len(own) > 1 else alone
        return Reading(
            float(own.mean()), interval, _kind(level, "interval of the mean over seeds"), _side(claim, *interval), note
        )
    value, interval = welch(own, than, measure.as_ratio, level)
    kind = _kind(level, f"interval of the {'ratio' if measure.as_ratio else 'difference'} of means over seeds (Welch)")
    return Reading(value, interval, kind, _side(claim, *interval), "" if min(len(own), len(than)) > 1 else alone)


def _values(measure: Statistic, runs: Sequence[Evidence]) -> np.ndarray:
    return np.array([measure.of(run) for run in runs], np.float64)


def _accuracy_difference(a: Sequence[Evidence], b: Sequence[Evidence]) -> Estimate:
    """The paired difference of test accuracies."""
    right_a, right_b = (np.stack([ACCURACY.values(r.logits_NK, r.labels_N) for r in runs]) for runs in (a, b))
    i, j = paired([r.seed for r in a], [r.seed for r in b])
    return estimate(right_a[i] - right_b[j], a[0].design)


def _known_spread(measure: Statistic, trials: Trials, compared: bool) -> Spread:
    """The spread of one more run (or pair of runs), pooled over the data set's recipes where seeds are few."""
    others = [[v for v in _values(measure, runs) if not math.isnan(v)] for runs in trials.others]
    own, than = (_values(measure, runs).tolist() for runs in (trials.own, trials.than))
    sides = [spread(own, [*others, than])] + ([spread(than, [*others, own])] if compared else [])
    return Spread(math.hypot(*(s.sd for s in sides)), min(s.df for s in sides), any(s.pooled for s in sides))


def _pooling(known: Spread, seeds: int) -> str:
    if known.df == 0:
        return "one seed, and no other recipe to pool a spread with"
    few = f"{seeds} seed{'s' if seeds > 1 else ''}"
    return f"{few}: spread pooled over the recipes ({known.df} degrees of freedom)" if known.pooled else ""


def _equal(
    claim: Claim, interval: tuple[float, float], usual: tuple[float, float], known: Spread, note: str
) -> tuple[str, str]:
    """A look rejects by its own, wider `interval`; it confirms by the `usual` one, for the wider one holds more."""
    low, high = claim.bounds
    if known.df == 0:
        return "undecided", note
    if interval[0] > high:
        return "beaten", note
    if interval[1] < low:
        return "not reproduced", note
    if usual[0] > high or usual[1] < low:
        return "undecided", note
    if (usual[1] - usual[0]) / 2 > WIDEST:
        wide = (
            f"the interval meets {100 * low:g} … {100 * high:g} %, but is wider than a point to each side: more seeds"
        )
        return "undecided", "; ".join(filter(None, [note, wide]))
    return "reproduced", note


def _bound(claim: Claim) -> float:
    """What it is claimed to be above or below: the stated figure, else no difference."""
    if claim.stated is not None:
        return claim.stated
    return float(STATISTICS[claim.statistic].as_ratio and bool(claim.than or claim.without))


def _side(claim: Claim, low: float, high: float) -> str:
    """Whether an interval lies wholly on the claimed side."""
    stated = _bound(claim)
    if claim.relation == "below":
        low, high, stated = -high, -low, -stated
    return "reproduced" if low > stated else "not reproduced" if high < stated else "undecided"


def _difference_of_differences(claim: Claim, trials: Trials, most: int) -> Reading:
    """How much larger the paired difference is here than on the other data set: two independent estimates."""
    here = _accuracy_difference(trials.own, trials.than)
    there = _accuracy_difference(trials.own_there, trials.than_there)
    level = _level(trials, most)
    kind = _kind(level, "interval of the difference of two paired differences")
    value = here.mean - there.mean
    if min(here.seeds, there.seeds) < 2:
        return Reading(value, (-math.inf, math.inf), kind, "undecided", LUCK)
    half = float(half_width([*here.shares, *there.shares], level))
    each = f"here {100 * here.mean:+.2f} points, there {100 * there.mean:+.2f}"
    return Reading(value, (value - half, value + half), kind, _side(claim, value - half, value + half), each)


def _judgement(claim: Claim, recipe: str, measure: Statistic, found: Reading, own: int, than: int) -> Judgement:
    low, high = (x if math.isfinite(x) else None for x in found.interval)
    known = math.isfinite(found.value)
    judged = Judgement(
        id=claim.id,
        text=claim.text,
        recipe=recipe,
        dataset=claim.dataset,
        statistic=measure.definition,
        reason=measure.reason,
        stated="",
        measured="–",
        value=found.value if known else None,
        low=low if known else None,
        high=high if known else None,
        interval=found.kind,
        seeds=own,
        than_seeds=than,
        outcome=found.outcome,
        note=found.note,
        closed=found.closed,
        shown_in=measure.name,
        compared=bool(claim.than or claim.without),
    )
    if known:
        between = "" if found.kind == "exact" else f" [{judged.end(judged.low, '−∞')}, {judged.end(judged.high, '∞')}]"
        judged = judged.model_copy(update={"measured": judged.number(found.value) + between + judged.unit})
    return judged.model_copy(update={"stated": _stated(claim, judged)})


def _stated(claim: Claim, judged: Judgement) -> str:
    """What is claimed, as one phrase."""
    with_whom = claim.than or (f"itself without {claim.without}" if claim.without else "")
    bound = judged.show(_bound(claim)) if _bound(claim) else f"0{judged.unit}"
    if claim.relation == "equal":
        return bound + (f" over {with_whom}" if with_whom else "")
    if not with_whom:
        return f"{claim.relation} {bound}"
    amount = f"{bound} of " if claim.stated is not None else ""
    return f"{claim.relation} {amount}{with_whom}" + (
        f", more than on {claim.than_dataset}" if claim.than_dataset else ""
    )


Groups = dict[tuple[str, str], list[LoadedRun]]  # by recipe name and data set


def grouped(folders: Sequence[RunFolder], known: dict[Path, LoadedRun] | None = None) -> Groups:
    """Finished runs in memory, by recipe and data set; those that are `known` are not read again, the others are from then on."""
    loaded: Groups = {}
    known = {} if known is None else known
    for folder in folders:
        if folder.path not in known:
            known[folder.path] = load_run(folder)
        run = known[folder.path]
        loaded.setdefault((run.name, run.data.name), []).append(run)
    return loaded


def judgements(
    claims: Sequence[Claimed], groups: Groups, changes: Sequence[str] = (), most: int = 0
) -> list[Judgement]:
    """Judge every question from the finished runs. The spread of few seeds is pooled over all recipes among them.

    `changes` (overrides) are kept in every judgement: it is about changed recipes. `most` is for `judge`.
    """
    found = []
    for q in claims:
        here, there = q.claim.dataset, q.claim.than_dataset
        own, than = q.recipe.name, q.than.name if q.than else ""
        trials = Trials(
            own=groups[own, here],
            than=groups.get((than, here), []),
            own_there=groups.get((own, there), []),
            than_there=groups.get((than, there), []),
            others=[runs for (name, place), runs in groups.items() if place == here and name not in (own, than)],
        )
        more = {"changed": tuple(changes), "before": _before(q, len(trials.own[0].labels_N))}
        found.append(judge(q.claim, q.recipe.name, trials, most).model_copy(update=more))
    return found


def _before(q: Claimed, images: int) -> Share | None:
    figures = stated_figures(q)
    return orders(figures, images)[0].holds if figures else None
