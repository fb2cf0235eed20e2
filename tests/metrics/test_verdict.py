"""The paired difference: against statsmodels and simulation; its words never contradict its numbers."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import Run, two_classes
from scipy import stats
from statsmodels.stats.multitest import multipletests

from fittingroom.metrics.crossed import _shares, detectable, estimate, half_width, holm, p_value, power, seeds_needed
from fittingroom.metrics.metric import METRICS
from fittingroom.metrics.verdict import Comparison, Question, compare
from fittingroom.metrics.words import human, pair_sentence
from fittingroom.spec.errors import FittingroomError


def simulated(
    rng: np.random.Generator, s: int, n: int, mean: float, seed_sd: float, image_sd: float, rest_sd: float
) -> np.ndarray:
    return (
        mean
        + seed_sd * rng.normal(size=(s, 1))
        + image_sd * rng.normal(size=(1, n))
        + rest_sd * rng.normal(size=(s, n))
    )


def test_components_against_statsmodels() -> None:
    """The mean squares are those of a two-way layout fitted by least squares."""
    import pandas as pd
    import statsmodels.formula.api as smf
    from statsmodels.stats.anova import anova_lm

    x = simulated(np.random.default_rng(0), 4, 25, 0.2, 0.3, 0.5, 0.4)
    frame = pd.DataFrame(
        {"x": x.reshape(-1), "seed": np.repeat(range(4), 25).astype(str), "image": np.tile(range(25), 4).astype(str)}
    )
    table = anova_lm(smf.ols("x ~ seed + image", frame).fit())
    ms = {name: table.loc[name, "mean_sq"] for name in ("seed", "image", "Residual")}
    e = estimate(x)
    assert e.var_rest == pytest.approx(ms["Residual"])
    assert e.var_seed == pytest.approx((ms["seed"] - ms["Residual"]) / 25)
    assert e.var_image == pytest.approx((ms["image"] - ms["Residual"]) / 4)
    assert e.error**2 == pytest.approx((ms["seed"] + ms["image"] - ms["Residual"]) / 100)


def test_one_seed_is_the_t_test_over_images() -> None:
    x = np.random.default_rng(0).normal(0.1, 1, (1, 50))
    e, theirs = estimate(x), stats.ttest_1samp(x[0], 0)
    assert e.p == pytest.approx(theirs.pvalue) and e.interval() == pytest.approx(theirs.confidence_interval(0.95))


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("components", [(0.004, 0.25, 0.2), (0.001, 0.3, 0.1), (0.01, 0.1, 0.2), (0.05, 0.1, 0.2)])
def test_intervals_cover_the_truth_as_often_as_they_say(seeds: int, components: tuple[float, float, float]) -> None:
    """1,500 simulated studies: at least 95 % (less three standard errors) of the intervals hold the true mean."""
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(1500):
        low, high = estimate(simulated(rng, seeds, 400, 0.3, *components)).interval()
        hits += low <= 0.3 <= high
    assert hits / 1500 > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 1500)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_tail_that_holm_reads_is_honest(seeds: int) -> None:
    """The first of ten pairs is tested at 0.5 %; by mean squares drawn from their distributions, 100,000 studies."""
    rng = np.random.default_rng(0)
    n, seed, image, rest = 10_000, 0.004**2, 0.15**2, 0.2**2
    by_seed = (n * seed + rest) * rng.chisquare(seeds - 1, 100_000) / (seeds - 1)
    by_image = (seeds * image + rest) * rng.chisquare(n - 1, 100_000) / (n - 1)
    mean = rng.normal(size=100_000) * np.sqrt(seed / seeds + image / n + rest / (seeds * n))
    half = half_width(_shares(by_seed, by_image, rest, seeds, n, n - 1), 0.995)
    assert 100 * np.mean(np.abs(mean) > half) < 0.8  # Satterthwaite's rule gives 4.6, 1.9, 0.9


@settings(max_examples=50)
@given(st.floats(1e-6, 1), st.floats(1e-6, 1), st.integers(1, 9), st.floats(0.01, 5))
def test_p_value_and_interval_agree(by_seed: float, by_image: float, df: int, away: float) -> None:
    shares = [(by_seed, df), (by_image, 5000)]
    mean = away * np.sqrt(by_seed + by_image)
    p = p_value(mean, shares)
    assert half_width(shares, 1 - p) == pytest.approx(mean, rel=1e-4) or p < 1e-9
    alone = stats.t.sf(away, df) * 2, stats.t.sf(away, 5000) * 2
    assert min(alone) * 0.999 <= p <= max(alone) * 1.001 + 1e-12  # between the two quantiles that it averages


def test_a_constant_difference_is_certain_and_none_is_none() -> None:
    assert estimate(np.ones((2, 5))).p == 0 and estimate(np.zeros((2, 5))).p == 1
    assert estimate(np.zeros((2, 5))).interval() == (0, 0)


def test_seeds_needed_is_enough_in_simulation() -> None:
    rng = np.random.default_rng(2)
    e = estimate(simulated(rng, 400, 2000, 0.01, 0.01, 0.02, 0.1))
    needed = seeds_needed(replace(e, seeds=2))
    assert needed is not None and 5 < needed < 40
    power = np.mean([estimate(simulated(rng, needed, 2000, 0.01, 0.01, 0.02, 0.1)).p < 0.05 for _ in range(300)])
    assert 0.7 < power < 0.92


def test_power_is_that_of_the_t_test_where_seeds_are_all_that_varies() -> None:
    """With no variance of images, the paired comparison is a one-sample t test over seeds."""
    from statsmodels.stats.power import TTestPower

    e = replace(estimate(simulated(np.random.default_rng(0), 5, 200, 0, 0.01, 0, 0)), var_image=0.0, var_rest=0.0)
    size = 1.2 * np.sqrt(e.var_seed)
    for s in (3, 5, 10):  # theirs counts the wrong tail, too
        assert power(e, size, s) == pytest.approx(TTestPower().power(1.2, s, 0.05), abs=0.01)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_detectable_difference_is_detected_as_often_as_promised(seeds: int) -> None:
    rng = np.random.default_rng(3)
    truth = {"var_seed": 0.002**2, "var_image": 0.1**2, "var_rest": 0.15**2}
    e = replace(estimate(simulated(rng, seeds, 1500, 0, 0.002, 0.1, 0.15)), **truth)
    size = detectable(e)
    found = [estimate(simulated(rng, seeds, 1500, size, 0.002, 0.1, 0.15)) for _ in range(600)]
    assert np.mean([f.p < 0.05 and f.mean > 0 for f in found]) == pytest.approx(0.8, abs=0.06)


def test_a_small_test_set_is_the_limit() -> None:
    assert seeds_needed(estimate(simulated(np.random.default_rng(0), 5, 100, 0.005, 0.001, 0.5, 0.1))) is None


@pytest.mark.slow
@settings(max_examples=30)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_statsmodels(p_values: list[float]) -> None:
    ours = holm(p_values)
    rejected, adjusted, *_ = multipletests(p_values, method="holm")
    assert np.allclose([p for p, _ in ours], adjusted)
    for (p, level), raw in zip(ours, p_values, strict=True):  # an interval at `level` holds zero ⟺ raw > 1 - level
        assert (p < 0.05) == (raw < 1 - level) or np.isclose(raw, 1 - level)
    assert [p < 0.05 for p, _ in ours] == list(rejected) or any(np.isclose(a, 0.05) for a in adjusted)


# ---------------------------------------------------------------- from runs to words


def study(rates: dict[str, float], seeds: int, n: int, seed: int = 0) -> Comparison:
    rng = np.random.default_rng(seed)
    hard = rng.random(n)
    return compare(
        "toy",
        [
            Run(name, s, *two_classes(hard + 0.1 * rng.normal(size=n) < rate))
            for name, rate in rates.items()
            for s in range(seeds)
        ],
    )


def test_a_clear_winner_is_named_with_its_margin() -> None:
    c = study({"good": 0.95, "bad": 0.7}, 3, 4000)
    assert c.rows[0].recipe == "good" and c.pairs[0].resolved and c.pairs[0].low > 0.2
    assert c.verdict.startswith("good is best on toy") and "a real difference" in c.verdict
    p = c.pairs[0]
    assert p.difference == pytest.approx(c.rows[0].test - c.rows[1].test)
    assert (p.only_better - p.only_worse) / p.images == pytest.approx(p.difference)


def test_unequal_seeds_are_paired_where_they_can_be_and_never_give_a_negative_margin() -> None:
    rng = np.random.default_rng(0)
    runs = [Run("a", s, *two_classes(rng.random(2000) < (0.99 if s > 1 else 0.80))) for s in range(4)]
    runs += [Run("b", s, *two_classes(rng.random(2000) < 0.85)) for s in range(2)]
    c = compare("toy", runs)
    assert c.rows[0].recipe == "a"  # over all its seeds, but on the shared ones b is ahead
    assert (c.pairs[0].better, c.pairs[0].seeds) == ("b", 2) and c.pairs[0].difference > 0
    assert not c.verdict.startswith("a is best")


def test_more_seeds_are_asked_for_than_there_are() -> None:
    for seed in range(30):
        for p in study({"a": 0.9, "b": 0.895, "c": 0.893}, 3, 3000, seed).pairs:
            assert p.seeds_needed is None or p.seeds_needed > 3


def test_equals_are_not_told_apart() -> None:
    c = study({"a": 0.9, "b": 0.9}, 3, 2000)
    assert not c.pairs[0].resolved and "No winner is established" in c.verdict
    assert c.pairs[0].limit in ("seeds", "test set")


def test_one_seed_never_makes_a_winner() -> None:
    c = study({"good": 0.95, "bad": 0.6}, 1, 5000)
    assert (
        not c.pairs[0].resolved
        and c.pairs[0].limit == "seeds"
        and "--seeds 3" in c.verdict
        and c.rows[0].score_sd is None
    )


def test_one_recipe_gets_a_score_and_an_interval() -> None:
    c = study({"only": 0.9}, 3, 1000)
    assert not c.pairs and "95 % interval" in c.verdict


@settings(max_examples=40)
@given(st.lists(st.floats(0.5, 0.95), min_size=2, max_size=4), st.integers(1, 4), st.integers(0, 999))
def test_words_and_intervals_never_contradict_each_other(rates: list[float], seeds: int, seed: int) -> None:
    c = study({f"r{i}": rate for i, rate in enumerate(rates)}, seeds, 300, seed)
    assert all(a.score >= b.score for a, b in pairwise(c.rows))
    for p in c.pairs:
        assert p.difference >= 0 and p.low <= p.difference <= p.high
        assert p.resolved == (seeds > 1 and p.low > 0) or np.isclose(p.low, 0)
        assert (p.limit == "") == p.resolved
    first = c.rows[0].recipe
    with_first = [p for p in c.pairs if first in (p.better, p.worse)]
    assert c.sentences[0].startswith(f"{first} is best") == all(
        p.outcome == "better" and p.better == first for p in with_first
    )
    undecided = all(p.outcome == "undecided" for p in with_first)
    assert ("No winner" in c.verdict) == (undecided and seeds > 1) and ("with other seeds" in c.sentences[0]) == (
        seeds == 1
    )


def test_nothing_to_judge_is_a_message() -> None:
    with pytest.raises(FittingroomError, match="no finished run"):
        compare("toy", [])


def test_large_counts_read_well() -> None:
    assert [human(n) for n in (7, 1234, 11_172_810, 2.1e9)] == ["7", "1.23 k", "11.2 M", "2.1 G"]


@pytest.mark.parametrize("name", ["balanced_accuracy", "macro_f1", "log_loss", "brier"])
def test_another_metric_can_decide(name: str) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 2000)
    runs = []
    for recipe, strength in {"good": 2.5, "bad": 1.5}.items():
        for seed in range(3):
            logits = rng.normal(size=(2000, 5)) + strength * np.eye(5)[labels]
            runs.append(Run(recipe, seed, logits, labels))
    c = compare("toy", runs, Question(name))
    by = METRICS[name]
    assert (c.metric, c.rows[0].recipe, c.pairs[0].better) == (name, "good", "good") and c.pairs[0].resolved
    expected = np.mean([by.score(r.logits_NK, r.labels_N) for r in runs[:3]])
    assert c.rows[0].score == pytest.approx(expected) and c.rows[0].score_low < expected < c.rows[0].score_high
    assert c.pairs[0].difference == pytest.approx(abs(c.rows[0].score - c.rows[1].score))
    assert by.title in c.verdict and by.show(expected) in c.table[1]


def test_one_pair_of_runs_is_described_by_mcnemar_and_several_seeds_are_not() -> None:
    one = study({"a": 0.9, "b": 0.8}, 1, 1000).pairs[0]
    assert one.mcnemar and one.mcnemar.only_first == one.only_better and one.mcnemar.mid_p < 0.001
    assert "these two runs only" in pair_sentence(one) and one.detectable is None
    assert study({"a": 0.9, "b": 0.8}, 2, 1000).pairs[0].mcnemar is None


def test_an_open_question_says_what_the_seeds_can_show_and_what_half_a_point_takes() -> None:
    p = study({"a": 0.9, "b": 0.899}, 3, 4000).pairs[0]
    assert not p.resolved and p.detectable and p.detectable > p.difference
    assert "3 seeds show a difference from" in pair_sentence(p) and "0.50 points" in pair_sentence(p)


def test_a_model_that_is_no_better_than_the_largest_class_is_called_so() -> None:
    labels_N = np.repeat([0, 1], [140, 60])
    rng = np.random.default_rng(0)
    lazy = [Run("lazy", s, np.tile([2.0, 1.0], (200, 1)), labels_N) for s in range(2)]
    wrong = [Run("wrong", s, np.eye(2)[rng.integers(0, 2, 200)], labels_N) for s in range(5)]
    good = [Run("good", s, np.eye(2)[labels_N], labels_N) for s in range(2)]
    found = compare("x", [*lazy, *wrong, *good])
    assert found.yardstick == 0.7 and found.model_dump(mode="json")["yardstick"] == 0.7
    assert (
        "As far as can be told, lazy is no better than always naming the largest class, which gets 70.00 %."
        in found.sentences
    )
    assert "wrong is worse than always naming the largest class, which gets 70.00 %." in found.sentences
    assert not any(sentence.startswith("good is no") for sentence in found.sentences)
    assert compare("x", [*lazy, *good], Question("balanced_accuracy")).yardstick == 0.5
    assert compare("x", [*lazy, *good], Question("log_loss")).yardstick is None


def test_a_metric_that_cannot_tell_models_apart_is_refused() -> None:
    run = Run("a", 0, np.eye(3)[[0, 1, 2]], np.array([0, 1, 2]))
    with pytest.raises(
        FittingroomError, match="top_3_accuracy of 3 classes is the same for every model; it takes 4 classes"
    ):
        compare("x", [run], Question("top_3_accuracy"))
    assert compare("x", [run], Question("top_2_accuracy")).rows[0].score == 1


def test_few_test_images_propose_a_cross_validation() -> None:
    few, many = (Run("a", 0, np.eye(2)[np.arange(n) % 2], np.arange(n) % 2) for n in (199, 200))
    assert "199 test images are few: cross-validation" in compare("x", [few]).verdict
    assert "are few" not in compare("x", [many]).verdict and "are few" not in compare("x", [few], on="held-out").verdict
