"""Operating points: thresholds from validation images, against brute force; what comes of them, against scikit-learn."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from fittingroom.metrics.against_rest import log_odds
from fittingroom.metrics.metric import METRICS
from fittingroom.metrics.operating import Aim, Point, Validation, point, read_aim
from fittingroom.metrics.pairs import Bootstrapped
from fittingroom.metrics.verdict import Question, compare
from fittingroom.spec.design import Design
from fittingroom.spec.errors import FittingroomError
from tests.made_up import Run

CLASSES = ("benign", "malignant")


def scored(seed: int, n: int, k: int = 2, lead: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels_N = np.append(np.arange(k), rng.integers(0, k, n))
    return rng.normal(size=(len(labels_N), k)).round(1) + lead * np.eye(k)[labels_N], labels_N


@settings(max_examples=60)
@given(st.integers(0, 9999), st.integers(1, 60), st.floats(0.05, 0.95))
def test_thresholds_are_those_that_a_search_finds(seed: int, n: int, share: float) -> None:
    logits_N2, labels_N = scored(seed, n)
    score_N, own_N = log_odds(logits_N2, 1), labels_N == 1
    every = [*np.unique(score_N), np.nextafter(score_N.max(), np.inf)]

    def rates(t: float) -> tuple[float, float, float]:
        taken_N = score_N >= t
        found, false = (taken_N & own_N).sum(), (taken_N & ~own_N).sum()
        return (
            found / (own_N.sum() + 1),
            (~taken_N & ~own_N).sum() / ((~own_N).sum() + 1),
            found / max(found + false, 1),
        )

    if share * (own_N.sum() + 1) <= own_N.sum():
        t = Aim("sensitivity", share).threshold(Validation(score_N, own_N))
        assert t == max(s for s in every if rates(s)[0] >= share - 1e-12)
    if share * ((~own_N).sum() + 1) <= (~own_N).sum():
        t = Aim("specificity", share).threshold(Validation(score_N, own_N))
        enough = [s for s in every if rates(s)[1] >= share - 1e-12]
        assert ((score_N >= t) == (score_N >= min(enough))).all()
    reached = [s for s in every[:-1] if rates(s)[2] >= share]
    if reached:
        assert Aim("precision", share).threshold(Validation(score_N, own_N)) == min(reached)
    costs = Aim("costs", costs=(10 * share, 1.0))

    def paid(t: float) -> float:
        return float(10 * share * ((score_N < t) & own_N).sum() + ((score_N >= t) & ~own_N).sum())

    assert paid(costs.threshold(Validation(score_N, own_N))) == pytest.approx(min(map(paid, every)))


@settings(max_examples=30)
@given(st.integers(0, 9999), st.integers(3, 12), st.floats(0.2, 0.7))
def test_groups_of_any_size_count_as_one(seed: int, g: int, share: float) -> None:
    """With every image of a group four times over the threshold is the same; and a slow search finds it."""
    rng = np.random.default_rng(seed)
    groups_V = np.append(np.repeat(np.arange(g), rng.integers(1, 6, g)), np.arange(g, 2 * g))
    own_V = groups_V < g
    score_V = rng.normal(size=len(own_V))
    aim = Aim("sensitivity", share)
    found = aim.threshold(Validation(score_V, own_V, groups_V))
    beyond = [sum((score_V[groups_V == i] >= t).mean() for i in range(g)) / (g + 1) for t in score_V]
    assert found == max(t for t, met in zip(score_V, beyond, strict=True) if met >= share - 1e-9)
    four = np.tile(np.arange(len(own_V)), 4)
    assert aim.threshold(Validation(score_V[four], own_V[four], groups_V[four])) == found


def test_one_group_says_nothing_of_others() -> None:
    own_V, groups_V = np.arange(40) < 20, np.where(np.arange(40) < 20, 0, np.arange(40))
    with pytest.raises(
        FittingroomError, match="1 validation groups of images of “x” can promise a sensitivity of at most 50.0 %"
    ):
        Aim("sensitivity", 0.8).threshold(Validation(np.arange(40.0), own_V, groups_V), "x")
    with pytest.raises(FittingroomError, match="come from one group"):
        Aim("costs", costs=(2, 1)).threshold(Validation(np.arange(40.0), own_V, groups_V), "x")


@pytest.mark.parametrize("share", [0.8, 0.95])
def test_other_images_meet_it_on_average(share: float) -> None:
    """The naive threshold, at which these images just meet it, would miss it by as much as one image in twenty."""
    rng = np.random.default_rng(0)
    found, naive = [], []
    for _ in range(2000):
        own = rng.normal(size=20)
        score_N, own_N = np.append(own, rng.normal(size=20) - 1), np.arange(40) < 20
        found.append(rng.normal(size=50) >= Aim("sensitivity", share).threshold(Validation(score_N, own_N)))
        naive.append(rng.normal(size=50) >= np.sort(own)[::-1][math.ceil(share * 20) - 1])
    assert share <= np.mean(found) <= share + 1 / 21 + 0.005
    assert np.mean(naive) < share - 0.01


def test_what_cannot_be_promised_is_refused() -> None:
    own_N = np.arange(40) < 12
    few = "12 validation images of “x” can promise a sensitivity of at most 92.3 %, not 95"
    with pytest.raises(FittingroomError, match=few):
        Aim("sensitivity", 0.95).threshold(Validation(np.arange(40.0), own_N), "x")
    with pytest.raises(
        FittingroomError, match="28 validation images not of “x” can promise a specificity of at most 96.6 %, not 99"
    ):
        Aim("specificity", 0.99).threshold(Validation(np.arange(40.0), own_N), "x")
    with pytest.raises(
        FittingroomError, match="no threshold gives “x” a precision of 90 % on the 40 validation images; ask for less"
    ):
        Aim("precision", 0.9).threshold(Validation(np.arange(40.0), own_N), "x")
    with pytest.raises(FittingroomError, match="of it and of others; there are 0 and 40"):
        Aim("precision", 0.9).threshold(Validation(np.arange(40.0), own_N & False), "x")
    with pytest.raises(FittingroomError, match="12 validation images"):
        point(("y", "x"), at="recall=0.95").refuse_few(own_N.astype(int))


@pytest.mark.parametrize(
    "text",
    [
        "sensitivity",
        "sensitivity=",
        "sensitivity=1.5",
        "precision=nan",
        "costs=3",
        "costs=0:1",
        "costs=inf:1",
        "specificity=0",
    ],
)
def test_what_is_no_aim_is_told(text: str) -> None:
    with pytest.raises(FittingroomError, match=re.escape(f'--at: got "{text}"')):
        read_aim(text)


def test_words_that_do_not_fit_are_told_before_training() -> None:
    with pytest.raises(FittingroomError, match='unknown operating point "sensitvity"; nearest: "sensitivity"'):
        Question(at="sensitvity=0.9")
    with pytest.raises(FittingroomError, match="roc_auc is the same at every threshold"):
        Question("roc_auc", at="sensitivity=0.9")
    with pytest.raises(FittingroomError, match="cost needs what a miss"):
        Question("cost")
    with pytest.raises(FittingroomError, match='unknown class "malign"; nearest: "malignant"'):
        Question(positive="malign").point(CLASSES)
    assert Question(at="costs=10:1").by.name == "cost" and Question("recall").by.name == "sensitivity"
    assert Question().or_else(Question("recall", at="costs=2:1").asked) == Question("recall", at="costs=2:1")
    assert Question("log_loss").or_else({"metric": "brier", "positive": "x"}) == Question("log_loss", positive="x")


@settings(max_examples=30)
@given(st.integers(0, 9999), st.integers(20, 80), st.integers(2, 4), st.booleans())
def test_scores_at_a_point_are_scikit_learns(seed: int, n: int, k: int, aimed: bool) -> None:
    logits_NK, labels_N = scored(seed, n, k)
    run = Run("a", 0, logits_NK, labels_N)
    c = k - 1
    at = Point(tuple("abcd"[:k]), c, Aim("costs", costs=(3, 1)) if aimed else None)
    if not 0 < (labels_N[::2] == c).sum() < len(labels_N[::2]):
        return
    taken_N = log_odds(logits_NK, c) >= at.threshold(run, c) if aimed else logits_NK.argmax(1) == c
    own_N = labels_N == c
    oracle = {
        "sensitivity": sklearn.metrics.recall_score(own_N, taken_N),
        "specificity": sklearn.metrics.recall_score(~own_N, ~taken_N),
        "precision": sklearn.metrics.precision_score(own_N, taken_N, zero_division=0),
        "accuracy": sklearn.metrics.accuracy_score(own_N, taken_N),
        "balanced_accuracy": sklearn.metrics.balanced_accuracy_score(own_N, taken_N),
        "macro_f1": sklearn.metrics.f1_score(own_N, taken_N, average="macro"),
        "roc_auc": sklearn.metrics.roc_auc_score(own_N, log_odds(logits_NK, c)),
        "average_precision": sklearn.metrics.average_precision_score(own_N, log_odds(logits_NK, c)),
    }
    for name, value in oracle.items():
        assert at.values(METRICS[name], run).mean() == pytest.approx(value), name


def test_each_model_of_a_cross_validation_has_its_own_threshold() -> None:
    """The second part's model is surer by nine: with one threshold for both, everything of one part would be taken."""
    logits_N2, labels_N = scored(0, 400, lead=2.0)
    folds_N = np.arange(len(labels_N)) % 4 // 2  # made-up runs validate on every other image
    shifted_N2 = logits_N2 + np.stack([np.zeros(len(labels_N)), 9.0 * folds_N], 1)
    where = point(CLASSES, at="sensitivity=0.9")
    runs = [Run("a", 0, logits, labels_N, design=Design(folds_N=folds_N)) for logits in (logits_N2, shifted_N2)]
    taken = [where.scores(run, 1) >= 0 for run in runs]
    assert (taken[0] == taken[1]).all()
    assert where.values(METRICS["sensitivity"], runs[1]).mean() == pytest.approx(0.9, abs=0.05)


