"""How probable is a reported order, from the figures alone? Before anything is trained, and where nothing can be.

A paper says 92.68 against 91.65 on 10,000 images. Whether the order holds for other images depends on how many images only one
of the two gets right, and for other seeds on how much seeds scatter. Neither is reported, but both can be bounded: models err on
the same images far more often than by chance. Christodoulou et al. (2025, arXiv:2505.04720) take the share of images that both
get right (their *congruence*) from other studies and give the probability of a false claim. This does the same with the
congruence of our own pairs of recipes, and adds what they leave out, the luck of the seed. With a flat prior, and as normal as
differences of thousands of images are: P(order holds) = Φ(difference / error), with

    error² = (D - difference²) / N · (1 - rest + rest / runs) + (seed_A² + seed_B²) / runs + rounding² / 3 of each figure

where D, the share of images that only one gets right, lies between the difference itself (0: one knows all that the other knows)
and that of independent mistakes (1), by a part that our evidence bounds. A reported spread between runs holds half of rest ·
(D - difference²) / N besides the seeds, which is taken off.

**When it misleads**: a figure that was chosen because it is high (the best of many epochs, seeds, models, papers) is too good by
more than any formula of its own can know; and other test images means others of the same kind.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from fittingroom.metrics.distributions import normal_cdf, normal_quantile, root
from fittingroom.metrics.intervals import wilson
from fittingroom.spec.records import Record, Share
from fittingroom.spec.reported import Figure, Reported

# (5 %, median, 95 %) of pairs of our recipes on Fashion-MNIST and MNIST: docs/statistics.md, written by benchmarks/agreement.py
# where D lies between agreeing as far as can be (0) and independent mistakes (1)
INDEPENDENCE = Share(low=0.18, value=0.35, high=0.57)
# sd of what seeds are worth, in points, as a multiple of √(accuracy (1 - accuracy)): more in the middle than was measured here,
# since three or four seeds of small nets tell little, and the convolutional recipes of docs/replications.md scatter more
SEEDS = Share(low=0.0, value=0.5, high=1.2)
REST = 0.65  # the part of what images do to one pair of runs that another pair of the same models would not show again
WORST, MIDDLE, BEST = (INDEPENDENCE.high, SEEDS.high), (INDEPENDENCE.value, SEEDS.value), (INDEPENDENCE.low, SEEDS.low)
ENOUGH = 0.95
OUTCOMES = ("supported", "open", "not supported")


class Order(Record):
    """That one reported figure is above another: how probable it is, and what it would take."""

    id: str
    text: str
    source: str
    better: str
    worse: str
    difference: float  # fractions
    images: int
    runs: int
    these: Share  # probability that it holds for other images, with these very networks
    holds: Share  # for other images and other seeds; from what our evidence allows at worst to at best
    needed: float | None  # the difference that would be supported, all else being equal; None: none would

    @property
    def outcome(self) -> str:
        """supported, not supported, or what the figures alone cannot tell."""
        if self.holds.low >= ENOUGH:
            return "supported"
        return "not supported" if self.holds.high < ENOUGH else "open"


class Alone(Record):
    """One reported figure by itself, and its 95 % interval for other images of the same kind."""

    id: str
    text: str
    source: str
    figure: str
    images: int
    accuracy: Share


def orders(claim: Reported, images: int) -> list[Order]:
    """Each figure against the next one below it.

    >>> from fittingroom.spec.reported import reported
    >>> [one] = orders(reported("92.68 vs 91.65 on 10000"), 10_000)
    >>> one.outcome, one.these.value > one.holds.value > 0.95, 0.003 < one.needed < 0.01
    ('supported', True, True)
    """
    return [_order(claim, a, b, images) for a, b in zip(claim.figures[:-1], claim.figures[1:], strict=True)]


def weigh(sized: Sequence[tuple[Reported, int]]) -> tuple[list[Order], list[Alone]]:
    """The orders of several claims, each with its number of test images, and the figures that stand alone."""
    found = [one for claim, images in sized for one in orders(claim, images)]
    return found, [alone(claim, images) for claim, images in sized if len(claim.figures) == 1]


def alone(claim: Reported, images: int) -> Alone:
    """The interval of a single figure (Wilson), which covers its rounding and knows nothing of other seeds."""
    [figure] = claim.figures
    least, most = max(0.0, figure.accuracy - figure.rounding), min(1.0, figure.accuracy + figure.rounding)
    low, high = wilson(least * images, images)[0], wilson(most * images, images)[1]
    share = Share(value=figure.accuracy, low=low, high=high)
    return Alone(id=claim.id, text=claim.text, source=claim.source, figure=str(figure), images=images, accuracy=share)


def _order(claim: Reported, better: Figure, worse: Figure, images: int) -> Order:
    n, runs = images, claim.runs
    difference = better.accuracy - worse.accuracy
    ends = (WORST, MIDDLE, BEST)
    seen = [_probability(difference, error(better, worse, n, runs, part, seeds)) for part, seeds in ends]
    these = [_probability(difference, error(better, worse, n, runs, part, None)) for part, _ in ends]
    return Order(
        id=claim.id,
        text=claim.text,
        source=claim.source,
        better=str(better),
        worse=str(worse),
        difference=difference,
        images=n,
        runs=runs,
        these=Share(low=these[0], value=these[1], high=these[2]),
        holds=Share(low=seen[0], value=seen[1], high=seen[2]),
        needed=_needed(better, worse, n, runs),
    )


def only_one(a: float, b: float, part: float) -> float:
    """The share of images that only one of two models of accuracies `a` and `b` gets right.

    >>> round(only_one(0.9, 0.8, 0.0), 3), round(only_one(0.9, 0.8, 1.0), 3)
    (0.1, 0.26)
    """
    least, independent = abs(a - b), a * (1 - b) + b * (1 - a)
    return least + part * (independent - least)


def error(a: Figure, b: Figure, images: int, runs: int, part: float, seeds: float | None) -> float:
    """The standard deviation of a reported difference about the true one; `seeds` None: of these very networks."""
    of_images = max(0.0, only_one(a.accuracy, b.accuracy, part) - (a.accuracy - b.accuracy) ** 2) / images
    of_rounding = (a.rounding**2 + b.rounding**2) / 3
    of_seeds = 0.0 if seeds is None else sum(_of_seeds(figure, seeds, REST * of_images / 2) for figure in (a, b)) / runs
    return math.sqrt(of_images * (1 - REST + REST / runs) + of_seeds + of_rounding)


def _of_seeds(figure: Figure, seeds: float, luck: float) -> float:
    """The variance of what seeds are worth: as reported, less the `luck` that is in that with these images, else like ours."""
    if figure.sd is not None:
        return max(0.0, figure.sd**2 - luck)
    return (seeds / 100) ** 2 * figure.accuracy * (1 - figure.accuracy)


def _probability(difference: float, sd: float) -> float:
    return float(normal_cdf(difference / sd)) if sd else float(difference > 0)


def _needed(better: Figure, worse: Figure, images: int, runs: int) -> float | None:
    """How far the better would have to be above the worse to be supported: 95 % even at the worst end, all else as it is."""

    def short(difference: float) -> float:
        there = better.model_copy(update={"accuracy": min(1.0, worse.accuracy + difference)})
        sd = error(there, worse, images, runs, *WORST)
        return difference - normal_quantile(ENOUGH) * sd

    top = 1 - worse.accuracy
    return None if short(top) < 0 else root(short, 0.0, top)
