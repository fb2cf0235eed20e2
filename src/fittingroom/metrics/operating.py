"""Operating points: from which score on a picture is taken for the class that is looked for.

A threshold is chosen on validation images only, for what a person asks of it, and is then a part of the model: what it finds
and what it takes wrongly is measured on other images like everything else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fittingroom.metrics.against_rest import best_other, lead, log_odds
from fittingroom.metrics.metric import METRICS, Metric, metric
from fittingroom.spec.design import Design
from fittingroom.spec.errors import FittingroomError, unknown

WAYS = "sensitivity=0.95, specificity=0.9, precision=0.9, or costs=10:1 (of a miss, of a false alarm)"
LEFT_OPEN = {"sensitivity": "specificity", "specificity": "sensitivity", "precision": "sensitivity", "costs": "cost"}
DRAWS = 200  # of validation images, for what their luck does to a threshold
SLACK = 1e-9  # by which rounding may miss a share


class Scored(Protocol):
    """What an operating point needs of a finished run: what it says of validation images and of those that are scored."""

    @property
    def logits_NK(self) -> np.ndarray: ...
    @property
    def labels_N(self) -> np.ndarray: ...
    @property
    def design(self) -> Design: ...
    @property
    def val_logits_NK(self) -> np.ndarray | None: ...
    @property
    def val_labels_N(self) -> np.ndarray | None: ...
    @property
    def val_design(self) -> Design: ...


@dataclass(frozen=True)
class Validation:
    """Validation images as a threshold sees them: scores, which are of the class, and the group of each (None: each is alone)."""

    score_V: np.ndarray
    own_V: np.ndarray
    groups_V: np.ndarray | None = None

    @property
    def number_V(self) -> np.ndarray:
        """The number (V,) of each image's group, from 0."""
        one_each = np.arange(len(self.own_V))
        return one_each if self.groups_V is None else np.unique(self.groups_V, return_inverse=True)[1]

    @property
    def counts(self) -> tuple[int, int]:
        """How many images have the class, and how many have not; how many groups, where they belong together."""
        number_V = self.number_V
        return len(np.unique(number_V[self.own_V])), len(np.unique(number_V[~self.own_V]))

    @property
    def weight_V(self) -> np.ndarray:
        """What each image (V,) counts, so that every group counts as one: for the class and for the others by themselves."""
        number_V, weight_V = self.number_V, np.zeros(len(self.own_V))
        for mine in (self.own_V, ~self.own_V):
            weight_V[mine] = 1 / np.bincount(number_V[mine])[number_V[mine]]
        return weight_V

    def drawn(self, rng: np.random.Generator) -> np.ndarray:
        """How often each image counts in each draw (B,V): as many groups with the class, and as many without, as there are."""
        number_V = self.number_V
        has_G = np.bincount(number_V, self.own_V) > 0
        times_BG = np.zeros((DRAWS, len(has_G)))
        for stratum in (np.flatnonzero(has_G), np.flatnonzero(~has_G)):  # as the validation part is stratified, too
            if len(stratum):
                np.add.at(times_BG, (np.arange(DRAWS)[:, None], rng.choice(stratum, (DRAWS, len(stratum)))), 1)
        return np.asarray(times_BG[:, number_V])


