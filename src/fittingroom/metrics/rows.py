"""What a comparison consists of: a row for each recipe, a pair for each two of them. Numbers only."""

from __future__ import annotations

from typing import Literal

from pydantic import computed_field

from fittingroom.metrics.luck import Luck
from fittingroom.metrics.mcnemar import McNemar
from fittingroom.spec.records import Cost, Finding, Record


class Row(Record):
    """One recipe on one data set. Accuracies are fractions, intervals 95 %; None where there is nothing to say."""

    recipe: str
    seeds: tuple[int, ...]
    score: float  # mean over the seeds, of the metric that was asked for
    scores: tuple[float, ...] = ()  # of each seed
    score_sd: float | None  # between seeds; None with one
    score_low: float
    score_high: float
    design_effect: float | None = None  # times the variance of as many images that are alone; None where they are
    test: float  # accuracy, whatever decides
    balanced: float | None  # mean recall of the classes, where the test classes differ much in size
    train: float
    val: float | None
    ece: float
    finding: Finding | None = None  # where one class is looked for
    test_averaged: float | None
    parameters: int
    flops: int
    epochs: float
    train_s: float
    at_once: int  # the most runs that shared the machine while train_s was measured
    threads: int
    cost: Cost | None  # the last that was measured
    luck: Luck | None = None  # of the seeds: what of their spread would come again; None with one, and for folds


class Pair(Record):
    """`better` against `worse` on the same images: by how much the score of `better` is better (≥ 0), in the metric."""

    better: str
    worse: str
    difference: float
    low: float
    high: float
    level: float  # of the interval: 0.95 for one pair, more for several
    p: float  # adjusted for the number of pairs, as the interval is: see `crossed.holm`
    resolved: bool
    only_better: float  # test images that only `better` gets right, mean over seeds
    only_worse: float
    seeds: int
    images: int
    groups: int = 0  # that the images belong to; 0: each is alone
    folds: int = 0  # of a cross-validation: every training counts, and what a training set brings
    images_needed: int | None = None  # of a cross-validation, in all, for 80 % power; None: resolved, or no difference
    groups_needed: int | None = None  # in all, with these seeds, for 80 % power; None: resolved, no groups, or far more
    seeds_needed: int | None  # for 80 % power; None: resolved already, or the test set is the limit
    limit: str  # "", "seeds", "validation images" or "test set": what stands in the way
    detectable: float | None  # the least difference that these seeds show with 80 % power; None with one seed
    effect: float  # the difference that was asked about
    seeds_for_effect: int | None  # to show `effect` with 80 % power; None: one seed, or the test set is the limit
    mcnemar: McNemar | None  # of a pair of single runs: about these weights only
    margin: float | None = None  # a difference that is smaller than that makes none; None: nobody has said
    same: bool = False  # whether the interval lies within ± `margin`
    seeds_for_same: int | None = None  # to show with 80 % power that equals are the same; None: as `seeds_needed`
    images_for_same: int | None = None  # that a cross-validation needs for it; None: of none, or they are

    @computed_field  # type: ignore[prop-decorator]
    @property
    def outcome(self) -> Literal["better", "same", "undecided"]:
        """What is known: `better` is better (perhaps by less than matters), both are the same in practice, or neither."""
        return "same" if self.same else "better" if self.resolved else "undecided"

    def other(self, recipe: str) -> str:
        """The one that `recipe` is compared with."""
        return self.worse if recipe == self.better else self.better
