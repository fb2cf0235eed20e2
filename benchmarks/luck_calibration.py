"""What picking the best seed brings: what is said of it against what another test set shows; writes docs/statistics.md.

    python benchmarks/luck_calibration.py [STUDIES]

Recipes are drawn whose seeds differ by a known part in truth and else by luck with 10,000 images. `luck_of_seeds` is asked of the
scores on these; then the same networks meet as many other images.
"""

from __future__ import annotations

import sys

import numpy as np
from pages import write_calibration
from rounds_calibration import IMAGES, SCALE, rate

from fittingroom.metrics.crossed import estimate
from fittingroom.metrics.luck import luck_of_seeds

KEPT, SEEDS = (0.0, 0.25, 0.5, 0.9), (3, 5, 10)
OF_IMAGE, OF_REST = 0.22, 0.17  # standard deviations of right or wrong, as of a recipe at 92 %


def main() -> None:
    studies = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    rng, rows = np.random.default_rng(0), []
    for kept in KEPT:
        for seeds in SEEDS:
            rows.append([f"{100 * kept:g}", f"{seeds}", *_row(rng, kept, seeds, studies)])
    head = [
        "of a lead comes again in truth, %", "seeds", "its interval holds that, %", "lead of the best seed, points",
        "said to come again, points", "came again on other images, points",
    ]  # fmt: skip
    how = f"{studies:,} simulated recipes a row, {IMAGES:,} images; [95 % interval]."
    write_calibration("calibration-luck", head, rows, how, __file__)


def _row(rng: np.random.Generator, kept: float, seeds: int, studies: int) -> list[str]:
    n = IMAGES // SCALE
    of_image, of_rest = OF_IMAGE / SCALE**0.5, OF_REST / SCALE**0.5
    of_seed = np.sqrt(kept / (1 - kept)) * OF_REST / np.sqrt(IMAGES)
    held, lead, said, came = [], [], [], []
    for _ in range(studies):
        seed_S = of_seed * rng.normal(size=(seeds, 1))
        x_SN = 0.92 + seed_S + of_image * rng.normal(size=(1, n)) + of_rest * rng.normal(size=(seeds, n))
        scores_S, found = x_SN.mean(1), luck_of_seeds(estimate(x_SN), x_SN.mean(1))
        assert found is not None
        best = int(scores_S.argmax())
        other_S = seed_S[:, 0] + OF_REST / np.sqrt(IMAGES) * rng.normal(size=seeds)
        held.append(found.kept.low <= kept <= found.kept.high)
        lead.append(scores_S[best] - scores_S.mean())
        said.append(found.gain.value)
        came.append(other_S[best] - other_S.mean())
    return [rate(np.array(held)), *(f"{100 * np.mean(values):.3f}" for values in (lead, said, came))]


if __name__ == "__main__":
    main()
