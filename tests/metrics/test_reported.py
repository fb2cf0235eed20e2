"""What figures alone say: against the paper's own formula, by simulation, and of sentences as people write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fittingroom.metrics.reported import INDEPENDENCE, error, only_one, orders, weigh
from fittingroom.spec.claimed import claimed, figures_of
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.reported import Figure, is_reported, read_reported, reported


@pytest.mark.parametrize(
    ("better", "worse", "n"), [(0.9268, 0.9165, 10_000), (0.85, 0.84, 500), (0.963, 0.959, 10_000)]
)
def test_for_other_images_it_is_the_probability_of_christodoulou_et_al(better: float, worse: float, n: int) -> None:
    """Their Dirichlet posterior, given how many images both get right, by drawing from it."""
    [one] = orders(reported(f"{better:.6f} vs {worse:.6f} on {n}"), n)
    only = only_one(better, worse, INDEPENDENCE.value)
    first, second = (only + better - worse) / 2 * n, (only - better + worse) / 2 * n
    drawn = np.random.default_rng(0).dirichlet([first + 1, second + 1, n - first - second + 2], 400_000)
    assert one.these.value == pytest.approx((drawn[:, 0] > drawn[:, 1]).mean(), abs=0.005)


def test_the_error_is_that_of_answers_to_other_images() -> None:
    """Two models whose mistakes fall on the same hard images, and whose seeds scatter: right or wrong, image by image."""
    rng, n, studies = np.random.default_rng(1), 1500, 2000

    def right(merit: float, spread: float, hard_N: np.ndarray) -> np.ndarray:
        return np.asarray(hard_N + rng.normal(0, 0.4, hard_N.shape) < merit + spread * rng.normal())

    seen, only, accuracy = [], [], []
    for _ in range(studies):
        hard_N = rng.normal(size=n)
        a_N, b_N = right(1.5, 0.05, hard_N), right(1.4, 0.05, hard_N)
        seen.append(a_N.mean() - b_N.mean())
        only.append((a_N != b_N).mean())
        accuracy.append((a_N.mean(), b_N.mean()))
    p, q = np.mean(accuracy, 0)
    part = (np.mean(only) - (p - q)) / (only_one(p, q, 1.0) - (p - q))
    assert INDEPENDENCE.low / 2 < part < INDEPENDENCE.high  # these mistakes are as alike as real ones
    worth = [
        right(merit, 0.05, np.repeat(rng.normal(size=20_000), 1)).mean() for merit in [1.5] * 300
    ]  # on many images
    seeds = float(np.std(worth))
    a, b = (Figure(name="", accuracy=float(v), rounding=0) for v in (p, q))
    unit = 100 * seeds / np.sqrt(p * (1 - p))
    assert error(a, b, n, 1, part, unit) == pytest.approx(np.std(seen), rel=0.08)


def test_a_reported_spread_holds_the_luck_of_its_images_too() -> None:
    """±0.15 on 10,000 images is about what one model's seeds scatter that are worth the same: it must not count twice."""
    told = reported("A 92.10 ± 0.15 vs B 91.60 ± 0.15 on 10000 over 5 runs")
    [one] = orders(told, 10_000)
    [wide] = orders(reported("A 92.10 ± 0.60 vs B 91.60 ± 0.60 on 10000 over 5 runs"), 10_000)
    assert one.these.value - one.holds.value < 0.01 < one.these.value - wide.holds.value


@given(a=st.floats(0.5, 0.999), b=st.floats(0.5, 0.999), n=st.integers(20, 100_000), runs=st.integers(1, 50))
def test_more_images_and_runs_make_an_order_surer(a: float, b: float, n: int, runs: int) -> None:
    text = f"{max(a, b):.4f} vs {min(a, b):.4f} on {n} over {runs} runs"
    [one], [larger] = orders(reported(text), n), orders(reported(text), 4 * n)
    assert 0.5 <= one.holds.low <= one.holds.value <= one.holds.high <= 1
    assert larger.holds.value >= one.holds.value - 1e-12 and one.these.value >= one.holds.value - 1e-12
    if one.needed:  # what it would take is what makes it supported
        worse = min(round(a, 4), round(b, 4))
        [there] = orders(reported(f"{worse + one.needed:.8f} vs {worse:.8f} on {n} over {runs} runs"), n)
        assert 0.945 < there.holds.low < 0.96  # these figures are rounded less than those that it was reckoned for


def test_a_rounded_figure_may_have_been_another() -> None:
    [coarse], [fine] = (
        orders(reported("88 vs 87 on 10000"), 10_000),
        orders(reported("88.00 vs 87.00 on 10000"), 10_000),
    )
    assert coarse.holds.value < fine.holds.value and stats.norm.ppf(coarse.holds.value) > 1