@dataclass(frozen=True)
class Aim:
    """What a threshold is chosen for: the least sensitivity, specificity or precision that is asked for, or the least cost."""

    of: str
    least: float = 0.0  # a fraction
    costs: tuple[float, float] | None = None  # of a miss, of a false alarm

    @property
    def words(self) -> str:
        """As it stands behind "chosen on validation for".

        >>> Aim("sensitivity", 0.95).words, Aim("costs", costs=(10, 1)).words
        ('a sensitivity of 95 %', 'costs of 10 a miss and 1 a false alarm')
        """
        if self.costs:
            return "costs of {:g} a miss and {:g} a false alarm".format(*self.costs)
        return f"a {self.of} of {100 * self.least:g} %"

    def threshold(self, seen: Validation, called: str = "the class") -> float:
        """The score from which on an image is taken for the class.

        So that *other* images meet a sensitivity (or specificity) on average, not only these, it is the k-th best of the n
        images of the class, k = ⌈share · (n + 1)⌉: an image like them is beyond it with probability k / (n + 1) (Wilks 1941;
        Vovk et al. 2005). Where images belong together it is other groups that meet it: each group counts as one (Lee, Barber &
        Willett 2023). A precision is met by these images, with as many found as it allows; costs are the least on them.
        Raises `FittingroomError` where so few cannot promise it.

        >>> seen = Validation(np.array([1.0, 2.0, 3.0, 0.0]), np.array([True, True, True, False]))
        >>> Aim("sensitivity", 0.5).threshold(seen)
        2.0
        """
        self.refuse_few(seen, called)
        [found] = self.thresholds(seen, np.ones((1, len(seen.own_V))))
        if math.isnan(found):
            raise FittingroomError(
                f"no threshold gives “{called}” a precision of {100 * self.least:g} % on the {len(seen.own_V):,} validation "
                "images; ask for less"
            )
        return float(found)

    def thresholds(self, seen: Validation, times_BV: np.ndarray) -> np.ndarray:
        """The threshold (B,) where each image counts so many times, for every row of `times_BV`; NaN where there is none."""
        score_V, own_V = seen.score_V, seen.own_V
        if self.of in ("sensitivity", "specificity"):
            times_BV = times_BV * seen.weight_V
        order = np.argsort(-score_V, kind="stable")
        last = np.append(np.diff(score_V[order]) != 0, True)  # of the images that are alike to the model
        level_L = score_V[order][last]  # the highest first
        # where all down to a level are taken
        found_BL, false_BL = (np.cumsum(times_BV[:, order] * mine[order], axis=1)[:, last] for mine in (own_V, ~own_V))
        n_B1, others_B1 = found_BL[:, -1:], false_BL[:, -1:]
        match self.of:
            case "sensitivity":  # a draw of fewer groups than can promise it takes all
                enough_BL = found_BL >= np.minimum(self.least * (n_B1 + 1), n_B1) - SLACK
                may_BL = enough_BL & (np.cumsum(enough_BL, axis=1) == 1)  # the highest that is low enough
            case "specificity":
                may_BL = others_B1 - false_BL >= np.minimum(self.least * (others_B1 + 1), others_B1) - SLACK
            case "precision":
                may_BL = (found_BL >= self.least * (found_BL + false_BL) - SLACK) & (found_BL > 0)
            case _:
                miss, false_alarm = self.costs or (1.0, 1.0)
                paid_BL = miss * (n_B1 - found_BL) + false_alarm * false_BL
                may_BL = paid_BL <= np.minimum(paid_BL.min(1, keepdims=True), miss * n_B1) + SLACK
        none_B = ~may_BL.any(1)
        at_B = len(level_L) - 1 - may_BL[:, ::-1].argmax(1)  # the lowest level that may be taken
        taken_B, left_B = level_L[at_B], np.append(level_L, -np.inf)[np.where(none_B, 0, at_B + 1)]  # and the next
        above = np.nextafter(level_L[0], np.inf)
        if self.of == "specificity":  # as low as it may be: just above the first that may not
            return np.asarray(np.where(np.isinf(left_B), taken_B, np.nextafter(left_B, np.inf)))
        if self.of == "costs":  # halfway, where there is a number between
            middle_B = np.where(np.isinf(left_B), taken_B, (taken_B + left_B) / 2)
            return np.asarray(np.where(none_B, above, np.where(middle_B > left_B, middle_B, taken_B)))
        return np.asarray(np.where(none_B, np.nan, taken_B))

    def refuse_few(self, seen: Validation, called: str) -> None:
        """Raise `FittingroomError` where so few validation images (or groups) cannot promise it."""
        n, others = seen.counts
        if not n or not others:
            raise FittingroomError(
                f"a threshold for “{called}” is chosen on validation images of it and of others; "
                f"there are {n} and {others}: raise data.val_fraction"
            )
        of, which = (others, f"not of “{called}”") if self.of == "specificity" else (n, f"of “{called}”")
        if self.of in ("sensitivity", "specificity") and self.least * (of + 1) > of + SLACK:
            what = "images" if seen.groups_V is None else "groups of images"
            raise FittingroomError(
                f"{of} validation {what} {which} can promise a {self.of} of at most {100 * of / (of + 1):.1f} %, not "
                f"{100 * self.least:g}; ask for less, or hold out more (data.val_fraction)"
            )
        if seen.groups_V is not None and min(n, others) < 2:
            raise FittingroomError(
                f"the validation images of “{called}”, or the others, come from one group, which says nothing of other groups; "
                "hold out more (data.val_fraction)"
            )


