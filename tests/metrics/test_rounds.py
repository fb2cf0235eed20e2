"""Seeds in rounds: the levels against simulation, the error rate under looking, and that going through it again decides the same."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import Run, two_classes
from scipy import stats

from fittingroom.metrics.crossed import estimate
from fittingroom.metrics.rounds import FIRST, PARTS, SPENT, look, nominal, rounds
from fittingroom.metrics.verdict import Question, compare
from fittingroom.spec.errors import FittingroomError

N = 500


@pytest.mark.parametrize("part", [0.0, 0.125, 2.0])
def test_looks_at_these_levels_err_as_often_as_is_shared_out(part: float) -> None:
    """The mean of s seeds is the images' luck, the same at every look, and that of the seeds."""
    rng, looks = np.random.default_rng(0), np.array(rounds(32))
    of_images, of_seeds = math.sqrt(part) * rng.normal(size=(40_000, 1)), rng.normal(size=(40_000, 32)).cumsum(1)
    means = of_images + of_seeds[:, looks - 1] / looks
    crossed = np.abs(means) / np.sqrt(part + 1 / looks) > stats.norm.isf(np.array(nominal(0.05, 32, part)) / 2)
    ever = crossed.any(1).mean()
    information = (part + 1 / 32) / (part + 1 / looks[:6])
    assert abs(ever - 0.05) < 0.004 and abs(crossed[:, :6].any(1).mean() - 0.05 * information[-1]) < 0.004


@given(st.integers(FIRST, 200))
def test_rounds_go_from_the_first_to_the_last(most: int) -> None:
    found = rounds(most)
    assert found[0] == FIRST and found[-1] == most and all(a < b for a, b in pairwise(found)) and len(found) < 24


def drawn(rng: np.random.Generator, seeds: int, lead: float = 0.0, seed_sd: float = 0.006) -> dict[str, np.ndarray]:
    """Which images two recipes get right, by seed: images are harder and easier, seeds luckier and less."""
    hard_N = rng.normal(size=N)
    return {
        name: (hard_N + rng.normal(size=(seeds, N)) < 1.2 + 8 * (more + seed_sd * rng.normal(size=(seeds, 1)))) * 1.0
        for name, more in (("a", lead), ("b", 0.0))
    }


def test_equals_are_seldom_called_different_however_often_it_is_looked() -> None:
    rng, n = np.random.default_rng(0), 300
    studies = [drawn(rng, 32) for _ in range(n)]
    wrong = sum(look([("a", "b")], values)[0][0].resolved for values in studies)
    peeked = sum(any(estimate(values["a"][:s] - values["b"][:s]).p < 0.05 for s in rounds(32)) for values in studies)
    assert wrong <= 0.05 * n < peeked


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 999), st.integers(FIRST, 20), st.floats(0, 0.02))
def test_going_through_it_again_decides_the_same(seed: int, seeds: int, lead: float) -> None:
    """With seeds one round more, nothing that was decided before is decided otherwise."""
    values = drawn(np.random.default_rng(seed), 32, lead)
    [fewer], then = look([("a", "b")], {name: v[:seeds] for name, v in values.items()}, most=32, within=0.01)
    [all_], now = look([("a", "b")], values, most=32, within=0.01)
    assert then.seeds <= seeds and (then.next is None) == (not then.open)
    if not then.open:
        assert (fewer.resolved, fewer.low, fewer.high, then.seeds) == (all_.resolved, all_.low, all_.high, now.seeds)
    else:
        assert then.next in rounds(32) and not fewer.resolved
    assert not all_.resolved or all_.low > 0


def test_a_beaten_recipe_gets_no_more_seeds() -> None:
    rng = np.random.default_rng(0)
    values = drawn(rng, FIRST) | {"bad": (rng.random((FIRST, N)) < 0.3) * 1.0}
    pairs = [("a", "b"), ("a", "bad"), ("b", "bad")]
    judged, looked = look(pairs, values)
    assert [j.resolved for j in judged] == [False, True, True] and looked.open == (("a", "b"),) and looked.next == 5
    assert look(pairs, values | drawn(rng, 6))[1].seeds == 6  # the beaten one stays where it was