@pytest.mark.parametrize(
    ("text", "figures", "on", "runs"),
    [
        ("92.68 vs 91.65 on 10000", [("", 0.9268), ("", 0.9165)], "10000", 1),
        ("A 91 versus B 92 % on 1,000 test images over 3 runs", [("B", 0.92), ("A", 0.91)], "1000", 3),
        ("WRN-28-10 + RE 0.963 > WRN-28-10 0.959 on fashion-mnist", [("WRN-28-10 + RE", 0.963), ("WRN-28-10", 0.959)], "fashion-mnist", 1),
        ("0.23 % vs. 0.35% error on mnist", [("", 0.9977), ("", 0.9965)], "mnist", 1),
        ("a 92.1 ± 0.2, b 92.0 +/- 0.1; c 91.0 on 500, mean of 5 seeds", [("a", 0.921), ("b", 0.92), ("c", 0.91)], "500", 5),
        ("norm and dropout, both: 91 vs none 90 on 50", [("norm and dropout, both", 0.91), ("none", 0.9)], "50", 1),
        ("LeNet-5 0.95 % error vs LeNet-4 1.1 % error on mnist", [("LeNet-5", 0.9905), ("LeNet-4", 0.989)], "mnist", 1),
        ("CNN (92.68 %) vs MLP 91.65 % accuracy on 10 000 pictures", [("CNN", 0.9268), ("MLP", 0.9165)], "10000", 1),
        ("0.23 ± 0.02 % vs 0.35 ± 0.03 % error on mnist over 3 runs", [("", 0.9977), ("", 0.9965)], "mnist", 3),
        ("A 0.9267999529838562 vs B 0.9165 on 10000", [("A", 0.926799953), ("B", 0.9165)], "10000", 1),
        ("CNN-3-128 99.65 % on fashion-mnist", [("CNN-3-128", 0.9965)], "fashion-mnist", 1),
    ],
)  # fmt: skip
def test_sentences_as_people_write_them(text: str, figures: list[tuple[str, float]], on: str, runs: int) -> None:
    one = reported(text)
    assert [(f.name, f.accuracy) for f in one.figures] == figures and (one.on, one.runs) == (on, runs)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("92 vs 91", "names no test set"),
        ("good vs better on 100", "no list of figures"),
        ("920 vs 91 on 100", "920 is no accuracy"),
        ("ResNet-18 vs MLP 91 on 100", "no list of figures"),
        ("test error 0.23 % vs 0.35 % on mnist", "“error” behind error rates"),
        ("VGG 16, 93.5 vs ResNet 18, 94.9 on mnist", "“VGG 16”: is that a figure"),
        ("A 0.963 vs B 95.9 on 100", "percent or fractions"),
        ("0.2 % error vs 99 % on 100", "some figures are error rates"),
        ("92.1 ± 0.2 vs 91 on 100", "of how many runs"),
        ("92 vs 91 on 100 over 0 runs", "of how many runs"),
        (f"92 vs 91 on 1{'0' * 300}", "the number of test images"),
        ("91 > 92 on 100", "the smaller figure"),
        ("92 vs 91 on 1", "the number of test images"),
        ("", "names no test set"),
    ],
)
def test_what_cannot_be_read_is_told(text: str, said: str) -> None:
    with pytest.raises(FittingroomError, match=said):
        reported(text)


@given(
    st.text(max_size=60)
    | st.from_regex(r"\A[A-Z ]{0,4}[0-9.]{1,5}%?( ± 0\.1)? vs [0-9.]{1,5}%? on [0-9]{2,6}( over [0-9] runs)?\Z")
)
def test_any_text_is_figures_or_a_fault(text: str) -> None:
    try:
        one = reported(text)
    except FittingroomError:
        return
    assert all(0 <= f.accuracy <= 1 and str(f) for f in one.figures)
    found, single = weigh([(one, 100)])
    assert all(0.5 <= o.holds.low <= o.holds.value <= o.holds.high <= 1 for o in found) and len(found) + len(single) > 0


def test_a_file_of_claims_without_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "table.toml"
    path.write_text('[[claims]]\ntext = "It helps."\nsource = "a list"\nfigures = "A 0.963 vs B 0.959 on 10000"\n')
    [one] = read_reported(path)
    assert is_reported(path) and (one.text, one.source, one.id) == ("It helps.", "a list", "table 1")
    with pytest.raises(FittingroomError, match=r"fittingroom claims .*table\.toml"):
        claimed([str(path)])
    path.write_text('[[claims]]\nfigure = "A 1 vs B 2"\nfigures = "A"\n')
    with pytest.raises(FittingroomError, match='nearest: "figures"'):
        read_reported(path)
    path.write_text('[[claims]]\nfigures = "A"\n')
    with pytest.raises(FittingroomError, match=r"claims\.0\.figures: .*names no test set"):
        read_reported(path)


def test_readmes_orders_with_both_figures() -> None:
    found = {one.id: [str(f) for f in one.figures] for one in figures_of(["001", "004"])}
    assert found["001-enhanced-above-base"] == ["readme-001-enhanced 92.68 %", "readme-001-base 91.65 %"]
    assert found["004-mlp-behind-mnist"] == ["readme-004-cnn 99 %", "readme-004-mlp 97 %"]
    with pytest.raises(FittingroomError, match="with the figures of both"):
        figures_of(["000"])


def test_one_figure_has_an_interval_and_no_order() -> None:
    found, [alone] = weigh([(reported("99.65 on 10000"), 10_000)])
    assert not found and alone.accuracy.low < 0.9965 < alone.accuracy.high
    _, [coarse] = weigh([(reported("88 on 1000000"), 1_000_000)])
    assert coarse.accuracy.low < 0.875 and coarse.accuracy.high > 0.885  # anything that is rounded to 88
