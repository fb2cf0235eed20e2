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

from fittingroom.metrics.against_rest import lead, log_odds
from fittingroom.metrics.metric import METRICS, Metric, metric
from fittingroom.spec.design import Design
from fittingroom.spec.errors import FittingroomError, unknown

WAYS = "sensitivity=0.95, specificity=0.9, precision=0.9, or costs=10:1 (of a miss, of a false alarm)"
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
    def val_folds_N(self) -> np.ndarray | None: ...


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
        own, others = np.sort(score_N[own_N])[::-1], np.sort(score_N[~own_N])
        self.refuse_few(len(own), len(others), called)
        if self.of == "sensitivity":
            return float(own[self._place(len(own)) - 1])
        if self.of == "specificity":
            return float(np.nextafter(others[self._place(len(others)) - 1], np.inf))
        levels = np.unique(score_N)  # each can be the lowest that is taken
        found_L, false_L = (len(x) - np.searchsorted(np.sort(x), levels) for x in (own, others))
        if self.costs:
            miss, false_alarm = self.costs
            cost_L = np.append(
                miss * (len(own) - found_L) + false_alarm * false_L, miss * len(own)
            )  # the last: nothing is taken
            least = np.flatnonzero(np.isclose(cost_L, cost_L.min()))
            at = int(least[len(least) // 2])
            return _between(levels, at)
        precise = np.flatnonzero(found_L / (found_L + false_L) >= self.least)
        if not len(precise):
            best = (found_L / (found_L + false_L)).max()
            raise FittingroomError(
                f"no threshold gives “{called}” a precision of {100 * self.least:g} % on the {len(score_N):,} validation images: "
                f"at most {100 * best:.1f} %; ask for less"
            )
        return float(levels[precise[0]])

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

    def _place(self, n: int) -> int:
        """The place k of `threshold`, among n images; none is beyond it where no share is asked for."""
        return math.ceil(self.least * (n + 1) - 1e-9) if self.of in ("sensitivity", "specificity") else n


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
                if by.decides:  # at the threshold itself it is taken, which two equal logits would not say
                    score_N = np.where(score_N >= 0, np.maximum(score_N, np.finfo(np.float64).tiny), score_N)
                two_N2 = np.stack([np.zeros(len(score_N)), score_N], 1)
                found.append(by.values_by(run.design.folds_N, two_N2, own_N.astype(np.int64)))
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
        if folds_N is None:
            return score_N - self.threshold(run, c)
        for fold in np.unique(folds_N):
            score_N[folds_N == fold] -= self.threshold(run, c, fold)
        return score_N

    def threshold(self, run: Scored, c: int, fold: int | None = None) -> float:
        """The log odds of class `c` from which on a run takes a picture for it; of a cross-validation, the model of one `fold`.

        Raises `FittingroomError` without validation images, or with too few for what is asked.
        """
        assert self.aim
        logits_NK, labels_N = run.val_logits_NK, run.val_labels_N
        if logits_NK is None or labels_N is None:
            raise FittingroomError(
                "--at chooses a threshold on validation images, and there are none; set data.val_fraction"
            )
        if fold is not None and run.val_folds_N is not None:
            mine = run.val_folds_N == fold
            logits_NK, labels_N = logits_NK[mine], labels_N[mine]
        return self.aim.threshold(log_odds(logits_NK, c), labels_N == c, self.classes[c])


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


def _between(levels: np.ndarray, at: int) -> float:
    """A threshold between the levels before and at `at`, so that a score a little off falls on its own side."""
    if at == len(levels):
        return float(np.nextafter(levels[-1], np.inf))
    middle = levels[at] if at == 0 else (levels[at - 1] + levels[at]) / 2
    return float(
        middle if at and middle > levels[at - 1] else levels[at]
    )  # between neighbours among numbers there is none
