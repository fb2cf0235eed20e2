"""The same for practical purposes: two one-sided tests, against statsmodels and simulation; and its words."""

from __future__ import annotations

import numpy as np
import pytest
from made_up import Run, two_classes
from statsmodels.stats.weightstats import DescrStatsW

from fittingroom.metrics.crossed import Estimate, estimate
from fittingroom.metrics.effects import effects
from fittingroom.metrics.metric import METRICS
from fittingroom.metrics.sameness import margin, power_of_same, seeds_for_same
from fittingroom.metrics.verdict import Comparison, Question, compare
from fittingroom.spec.errors import FittingroomError

N = 2000


def drawn(
    rng: np.random.Generator, seeds: int, mean: float, seed_sd: float = 0.004, image_sd: float = 0.05
) -> Estimate:
    return estimate(
        mean
        + seed_sd * rng.normal(size=(seeds, 1))
        + image_sd * rng.normal(size=(1, N))
        + rng.normal(0, 0.1, (seeds, N))
    )


def lies_within(e: Estimate, margin: float) -> bool:
    low, high = e.interval()
    return -margin < low and high < margin


def test_it_is_two_one_sided_tests() -> None:
    """Of one seed our interval is that of a t-test over images."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        x = rng.normal(0, 1, (1, 40)) + rng.normal(0, 0.2)
        p = DescrStatsW(x[0]).ttost_mean(-0.5, 0.5)[0]
        assert lies_within(estimate(x), 0.5) == (p < 0.025)


@pytest.mark.parametrize("seeds", [2, 3, 6])
def test_what_is_as_different_as_the_margin_is_seldom_called_the_same(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    assert np.mean([lies_within(drawn(rng, seeds, 0.02), 0.02) for _ in range(400)]) <= 0.05


def test_equals_are_found_as_often_as_promised() -> None:
    rng = np.random.default_rng(0)
    typical = Estimate(0.0, (), 1.0, 4, N, 0.004**2, 0.05**2, 0.1**2, df=N - 1)
    assert seeds_for_same(typical, 0.0001) is None  # finer than these images can show
    wanted = seeds_for_same(typical, 0.01)
    assert wanted is not None and power_of_same(typical, 0.01, wanted - 1) < 0.8 <= power_of_same(typical, 0.01, wanted)
    found = np.mean([lies_within(drawn(rng, wanted, 0.0), 0.01) for _ in range(600)])
    assert abs(found - power_of_same(typical, 0.01, wanted)) < 0.05


def test_a_margin_is_positive_and_in_what_is_shown() -> None:
    assert margin(None, "fashion-mnist", METRICS["accuracy"]) == 0.003
    assert margin(None, "toy", METRICS["log_loss"]) is None and margin(0.02, "toy", METRICS["log_loss"]) == 0.02
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(FittingroomError, match="same: got"):
            Question(same=wrong)


def alike(lead: float = 0.0, seeds: int = 4, same: float | None = None, against: str = "") -> Comparison:
    """Two recipes that get the same images right but for the share `lead`, which one of them gets besides."""
    rng = np.random.default_rng(0)
    hard_N = rng.random(4000)
    runs = [
        Run(name, s, *two_classes(hard_N + 0.002 * rng.normal(size=4000) < rate))
        for name, rate in (("a", 0.9 + lead), ("b", 0.9))
        for s in range(seeds)
    ]
    return compare("toy", runs, Question(same=same, against=against))


def test_the_same_is_said_where_it_is_known() -> None:
    c = alike()
    assert c.pairs[0].outcome == "same" and not c.pairs[0].resolved and c.pairs[0].margin == 0.01
    assert c.sentences[0].endswith("the same for practical purposes (± 1 point).") and " is the same" in c.sentences[0]
    assert "differ by" in c.sentences[1] and "No winner" not in c.verdict


def test_a_real_difference_that_does_not_matter_is_both() -> None:
    c = alike(0.004)
    assert c.pairs[0].resolved and c.pairs[0].outcome == "same"
    assert "a is ahead of b for sure, by" in c.verdict and "is best" not in c.verdict
    assert alike(0.004, same=0.1).pairs[0].outcome == "better"


def test_what_is_not_known_is_neither_and_the_way_to_it_is_told() -> None:
    c = alike(seeds=2, same=0.1)
    assert c.pairs[0].outcome == "undecided" and c.pairs[0].seeds_for_same and c.pairs[0].seeds_for_same > 2
    assert "would show that they are the same, if they are (± 0.1 points)" in c.verdict
    assert alike(seeds=1).pairs[0].outcome == "undecided"


def test_a_part_that_does_nothing_is_told_so() -> None:
    c = alike(against="a")
    rng = np.random.default_rng(0)
    runs = {name: [Run(name, s, *two_classes(rng.random(50) < 0.9)) for s in range(4)] for name in "ab"}
    [effect] = effects("a", {"b": "norm"}, c, runs)
    assert effect.same and effect.text.startswith("norm does nothing here that matters (± 1 point): ")
