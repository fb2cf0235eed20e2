"""How much of the spread between seeds is luck with these test images, and how much is networks that are truly better.

A seed's score on N images is mean + seed_s + rest_s: seed_s is what its network is worth on all images of this kind, rest_s the
luck of meeting just these, of which it happens to get some hard ones right. Only the first comes again on other images. The
analysis of variance that the verdict is made of takes them apart: Var(seed) = (MS_seed - MS_rest) / N. Jordan (2023,
arXiv:2304.01910) finds on CIFAR-10 and ImageNet that almost all of it is luck, so that picking the best of many seeds brings
next to nothing. The share that is kept has its interval from the F distribution (Searle, Casella & McCulloch 1992, ch. 3).

**When it misleads**: with three seeds the interval holds nearly everything; and it is about other images of the same kind.
"""

from __future__ import annotations

import numpy as np

from fittingroom.metrics.crossed import Estimate
from fittingroom.metrics.distributions import f_quantile
from fittingroom.spec.records import Record, Share


class Luck(Record):
    """What the seeds of a recipe differ by, and what of that would come again on other test images."""

    sd: float  # of the seeds' scores on these images
    kept: Share  # the part of a seed's lead that another test set would show again
    gain: (
        Share  # what the seed that is best on these images is expected to be ahead of the mean on others, in the metric
    )


def luck_of_seeds(e: Estimate, scores_S: np.ndarray) -> Luck | None:
    """`e` is of the scores of a recipe by themselves, `scores_S` are those of its seeds, more being better.

    None where one seed, or no image, shows nothing.

    >>> from fittingroom.metrics.crossed import estimate
    >>> x_SN = (np.random.default_rng(0).random((5, 2000)) < 0.9) * 1.0
    >>> luck_of_seeds(estimate(x_SN), x_SN.mean(1)).kept.low
    0.0
    """
    few = e.seeds - 1
    if e.folds or few < 1 or e.units < 3 or not e.var_rest > 0:
        return None
    sd = float(scores_S.std(ddof=1))
    f, many = sd**2 * e.units / e.var_rest, few * e.df
    ends = 1.0, f_quantile(0.975, few, many), f_quantile(0.025, few, many)
    value, low, high = (max(0.0, 1 - float(q) / f) if f > 0 else 0.0 for q in ends)
    lead = float(scores_S.max() - scores_S.mean())
    gain = Share(value=value * lead, low=low * lead, high=high * lead)
    return Luck(sd=sd, kept=Share(value=value, low=low, high=high), gain=gain)