def test_what_no_seeds_would_settle_is_given_up() -> None:
    """Of the same answers by every seed, more seeds say nothing more."""
    rng = np.random.default_rng(1)
    values = {name: np.repeat((rng.random((1, 60)) < 0.8) * 1.0, FIRST, 0) for name in "ab"}
    [judged], looked = look([("a", "b")], values, within=0.001)
    assert not judged.resolved and looked.hopeless == (("a", "b"),) and looked.next is None and not looked.open


def test_the_verdict_says_how_far_it_went() -> None:
    rng = np.random.default_rng(0)
    values = drawn(rng, 7, 0.02)
    runs = [Run(name, s, *two_classes(v[s])) for name, v in values.items() for s in range(7)]
    for n, words in ((3, "too few seeds for a first look (4)"), (4, "4 of at most 32; more may settle a against b")):
        assert words in compare("toy", [r for r in runs if r.seed < n], Question(most=32)).verdict
    c = compare("toy", runs, Question(most=32))
    assert c.looked and c.asked == {"most": 32} and "The intervals allow for every look." in c.verdict
    assert c.pairs[0].level > 1 - SPENT  # wider than of a fixed plan
    # another question, but it was looked as often
    assert compare("toy", runs, Question("log_loss").or_else(c.asked)).looked
    early = compare("toy", [r for r in runs if r.seed < 3], Question(same=50.0, most=32))
    assert early.pairs[0].outcome == "undecided"
    with pytest.raises(FittingroomError, match="are 0, 1, 2"):
        compare("toy", [r for r in runs if r.seed > 0], Question(most=32))


def test_a_lucky_loser_does_not_come_first() -> None:
    """One that is beaten with four seeds may have a higher mean than one that went on."""
    rng = np.random.default_rng(0)
    lucky = [0.0, 0.0, 0.0, 0.0, -0.2, -0.2, -0.2]
    hard_N = rng.random(4000)

    def run(name: str, seed: int, rate: float) -> Run:
        return Run(name, seed, *two_classes(hard_N + 0.01 * rng.normal(size=4000) < rate))

    runs = [run(name, s, 0.95 + e) for name in ("good", "near") for s, e in enumerate(lucky)]
    c = compare("toy", [*runs, *(run("loser", s, 0.93) for s in range(4))], Question(same=0.03, most=32))
    assert c.rows[-1].recipe == "loser" and c.rows[-1].score > c.rows[0].score and "loser leads" not in c.verdict


def test_what_was_asked_before_is_kept_where_nothing_else_is_said() -> None:
    asked = Question("log_loss", same=0.1, most=16).asked
    assert Question().or_else(asked) == Question("log_loss", same=0.1, most=16)
    assert Question(effect=0.01).or_else(asked) == Question("log_loss", effect=0.01, same=0.1, most=16)
    assert Question("accuracy").or_else(asked) == Question("accuracy", most=16)
    assert Question(same=0.5).or_else({"metric": "log_loss", "effect": 0.2}) == Question("log_loss", 0.2, same=0.5)
    with pytest.raises(FittingroomError, match="settled by its own margin"):
        Question(same=0.5).or_else(asked)
    assert Question(most=8).or_else({}).most == 8


def test_what_does_not_go_together_is_told() -> None:
    from fittingroom.questions.settle import until_settled

    for wrong, told in (
        (("soon",), '"settled"'),
        (("settled", 3), "another"),
        (("", None, 9), "go with"),
        (("settled", None, 3), "first look is after 4"),
        (("settled", None, None, -1.0), "above 0"),
    ):
        with pytest.raises(FittingroomError, match=told):
            until_settled(Question(), *wrong)  # type: ignore[arg-type]
    assert until_settled(Question(), "settled").most == 32 and PARTS[0] == 0