def read_aim(text: str) -> Aim:
    """What `--at` says. Raises `FittingroomError`.

    >>> read_aim("recall=95%") == Aim("sensitivity", 0.95)
    True
    """
    word, _, value = (part.strip() for part in text.partition("="))
    word = {"recall": "sensitivity", "cost": "costs"}.get(word, word)
    if word not in LEFT_OPEN:
        raise unknown("operating point", word, LEFT_OPEN, WAYS)
    try:
        if word == "costs":
            miss, false_alarm = (float(part) for part in value.split(":"))
            if not (0 < miss < math.inf and 0 < false_alarm < math.inf):
                raise ValueError
            return Aim(word, costs=(miss, false_alarm))
        least = float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
        if not 0 < least < 1:
            raise ValueError
    except ValueError:
        raise FittingroomError(
            f'--at: got "{text}"; a share lies between 0 and 1, costs are above 0; for example {WAYS}'
        ) from None
    return Aim(word, least)


@dataclass(frozen=True)
class Point:
    """Which class is looked for, and how a picture comes to be taken for it.

    `positive` None: every class is held against the rest, and means are taken. `aim` None: the likeliest class is the answer.
    """

    classes: tuple[str, ...]
    positive: int | None = None
    aim: Aim | None = None

    @property
    def positives(self) -> list[int]:
        """The classes that are held against the rest: of two, the second."""
        k = len(self.classes)
        return [self.positive] if self.positive is not None else [1] if k == 2 else list(range(k))

    def subject(self, by: Metric) -> str:
        """The class that a score speaks of; "" where each is held against the rest, or where it speaks of all."""
        of_one = self.positive is not None or (len(self.classes) == 2 and (self.aim is not None or by.of_a_class))
        return self.classes[self.positives[0]] if of_one else ""

    def refuse_few(self, labels_V: np.ndarray, groups_V: np.ndarray | None = None) -> None:
        """Raise `FittingroomError` where so few validation images (or groups) cannot promise what is asked."""
        for c in self.positives if self.aim else ():
            assert self.aim
            self.aim.refuse_few(Validation(np.zeros(len(labels_V)), labels_V == c, groups_V), self.classes[c])

    def values(self, by: Metric, run: Scored) -> np.ndarray:
        """What each image (N,) adds to the score of a run at this point; their mean is the score."""
        if self.positive is None and self.aim is None:
            return by.values_by(run.design.folds_N, run.logits_NK, run.labels_N)
        found = []
        for c in self.positives:
            if 0 < (own_N := run.labels_N == c).sum() < len(own_N):
                score_N = self.scores(run, c) if by.decides else log_odds(run.logits_NK, c)
                found.append(_values(by, score_N, own_N, run.design.folds_N))
        return np.asarray(np.mean(found, axis=0)) if found else np.full(len(run.labels_N), np.nan)

    @property
    def decides(self) -> bool:
        """Whether a threshold for one class decides what is answered."""
        return self.aim is not None and len(self.positives) == 1

    def answers(self, run: Scored) -> np.ndarray:
        """The class (N,) that each image is taken for."""
        if not self.decides:
            return np.asarray(run.logits_NK.argmax(1))
        [c] = self.positives
        return np.where(self.scores(run, c) >= 0, c, best_other(run.logits_NK, c))

    def right(self, run: Scored) -> np.ndarray:
        """Which images (N,) bool are answered rightly: where one class is looked for by a threshold, whether they are of it."""
        if not self.decides:
            return np.asarray(run.logits_NK.argmax(1) == run.labels_N)
        [c] = self.positives
        return np.asarray((self.answers(run) == c) == (run.labels_N == c))

    def scores(self, run: Scored, c: int) -> np.ndarray:
        """How far (N,) each image is beyond the threshold of class `c`: at 0 and above it is taken for it."""
        if self.aim is None:
            return lead(run.logits_NK, c)
        score_N, folds_N = log_odds(run.logits_NK, c), run.design.folds_N
        for fold in [None] if folds_N is None else np.unique(folds_N):
            score_N[slice(None) if fold is None else folds_N == fold] -= self.threshold(run, c, fold)
        return score_N

    def threshold(self, run: Scored, c: int, fold: int | None = None) -> float:
        """The log odds of class `c` from which on a run takes a picture for it; of a cross-validation, the model of one `fold`.

        Raises `FittingroomError` without validation images, or with too few for what is asked.
        """
        assert self.aim
        return self.aim.threshold(_seen(run, c, fold), self.classes[c])

    def chosen_on(self, run: Scored) -> tuple[int, int] | None:
        """How many validation images (or groups) of a run, or of its smallest fold's, have the class that a threshold is for, and
        how many have not; None for several classes.
        """
        if not self.decides:
            return None
        folds = [None] if run.design.folds_N is None else list(np.unique(run.design.folds_N))
        return min(_seen(run, self.positives[0], fold).counts for fold in folds)

    def bootstrap(self, metrics: Sequence[Metric], run: Scored) -> tuple[list[np.ndarray], float]:
        """The scores (B,), by each metric, that a run would have with thresholds from other draws of its validation images (of
        their groups, where they belong together); and the degrees of freedom that so many of them show.

        Efron (1979), stratified, with the same draws for all runs that have as many validation images: they share this luck. Of
        a cross-validation there is none to add: each fold has validation images of its own, and the folds differ by it.
        """
        assert self.aim and run.design.folds_N is None
        found_CMB, df = [], math.inf
        for c in self.positives:
            if not 0 < (own_N := run.labels_N == c).sum() < len(own_N):
                continue
            seen = _seen(run, c)
            n, others = seen.counts
            df = min(df, {"sensitivity": n, "specificity": others}.get(self.aim.of, min(n, others)) - 1)
            shift_B, score_N = (
                self.aim.thresholds(seen, seen.drawn(np.random.default_rng(0))),
                log_odds(run.logits_NK, c),
            )
            shift_U, number_B = np.unique(shift_B, return_inverse=True)  # many draws give the same
            scores_MU = [[_score(by, score_N - shift, own_N) for shift in shift_U] for by in metrics]
            found_CMB.append(np.array(scores_MU)[:, number_B])
        return list(np.mean(found_CMB, axis=0)) if found_CMB else [np.zeros(DRAWS)] * len(metrics), max(1.0, df)


