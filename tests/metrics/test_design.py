"""What images share, groups or folds: the interval knows it, against oracles and studies whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from made_up import Run

from fittingroom.metrics.classes import class_differences, most_confused
from fittingroom.metrics.crossed import _deserved, estimate, groups_needed, power
from fittingroom.metrics.intervals import proportion, wilson
from fittingroom.metrics.pairs import judge_pairs
from fittingroom.metrics.verdict import compare
from fittingroom.spec.design import ALONE, Design


def drawn(rng: np.random.Generator, size_G: np.ndarray, rho: float, seeds: int = 3) -> tuple[np.ndarray, Design]:
    """Differences (S,N) of equals, of which a share `rho` belongs to the groups; and the groups."""
    groups_N = np.repeat(np.arange(len(size_G)), size_G)
    n, g = len(groups_N), len(size_G)

    def noise(rows: int) -> np.ndarray:
        of_group = rng.normal(size=(rows, g))[:, groups_N]
        return np.asarray(np.sqrt(rho) * of_group + np.sqrt(1 - rho) * rng.normal(size=(rows, n)))

    return noise(1) + noise(seeds), Design(groups_N)


@given(st.integers(2, 12), st.integers(2, 6), st.integers(1, 4), st.integers(0, 10))
def test_equal_groups_are_their_means(g: int, size: int, seeds: int, seed: int) -> None:
    x_SN, design = drawn(np.random.default_rng(seed), np.full(g, size), 0.5, seeds)
    mine, of_means = estimate(x_SN, design), estimate(x_SN.reshape(seeds, g, size).mean(2))
    assert mine.groups == g and mine.images == g * size and mine.df == pytest.approx(g - 1)
    np.testing.assert_allclose([mine.mean, *mine.interval(), mine.p], [of_means.mean, *of_means.interval(), of_means.p])


def test_alone_images_are_what_they_were() -> None:
    x_SN = np.random.default_rng(0).normal(size=(3, 50))
    alone, plain = estimate(x_SN, Design(np.random.default_rng(1).permutation(50))), estimate(x_SN)
    assert alone == plain and plain.groups == 0 and plain.design_effect == 1


def test_one_seed_is_a_cluster_robust_mean() -> None:
    """Of groups of one size, where every such estimator is the same: statsmodels' with its correction for few groups."""
    x_SN, design = drawn(np.random.default_rng(3), np.full(12, 5), 0.6, 1)
    fit = sm.OLS(x_SN[0], np.ones(60)).fit(cov_type="cluster", cov_kwds={"groups": design.groups_N})
    assert estimate(x_SN, design).error == pytest.approx(float(fit.bse[0]))


@pytest.mark.parametrize("rho", [0.0, 0.8])
@pytest.mark.parametrize("sizes", ["equal", "unequal"])
def test_the_variance_is_not_too_small_and_equals_are_not_called_different(sizes: str, rho: float) -> None:
    rng = np.random.default_rng(5)
    size_G = np.full(10, 12) if sizes == "equal" else np.array([40, 30, 20, 10, 5, 5, 4, 3, 2, 1])
    found = [estimate(*drawn(rng, size_G, rho)) for _ in range(400)]
    true = np.var([e.mean for e in found])
    claimed = np.mean([e.error**2 for e in found])
    assert claimed > 0.9 * true and claimed < (1.3 if rho == 0.8 or sizes == "equal" else 2.0) * true
    assert np.mean([e.p < 0.05 for e in found]) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 400)
    if rho:  # what is said of them as if they were independent
        careless = [estimate(drawn(rng, size_G, rho)[0]) for _ in range(200)]
        assert np.mean([e.p < 0.05 for e in careless]) > 0.08


def test_few_unlike_groups_deserve_fewer_degrees_of_freedom() -> None:
    rng = np.random.default_rng(0)
    equal, unequal = (
        estimate(*drawn(rng, size_G, 0.5)) for size_G in (np.full(8, 10), np.array([50, 10, 5, 5, 4, 3, 2, 1]))
    )
    assert equal.df == pytest.approx(7) and 1 <= unequal.df < 4 and unequal.design_effect > 1


@given(st.lists(st.integers(1, 200), min_size=2, max_size=12))
def test_the_degrees_of_freedom_are_those_of_the_quadratic_form(sizes: list[int]) -> None:
    share_G = np.array(sizes) / sum(sizes)
    kept_G = 1 - 2 * share_G + share_G @ share_G
    away_GG = np.eye(len(sizes)) - share_G[:, None] @ np.ones((1, len(sizes)))  # takes the mean from sums
    form_GG = away_GG.T @ np.diag(1 / kept_G) @ away_GG

    def df(variance_G: np.ndarray) -> float:
        product = form_GG @ np.diag(variance_G)
        return float(np.trace(product) ** 2 / np.trace(product @ product))

    wanted = max(1.0, min(df(share_G**2), df(share_G), len(sizes) - 1))
    assert _deserved(share_G, kept_G) == pytest.approx(wanted, rel=1e-6)


