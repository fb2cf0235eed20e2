"""Operating points: from which score on a picture is taken for the class that is looked for.

A threshold is chosen on validation images only, for what a person asks of it, and is then a part of the model: what it finds
and what it takes wrongly is measured on other images like everything else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from fittingroom.metrics.against_rest import lead, log_odds
from fittingroom.metrics.metric import METRICS, Metric, metric
from fittingroom.spec.design import Design
from fittingroom.spec.errors import FittingroomError, unknown

WAYS = "sensitivity=0.95, specificity=0.9, precision=0.9, or costs=10:1 (of a miss, of a false alarm)"
DRAWS = 200  # of validation images, for what their luck does to a threshold
LEFT_OPEN = {"sensitivity": "specificity", "specificity": "sensitivity", "precision": "sensitivity", "costs": "cost"}


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

    def threshold(self, score_N: np.ndarray, own_N: np.ndarray, called: str = "the class") -> float:
        """The score from which on an image is taken for the class, by validation images of which `own_N` are of it.

        So that *other* images meet a sensitivity (or specificity) on average, not only these, it is the k-th best of the n
        images of the class, k = ⌈share · (n + 1)⌉: an image like them is beyond it with probability k / (n + 1) (Wilks 1941;
        Vovk et al. 2005). A precision is met by these images, with as many found as it allows; costs are the least on them.
        Raises `FittingroomError` where so few images cannot promise it.

        >>> Aim("sensitivity", 0.5).threshold(np.array([1.0, 2.0, 3.0, 0.0]), np.array([True, True, True, False]))
        2.0
        """
        n = int(own_N.sum())
        self.refuse_few(n, len(own_N) - n, called)
        [found] = self.thresholds(score_N, own_N, np.ones((1, len(own_N)), np.int64))
        if math.isnan(found):
            best = (np.cumsum(own_N[np.argsort(-score_N)]) / np.arange(1, len(own_N) + 1)).max()
            raise FittingroomError(
                f"no threshold gives “{called}” a precision of {100 * self.least:g} % on the {len(score_N):,} validation images, "
                f"the best about {100 * best:.1f} %; ask for less"
            )
        return float(found)

    def thresholds(self, score_N: np.ndarray, own_N: np.ndarray, times_BN: np.ndarray) -> np.ndarray:
        """The threshold (B,) where each image counts so many times, for every row of `times_BN`; NaN where there is none."""
        order = np.argsort(-score_N, kind="stable")
        last = np.append(np.diff(score_N[order]) != 0, True)  # of the images that are alike to the model
        level_L = score_N[order][last]  # the highest first
        found_BL, false_BL = (  # where all down to a level are taken
            np.cumsum(times_BN[:, order] * mine[order], axis=1)[:, last] for mine in (own_N, ~own_N)
        )
        n_B1, others_B1 = found_BL[:, -1:], false_BL[:, -1:]
        match self.of:
            case "sensitivity":
                enough_BL = found_BL >= self._place(n_B1)
                may_BL = enough_BL & (np.cumsum(enough_BL, axis=1) == 1)  # the highest that is low enough
            case "specificity":
                may_BL = others_B1 - false_BL >= self._place(others_B1)
            case "precision":
                may_BL = (found_BL >= self.least * (found_BL + false_BL)) & (found_BL > 0)
            case _:
                miss, false_alarm = self.costs or (1.0, 1.0)
                paid_BL = miss * (n_B1 - found_BL) + false_alarm * false_BL
                may_BL = paid_BL <= np.minimum(paid_BL.min(1, keepdims=True), miss * n_B1)
        none_B = ~may_BL.any(1)
        at_B = len(level_L) - 1 - may_BL[:, ::-1].argmax(1)  # the lowest level that may be taken
        taken_B, left_B = level_L[at_B], np.append(level_L, -np.inf)[np.where(none_B, 0, at_B + 1)]  # and the next
        if self.of == "specificity":  # as low as it may be: just above the first that may not
            lowest_B = np.where(np.isinf(left_B), taken_B, np.nextafter(left_B, np.inf))
            return np.asarray(np.where(self._place(others_B1[:, 0]) <= others_B1[:, 0], lowest_B, np.nan))
        if self.of == "costs":  # halfway, where there is a number between
            middle_B = np.where(np.isinf(left_B), taken_B, (taken_B + left_B) / 2)
            taken_B = np.where(middle_B > left_B, middle_B, taken_B)
            return np.asarray(np.where(none_B, np.nextafter(level_L[0], np.inf), taken_B))
        return np.asarray(np.where(none_B, np.nan, taken_B))

    def refuse_few(self, n: int, others: int, called: str) -> None:
        """Raise `FittingroomError` where `n` validation images of a class and so many `others` cannot promise it."""
        if not n or not others:
            raise FittingroomError(
                f"a threshold for “{called}” is chosen on validation images of it and of others; "
                f"there are {n} and {others}: raise data.val_fraction"
            )
        of, which = (others, f"not of “{called}”") if self.of == "specificity" else (n, f"of “{called}”")
        if self._place(of) > of:
            raise FittingroomError(
                f"{of} validation images {which} can promise a {self.of} of at most {100 * of / (of + 1):.1f} %, not "
                f"{100 * self.least:g}; ask for less, or hold out more (data.val_fraction)"
            )

    def _place(self, n: Any) -> Any:
        """The place k of `threshold` among n images (a number or an array); where no share is asked for, any will do."""
        return np.ceil(self.least * (n + 1) - 1e-9) if self.of in ("sensitivity", "specificity") else n


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
    def looked_for(self) -> list[int]:
        """The classes that are held against the rest: of two, the second."""
        k = len(self.classes)
        return [self.positive] if self.positive is not None else [1] if k == 2 else list(range(k))

    def subject(self, by: Metric) -> str:
        """The class that a score speaks of; "" where each is held against the rest, or where it speaks of all."""
        of_one = self.positive is not None or (len(self.classes) == 2 and (self.aim is not None or by.of_a_class))
        return self.classes[self.looked_for[0]] if of_one else ""

    def refuse_few(self, labels_N: np.ndarray) -> None:
        """Raise `FittingroomError` where so few validation images cannot promise what is asked."""
        for c in self.looked_for if self.aim else []:
            n = int((labels_N == c).sum())
            self.aim.refuse_few(n, len(labels_N) - n, self.classes[c])  # type: ignore[union-attr]

    def values(self, by: Metric, run: Scored) -> np.ndarray:
        """What each image (N,) adds to the score of a run at this point; their mean is the score."""
        if self.positive is None and self.aim is None:
            return by.values_by(run.design.folds_N, run.logits_NK, run.labels_N)
        found = []
        for c in self.looked_for:
            if 0 < (own_N := run.labels_N == c).sum() < len(own_N):
                score_N = self.scores(run, c) if by.decides else log_odds(run.logits_NK, c)
                found.append(_values(by, score_N, own_N, run.design.folds_N))
        return np.asarray(np.mean(found, axis=0)) if found else np.full(len(run.labels_N), np.nan)

    def right(self, run: Scored) -> np.ndarray:
        """Which images (N,) bool are answered rightly: where one class is looked for by a threshold, whether they are of it."""
        if self.aim is None or len(self.looked_for) > 1:
            return np.asarray(run.logits_NK.argmax(1) == run.labels_N)
        [c] = self.looked_for
        return np.asarray((self.scores(run, c) >= 0) == (run.labels_N == c))

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
        score_V, own_V, _ = _validation(run, c, fold)
        return self.aim.threshold(score_V, own_V, self.classes[c])

    def redrawn(self, metrics: Sequence[Metric], run: Scored) -> tuple[list[np.ndarray], float]:
        """The scores (B,), by each metric, that a run would have with thresholds from other draws of its validation images (of
        their groups, where they belong together), NaN where a draw allows none; and the degrees of freedom that these show.

        A bootstrap (Efron 1979), with the same draws for all runs that have as many validation images: they share this luck.
        """
        assert self.aim
        rng, folds_N = np.random.default_rng(0), run.design.folds_N
        folds = [None] if folds_N is None else list(np.unique(folds_N))
        fold_N = np.zeros(len(run.labels_N), int) if folds_N is None else np.unique(folds_N, return_inverse=True)[1]
        found_CMB, df = [], math.inf
        for c in self.looked_for:
            if not 0 < (own_N := run.labels_N == c).sum() < len(own_N):
                continue
            score_N, shift_FB = log_odds(run.logits_NK, c), []
            for fold in folds:
                score_V, own_V, group_V = _validation(run, c, fold)
                df = min(df, _shown(own_V, group_V, self.aim.of))
                shift_FB.append(self.aim.thresholds(score_V, own_V, _drawn(rng, len(own_V), group_V)))
            seen_FU, number_B = np.unique(shift_FB, axis=1, return_inverse=True)  # many draws give the same
            shifted = [score_N - shift_F[fold_N] for shift_F in seen_FU.T]
            scores_MU = [[_score(by, one, own_N, folds_N) for one in shifted] for by in metrics]
            found_CMB.append(np.array(scores_MU)[:, number_B.reshape(-1)])
        return list(np.mean(found_CMB, axis=0)) if found_CMB else [np.zeros(DRAWS)] * len(metrics), df


def point(classes: Sequence[str], positive: str = "", at: str = "") -> Point:
    """The operating point that words name. Raises `FittingroomError` for a class that is none.

    >>> point(["cat", "dog"], "cat", "sensitivity=0.9").looked_for
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