def point(classes: Sequence[str], positive: str = "", at: str = "") -> Point:
    """The operating point that words name. Raises `FittingroomError` for a class that is none.

    >>> point(["cat", "dog"], "cat", "sensitivity=0.9").positives
    [0]
    """
    if positive and positive not in classes:
        raise unknown("class", positive, classes, ", ".join(classes))
    return Point(tuple(classes), classes.index(positive) if positive else None, read_aim(at) if at else None)


def decided_by(name: str, at: str) -> str:
    """The metric that decides where `name` may be left open, at an operating point. Raises `FittingroomError`.

    >>> decided_by("", ""), decided_by("", "sensitivity=0.9")
    ('accuracy', 'specificity')
    """
    aim = read_aim(at) if at else None
    by = metric(name or (LEFT_OPEN[aim.of] if aim else "accuracy"))
    if aim and not by.decides:
        able = ", ".join(m.name for m in METRICS.values() if m.decides)
        raise FittingroomError(
            f"{by.name} is the same at every threshold; leave --at away, or let one of these decide: {able}"
        )
    if by.name == "cost" and not (aim and aim.costs):
        raise FittingroomError("cost needs what a miss and a false alarm cost; say --at costs=10:1, for example")
    return by.name


def _seen(run: Scored, c: int, fold: int | None = None) -> Validation:
    """The validation images of a run, or of one fold's, as a threshold for class `c` sees them."""
    logits_VK, labels_V, design = run.val_logits_NK, run.val_labels_N, run.val_design
    if logits_VK is None or labels_V is None:
        raise FittingroomError(
            "--at chooses a threshold on validation images, and there are none; set data.val_fraction"
        )
    mine = slice(None) if fold is None or design.folds_N is None else design.folds_N == fold
    groups_V = None if design.groups_N is None else design.groups_N[mine]
    return Validation(log_odds(logits_VK[mine], c), labels_V[mine] == c, groups_V)


def _values(by: Metric, score_N: np.ndarray, own_N: np.ndarray, folds_N: np.ndarray | None = None) -> np.ndarray:
    """A metric's values of one class against the rest, by how far each image is beyond the threshold."""
    if by.decides:  # at the threshold itself it is taken, which two equal logits would not say
        score_N = np.where(score_N >= 0, np.maximum(score_N, np.finfo(np.float64).tiny), score_N)
    return by.values_by(folds_N, np.stack([np.zeros(len(score_N)), score_N], 1), own_N.astype(np.int64))


def _score(by: Metric, score_N: np.ndarray, own_N: np.ndarray) -> float:
    return float(_values(by, score_N, own_N).mean()) if np.isfinite(score_N).all() else math.nan