def test_one_group_says_nothing_of_others() -> None:
    better = np.ones((3, 20)) - 0.1 * np.random.default_rng(0).random((3, 20))
    [judged] = judge_pairs(
        [("a", "b")], {"a": better, "b": 0 * better}, {"a": [0, 1, 2], "b": [0, 1, 2]}, Design(np.zeros(20, int))
    )
    assert judged.estimate.p == 1 and not judged.resolved
    assert estimate(better[:1], Design(np.zeros(20, int))).p == 1


def test_folds_of_two_groups_take_the_spread_of_all() -> None:
    groups_N = np.repeat(np.arange(6), 10)
    alike = np.repeat(np.random.default_rng(0).normal(size=6), 10)[None]
    folded = estimate(alike, Design(groups_N, groups_N % 3))
    assert folded.error == pytest.approx(np.sqrt(1 + 3 / 2) * estimate(alike, Design(groups_N)).error)


def test_more_groups_would_settle_it() -> None:
    x_SN, design = drawn(np.random.default_rng(0), np.full(12, 10), 0.8, 8)
    e = estimate(x_SN + 0.6, design)
    needed = groups_needed(e)
    assert needed and power(e, e.mean, 8, units=needed) >= 0.8 > power(e, e.mean, 8, units=needed - 1)
    assert groups_needed(estimate(x_SN + 0.6)) is None


def test_a_share_is_worth_its_groups() -> None:
    groups_N = np.repeat(np.arange(20), 10)
    together = np.repeat(np.arange(20) % 2 == 0, 10)  # each group all right or all wrong
    low, high = proportion(together, Design(groups_N))
    assert high - low > 0.4 and low < 0.5 < high  # twenty answers, not two hundred
    mixed = np.tile(np.arange(10) % 2 == 0, 20)  # each group half right: no wider than of independent images
    assert proportion(mixed, Design(groups_N))[0] >= wilson(100, 200)[0] - 0.01
    assert proportion(np.ones(200, bool), Design(groups_N))[0] == pytest.approx(wilson(20, 20)[0], abs=0.05)


def runs(name: str, right_SN: np.ndarray, design: Design) -> list[Run]:
    labels_N = np.zeros(right_SN.shape[1], np.int64)
    return [
        Run(name, s, np.stack([right, 1 - right], 1).astype(float), labels_N, design=design)
        for s, right in enumerate(right_SN)
    ]


def test_the_verdict_knows_and_says_it() -> None:
    rng = np.random.default_rng(1)
    groups_N = np.repeat(np.arange(8), 25)
    a = np.repeat(np.arange(8) < 7, 25)[None] & (rng.random((3, 200)) < 0.98)
    b = np.repeat(np.arange(8) < 5, 25)[None] & (rng.random((3, 200)) < 0.98)
    evidence = [*runs("a", a, Design(groups_N)), *runs("b", b, Design(groups_N))]
    found, careless = compare("x", evidence), compare("x", [*runs("a", a, ALONE), *runs("b", b, ALONE)])
    assert careless.pairs[0].resolved and not found.pairs[0].resolved
    assert found.groups == found.pairs[0].groups == 8 and found.rows[0].design_effect > 5
    assert "groups of test images would settle it, no number of seeds would" in found.verdict
    assert "200 test images (of 8 groups)" in found.verdict and "come from 8 groups only" in found.verdict
    assert "design effect" in found.table[0] and "design effect" not in careless.table[0]
    one = compare("x", [run for run in evidence if run.seed == 0])
    assert one.pairs[0].mcnemar is None and "McNemar" not in one.verdict and "one seed cannot tell" in one.verdict


def test_classes_and_confusions_know_it() -> None:
    groups_N, labels_N = np.repeat(np.arange(12), 10), np.repeat(np.arange(12) % 2, 10)
    ahead = np.repeat((np.arange(12) < 4).astype(float), 10)[None].repeat(2, 0)
    told, careless = (class_differences(ahead, 0 * ahead, labels_N, "xy", g) for g in (Design(groups_N), ALONE))
    assert all(a.high - a.low > 2 * (b.high - b.low) for a, b in zip(told, careless, strict=True))
    taken = np.where(ahead[:1] > 0, 1 - labels_N, labels_N).astype(int)
    wide, narrow = (most_confused(taken, labels_N, 2, design=g)[0] for g in (Design(groups_N), ALONE))
    assert wide.share == narrow.share and wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


# ---------------------------------------------------------------- folds


FOLDS = Design(folds_N=np.arange(300) % 5)