def test_the_verdict_says_what_was_asked_and_what_came_of_it() -> None:
    def run(name: str, seed: int, lead: float) -> Run:
        logits_N2, labels_N = scored(7, 4000)
        rng = np.random.default_rng(seed)
        return Run(name, seed, lead * np.eye(2)[labels_N] + rng.normal(size=logits_N2.shape), labels_N)

    runs = [run(name, seed, lead) for name, lead in (("good", 3.0), ("poor", 1.0)) for seed in range(3)]
    found = compare("moles", runs, Question(at="sensitivity=0.95"), classes=CLASSES)
    assert (found.metric, found.score_of, found.at) == ("specificity", "malignant", "a sensitivity of 95 %")
    assert found.sentences[0].startswith("good is best on moles: a specificity for “malignant” of ")
    assert found.pairs[0].resolved and found.yardstick is None
    told = found.sentences[-1]
    n, others = (int((runs[0].labels_N[::2] == c).sum()) for c in (1, 0))
    assert (
        f"chosen on validation, by {n:,} with “malignant” and {others:,} without, for a sensitivity of 95 %; on the test"
        in told
    )
    assert "with good" in told
    finding = found.rows[0].finding
    assert finding and finding.sensitivity.value == pytest.approx(0.95, abs=0.01) and finding.threshold
    head, *lines = found.table
    assert head[1] == "specificity %" and "sensitivity %" in head and "precision %" in head and len(lines) == 2
    dear = compare("moles", runs, Question(at="costs=20:1", positive="benign"), classes=CLASSES)
    assert dear.sentences[0].startswith("good is best on moles: a cost of an image for “benign” of 0.")
    plain = compare("moles", runs, Question(), classes=CLASSES)  # nobody asked, and yet both classes are not alike
    assert plain.rows[0].finding and "sensitivity %" in plain.table[0] and plain.score_of == ""
    one = compare("moles", runs[:1], Question("sensitivity"), classes=CLASSES).rows[0]
    assert one.finding and (one.score_low, one.score_high) == (
        one.finding.sensitivity.low,
        one.finding.sensitivity.high,
    )


