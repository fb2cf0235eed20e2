"""Luck of the seeds: simulated recipes whose truth is known, and other images that say what was kept."""

from __future__ import annotations

import numpy as np
import pytest

from fittingroom.metrics.crossed import estimate
from fittingroom.metrics.luck import Luck, luck_of_seeds


def scored(rng: np.random.Generator, seeds: int, images: int, truly: float) -> tuple[np.ndarray, np.ndarray]:
    """Which of two test sets each seed gets right; `truly` is the standard deviation of what its network is worth."""
    worth_S1 = 0.7 + truly * rng.normal(size=(seeds, 1))
    hard_12N = rng.beta(0.5, 0.5, (1, 2 * images)) - 0.5  # some images are right by every seed, some by none
    right = (rng.random((seeds, 2 * images)) < worth_S1 + 0.2 * hard_12N) * 1.0
    return right[:, :images], right[:, images:]


def luck(x_SN: np.ndarray) -> Luck:
    found = luck_of_seeds(estimate(x_SN), x_SN.mean(1))
    assert found
    return found


@pytest.mark.parametrize("truly", [0.0, 0.004, 0.02])
def test_what_is_kept_is_what_another_test_set_shows_again(truly: float) -> None:
    """Over many recipes: the regression of the scores on other images on those on these, and what the best of five keeps."""
    rng = np.random.default_rng(0)
    inside, gains, kept, came = 0, list[float](), list[float](), list[float]()
    variance = 0.7 * 0.3 / 3000
    true_share = truly**2 / (truly**2 + variance)
    for _ in range(300):
        these, others = scored(rng, 5, 3000, truly)
        found = luck(these)
        inside += found.kept.low - 1e-9 <= true_share <= found.kept.high + 1e-9
        best = int(these.mean(1).argmax())
        gains.append(float(others.mean(1)[best] - others.mean()))
        came.append(found.gain.value)
        kept.append(found.kept.value)
    assert inside >= 0.92 * 300
    assert (
        abs(np.mean(came) - np.mean(gains)) < 0.003
    )  # a ratio of few mean squares: too much where nothing is kept, else too little
    assert abs(np.median(kept) - true_share) < 0.2


def test_one_seed_folds_and_equal_answers_show_nothing() -> None:
    rng = np.random.default_rng(0)
    assert luck_of_seeds(estimate((rng.random((1, 50)) < 0.5) * 1.0), np.zeros(1)) is None
    same = np.repeat((rng.random((1, 50)) < 0.5) * 1.0, 3, 0)
    assert luck_of_seeds(estimate(same), same.mean(1)) is None