def cross_validated(rng: np.random.Generator, seeds: int, luck: float, ahead: float = 0.0) -> np.ndarray:
    """Differences (S,300) of a cross-validation in five parts, with `luck` of the training set that all parts share."""
    images, trainings = 0.35 * rng.normal(size=300), 0.02 * rng.normal(size=(seeds, 5))[:, np.arange(300) % 5]
    return ahead + luck * rng.normal() + images + trainings + 0.2 * rng.normal(size=(seeds, 300))


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_cross_validation_answers_for_its_training_set(seeds: int) -> None:
    rng = np.random.default_rng(0)
    luck = np.sqrt((0.35**2 + 0.2**2 / seeds) / 300 * 1.25)  # as much as Nadeau and Bengio reckon with
    found = [estimate(cross_validated(rng, seeds, luck), FOLDS) for _ in range(500)]
    covered = np.mean([e.interval()[0] <= 0 <= e.interval()[1] for e in found])
    assert 0.93 <= covered <= 0.99
    ideal = 1.96 * np.std([e.mean for e in found])
    assert np.median([np.diff(e.interval())[0] / 2 for e in found]) < 1.3 * ideal
    assert all(e.folds == 5 and e.seeds == seeds for e in found)


def test_parts_drawn_anew_count_their_luck_as_often() -> None:
    """Trainings of five parts, each with luck of its own: drawn three times, the mean holds a third of it."""
    rng, found = np.random.default_rng(0), {1: [], 3: []}
    for _ in range(500):
        fold_RN = np.stack([rng.permutation(300) % 5 for _ in range(3)])
        x_RN = 0.35 * rng.normal(size=300) + np.stack([(0.1 * rng.normal(size=5))[fold_N] for fold_N in fold_RN])
        for repeats, of_repeats in found.items():
            design = Design(folds_N=fold_RN[0], repeats_RN=fold_RN[:repeats] if repeats > 1 else None)
            of_repeats.append(estimate(x_RN[:repeats], design))
    ideal = {repeats: 1.96 * np.std([e.mean for e in of]) for repeats, of in found.items()}
    half = {repeats: np.median([np.diff(e.interval())[0] / 2 for e in of]) for repeats, of in found.items()}
    covered = {repeats: np.mean([e.interval()[0] <= 0 <= e.interval()[1] for e in of]) for repeats, of in found.items()}
    assert ideal[3] < 0.8 * ideal[1] and half[3] < 0.8 * half[1]
    assert min(covered.values()) >= 0.93 and all(half[r] < 1.7 * ideal[r] for r in found)


def test_a_class_that_a_division_has_in_one_part() -> None:
    """Near copies are not divided, so that may be: the other divisions tell what parts do."""
    x_RN, one = np.random.default_rng(0).normal(size=(3, 40)), np.zeros(40, int)
    fold_RN = np.stack([np.arange(40) % 2, one, np.arange(40) // 20])
    found = estimate(x_RN, Design(folds_N=fold_RN[0], repeats_RN=fold_RN))
    assert np.isfinite(found.error) and found.seeds == 3 and found.folds == 2


def test_one_part_in_which_training_failed_widens_it() -> None:
    x_SN = cross_validated(np.random.default_rng(0), 1, 0.0, 0.2)
    fine = estimate(x_SN, FOLDS)
    x_SN[:, np.arange(300) % 5 == 0] -= 1.0
    failed = estimate(x_SN, FOLDS)
    assert fine.p < 0.05 and failed.error > 3 * fine.error and failed.p > 0.3


def test_folds_of_groups_count_groups() -> None:
    groups_N = np.repeat(np.arange(30), 10)
    fold_N = groups_N % 5
    alike = np.repeat(np.random.default_rng(0).normal(size=30), 10)[None]
    grouped, careless = estimate(alike, Design(groups_N, fold_N)), estimate(alike, Design(folds_N=fold_N))
    assert grouped.groups == 30 and grouped.folds == 5 and grouped.error > 2 * careless.error
    assert grouped.design_effect == pytest.approx((grouped.error / careless.error) ** 2)


def test_one_seed_of_five_folds_is_an_answer() -> None:
    rng = np.random.default_rng(0)
    good, bad, near = (rng.random((1, 300)) < share for share in (0.95, 0.6, 0.93))
    evidence = [
        run for name, right in (("good", good), ("bad", bad), ("near", near)) for run in runs(name, right, FOLDS)
    ]
    found = compare("x", evidence, on="held-out")
    by_names = {frozenset((p.better, p.worse)): p for p in found.pairs}
    assert by_names[frozenset(("good", "bad"))].resolved and not by_names[frozenset(("good", "near"))].resolved
    open_ = by_names[frozenset(("good", "near"))]
    assert open_.folds == 5 and open_.images_needed and open_.images_needed > 300 and open_.seeds_needed is None
    assert "pictures would settle it (80 % power); 5 folds of 300 show a difference from" in found.verdict
    assert "one seed cannot tell" not in found.verdict and "McNemar" not in found.verdict
    perfect = compare("x", runs("perfect", np.ones((1, 300), bool), FOLDS), on="held-out").rows[0]
    assert perfect.score_high == 1 and 0.95 < perfect.score_low < 0.985  # three hundred, worth a hundred and thirty