def _values(by: Metric, score_N: np.ndarray, own_N: np.ndarray, folds_N: np.ndarray | None) -> np.ndarray:
    """A metric's values of one class against the rest, by how far each image is beyond the threshold."""
    if by.decides:  # at the threshold itself it is taken, which two equal logits would not say
        score_N = np.where(score_N >= 0, np.maximum(score_N, np.finfo(np.float64).tiny), score_N)
    return by.values_by(folds_N, np.stack([np.zeros(len(score_N)), score_N], 1), own_N.astype(np.int64))


def _score(by: Metric, score_N: np.ndarray, own_N: np.ndarray, folds_N: np.ndarray | None) -> float:
    return float(_values(by, score_N, own_N, folds_N).mean()) if np.isfinite(score_N).all() else math.nan


def _validation(run: Scored, c: int, fold: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Of the validation images of a run (or of one fold's): log odds of class `c`, which are of it, and their groups."""
    logits_VK, labels_V, design = run.val_logits_NK, run.val_labels_N, run.val_design
    if logits_VK is None or labels_V is None:
        raise FittingroomError(
            "--at chooses a threshold on validation images, and there are none; set data.val_fraction"
        )
    mine = slice(None) if fold is None or design.folds_N is None else design.folds_N == fold
    return log_odds(logits_VK[mine], c), labels_V[mine] == c, None if design.groups_N is None else design.groups_N[mine]


def _drawn(rng: np.random.Generator, n: int, group_V: np.ndarray | None) -> np.ndarray:
    """How often each of n images is drawn (B,V), with replacement: n of them, or all of as many groups as there are."""
    number_V = np.arange(n) if group_V is None else np.unique(group_V, return_inverse=True)[1]
    g = int(number_V.max()) + 1
    times_BG = np.stack([np.bincount(rng.integers(0, g, g), minlength=g) for _ in range(DRAWS)])
    return times_BG[:, number_V]


def _shown(own_V: np.ndarray, group_V: np.ndarray | None, of: str) -> float:
    """The degrees of freedom of what so many images (or groups) of a class, and of the others, show about a threshold."""
    counts = {"sensitivity": [own_V], "specificity": [~own_V]}.get(of, [own_V, ~own_V])
    few = min(int(c.sum()) if group_V is None else len(np.unique(group_V[c])) for c in counts)
    return float(max(1, few - 1))