def test_too_few_validation_images_are_called_so() -> None:
    """Two recipes whose validation part is tiny and whose test part is large: no seeds and no test images would settle it."""
    rng = np.random.default_rng(3)
    labels_N = np.append(np.arange(24) % 2, np.arange(6000) % 2)
    shared = rng.normal(size=(2, len(labels_N)))

    def run(r: int, seed: int) -> Run:
        noise = 0.05 * np.random.default_rng([r, seed]).normal(size=len(labels_N))
        logits_N2 = np.stack([np.zeros(len(labels_N)), 1.5 * labels_N + shared[r] + noise], 1)
        return Run("ab"[r], seed, logits_N2[24:], labels_N[24:], validation=(logits_N2[:24], labels_N[:24]))

    found = compare(
        "moles", [run(r, seed) for r in range(2) for seed in range(3)], Question(at="sensitivity=0.8"), classes=CLASSES
    )
    assert found.pairs[0].limit == "validation images" and not found.pairs[0].resolved
    assert "so few validation images leave the thresholds uncertain" in found.verdict
    assert "by 12 with “malignant” and 12 without" in found.verdict
    assert "not compared at one sensitivity" in found.verdict and "(short of it)" in found.verdict


def test_what_all_seeds_share_is_added_and_what_each_has_is_not() -> None:
    rng = np.random.default_rng(0)
    shared_B, own_SB = rng.normal(size=400), rng.normal(size=(3, 400))
    alone, together = (Bootstrapped(scores, 30).share[0] for scores in (own_SB, own_SB + 2 * shared_B))
    assert alone == pytest.approx(0, abs=0.08) and together == pytest.approx(4, rel=0.2)
    assert Bootstrapped(np.full((2, 5), np.nan), 3).share[0] == math.inf


def test_all_found_is_no_certainty() -> None:
    labels_N = np.arange(40) % 2
    runs = [Run("a", seed, 9.0 * np.eye(2)[labels_N], labels_N) for seed in range(3)]
    finding = compare("moles", runs, Question(), classes=CLASSES).rows[0].finding
    assert finding and finding.sensitivity.value == 1.0 and finding.sensitivity.low < 0.9


def test_several_classes_are_held_each_against_the_rest() -> None:
    logits_NK, labels_N = scored(3, 900, 3, lead=2.0)
    runs = [Run("a", 0, logits_NK, labels_N)]
    found = compare("leaves", runs, Question(at="sensitivity=0.9"))
    assert found.positive == found.score_of == "" and found.rows[0].finding
    assert found.rows[0].finding.sensitivity.value == pytest.approx(0.9, abs=0.03)
    assert "specificity (mean of each class against the rest)" in found.sentences[0]
    one = compare("leaves", runs, Question("precision", positive="2"))
    taken_N = logits_NK.argmax(1) == 2
    assert one.rows[0].score == pytest.approx(sklearn.metrics.precision_score(labels_N == 2, taken_N))
    assert "a precision for “2” of" in one.sentences[0]
