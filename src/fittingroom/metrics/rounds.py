"""Seeds until it is settled: looking after every round, and still wrong in one study of twenty at most.

Whoever adds seeds until an ordinary interval excludes zero finds a difference between equals in one study of five or six: each
look is another chance. So the chances are shared out: after s of at most S seeds, as much of the error rate may have been spent
as information has come in (Lan & DeMets 1983, *Biometrika* 70; linear spending). What a look may spend is turned into the level
of its interval by the joint distribution of all looks, which is that of Brownian motion in information (Armitage, McPherson &
Rowe 1969, *J. R. Stat. Soc. A* 132; Jennison & Turnbull, *Group Sequential Methods*, 2000, ch. 3, 7, 19).

Information is 1 / (i + v/s): what the images do (i) is in the first seed already and never gets less, what seeds do (v) does. If
images are most of it all looks say much the same, and looking costs little; if seeds are, it costs most. Which it is has to be
estimated from a few seeds: v is taken at the upper end of what they allow, i at the lower, which spends less. Each look is
reckoned as if all before it had known this estimate, so what is promised rests on simulation, too. The level is reckoned for
normal means and used for Student's t (Pocock 1977), which crosses a little more often: so 4.2 % are shared out.
What was chosen by measured power, and what was not, is in docs/log.md (2026-11-28); benchmarks/rounds_calibration.py measures it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from fittingroom.metrics.crossed import Estimate, half_widths
from fittingroom.metrics.distributions import chi2_quantile, normal_cdf, normal_density
from fittingroom.metrics.pairs import Bootstrapped, Judged, judge_pairs
from fittingroom.spec.design import ALONE, Design
from fittingroom.spec.records import Record

FIRST, MOST = 4, 32  # seeds: before the first look, and by default in all
ALPHA, SPENT = 0.05, 0.042  # the error rate that is promised, and what is shared out for it
CAUTION = 0.1  # the chance that the part of the images is taken for larger than it is, for each of its two halves
# the images' part in the luck of one seed, for which levels are reckoned
PARTS = (0.0, *(2.0**k for k in range(-7, 4)))
LITTLE = 0.1  # a chance to settle it that is not worth the seeds
REACH, STEP = 8.0, 0.005  # of the grid for the joint distribution, in standard deviations of the last look


def rounds(most: int = MOST) -> tuple[int, ...]:
    """After how many seeds it is looked: after each of the first, then after a quarter more.

    >>> rounds(32)
    (4, 5, 6, 7, 8, 10, 12, 15, 18, 22, 27, 32)
    """
    found = [min(FIRST, most)]
    while found[-1] < most:
        found.append(min(most, found[-1] + max(1, found[-1] // 4)))
    return tuple(found)


@lru_cache
def nominal(spent: float, most: int, part: float) -> tuple[float, ...]:
    """Two-sided error rates of the looks of `rounds(most)`, which come to `spent` together; `part` is that of the images.

    >>> [round(p, 3) for p in nominal(0.05, 8, 0.0)]
    [0.025, 0.017, 0.017, 0.019, 0.021]
    """
    looks = np.array(rounds(most))
    information = (part + 1 / most) / (part + 1 / looks)
    x = np.arange(-REACH, REACH + STEP / 2, STEP)
    found: list[float] = []
    # the density of the path among those that have not crossed, and its information
    inside, before = np.zeros_like(x), 0.0
    for now in information:
        d = now - before
        near = np.arange(-math.ceil(REACH * math.sqrt(d) / STEP), math.ceil(REACH * math.sqrt(d) / STEP) + 1) * STEP
        step = normal_density(near, math.sqrt(d))
        density = normal_density(x, math.sqrt(d)) if not found else np.convolve(inside, step / step.sum(), "same")
        beyond = np.cumsum(density[::-1])[::-1] * STEP  # the chance to be above x
        half = len(x) // 2
        bound = float(np.interp(spent * d / 2, beyond[half:][::-1], x[half:][::-1]))
        found.append(float(2 * normal_cdf(-bound / math.sqrt(now))))
        inside, before = np.where(np.abs(x) < bound, density, 0.0), now
    return tuple(found)


def allowance(e: Estimate, pairs: int, most: int) -> float:
    """How many times smaller than usual a p-value has to be at this look, among so many pairs."""
    return ALPHA / (pairs * nominal(SPENT / pairs, most, _part(e))[max(0, bisect_right(rounds(most), e.seeds) - 1)])


def level_of(seeds: int, most: int, e: Estimate | None = None) -> float:
    """The level of an interval at the look after so many seeds, of a question by itself; `e` None: over seeds alone.

    >>> round(level_of(4, 32), 3), level_of(4, 32) < level_of(5, 32)
    (0.995, True)
    """
    looks = nominal(SPENT, most, _part(e) if e else 0.0)
    return 1 - looks[max(0, bisect_right(rounds(most), seeds) - 1)]


def _part(e: Estimate) -> float:
    """The images' part in the luck, as a multiple of what one seed adds: the next of `PARTS` below a careful estimate."""
    by_seed, by_image = _of_a_seed(e), e.var_image / e.units * e.df / chi2_quantile(1 - CAUTION, e.df)
    return PARTS[bisect_right(PARTS, by_image / by_seed) - 1] if by_seed > 0 else 0.0


def _of_a_seed(e: Estimate) -> float:
    """What one seed adds to the variance of a mean, at the upper end of what so few allow."""
    return (e.var_seed + e.var_rest / e.units) * (e.seeds - 1) / float(chi2_quantile(CAUTION, e.seeds - 1))


class Looked(Record):
    """How far seeds were added, and what is left."""

    most: int  # seeds there may be
    seeds: int  # after so many it was looked for the last time; 0: not yet
    open: tuple[tuple[str, str], ...]  # pairs that more seeds may settle
    hopeless: tuple[tuple[str, str], ...]  # pairs that they hardly would
    dropped: tuple[tuple[str, str], ...] = ()  # undecided, of which one was beaten by a third
    next: int | None  # after so many seeds it is looked again; None: it is settled, or there are no more

    @property
    def contenders(self) -> set[str]:
        """The recipes that need more seeds."""
        return {recipe for pair in self.open for recipe in pair}


def look(
    names: Sequence[tuple[str, str]],
    values_SN: Mapping[str, np.ndarray],
    design: Design = ALONE,
    bootstrapped: Mapping[str, Bootstrapped] | None = None,
    *,
    most: int = MOST,
    within: float | None = None,
) -> tuple[list[Judged], Looked]:
    """Each pair of `names` as it stood when it was decided, or stands now, by going through all looks once more.

    The seeds are 0, 1, 2 … of each recipe. So a study that was killed and resumed decides what it would have decided. `within`:
    what makes no difference. A recipe that is beaten gets no more seeds, and its other pairs stay as they are.

    >>> rng = np.random.default_rng(0)
    >>> values = {"good": (rng.random((5, 2000)) < 0.95) * 1.0, "bad": (rng.random((5, 2000)) < 0.8) * 1.0}
    >>> [pair], looked = look([("good", "bad")], values)
    >>> pair.resolved, looked.seeds, looked.next is None
    (True, 4, True)
    """

    def judge(pairs: Sequence[tuple[str, str]], seeds: int, family: int) -> list[Judged]:
        """Pairs by their first seeds; so many pairs share the error rate."""
        first = {name: values[:seeds] for name, values in values_SN.items()}
        drawn = {name: replace(b, scores_SB=b.scores_SB[:seeds]) for name, b in (bootstrapped or {}).items()}
        numbers = {name: range(len(values)) for name, values in first.items()}
        others = family - len(pairs)
        return judge_pairs(pairs, first, numbers, design, drawn, others, lambda e: allowance(e, len(names), most))

    known: dict[tuple[str, str], Judged] = {}
    open_, hopeless, dropped = list(names), list[tuple[str, str]](), list[tuple[str, str]]()
    after, rejected = 0, 0
    for s in rounds(most):
        live = [pair for pair in open_ if min(len(values_SN[name]) for name in pair) >= s]
        if not live:
            break
        after = s
        for pair, judged in zip(live, judge(live, s, len(names) - rejected), strict=True):
            known[pair] = judged
            same = within is not None and judged.lies_within(within)
            if judged.resolved or same:
                rejected += judged.resolved
                open_.remove(pair)
            elif s < most and not may_be_settled(judged.estimate, most, len(names), within):
                open_.remove(pair)
                hopeless.append(pair)
        beaten = {j.worse for j in known.values() if j.resolved}
        dropped += [pair for pair in open_ if beaten & set(pair)]
        open_ = [pair for pair in open_ if not beaten & set(pair)]
    coming = next((s for s in rounds(most) if s > after), None) if open_ else None
    rest = [pair for pair in names if pair not in known]  # with too few seeds for any look
    for pair, judged in zip(rest, judge(rest, most, len(names)), strict=True):
        known[pair] = replace(judged, p=1.0, resolved=False, early=True)
    looked = Looked(
        most=most, seeds=after, open=tuple(open_), hopeless=tuple(hopeless), dropped=tuple(dropped), next=coming
    )
    return [known[pair] for pair in names], looked


def may_be_settled(e: Estimate, most: int, pairs: int = 1, within: float | None = None) -> bool:
    """Whether all the seeds there may be have a fair chance to settle it, as far as those that there are tell.

    The images stay the same, and so does what they did to the difference; only what the seeds did can still change.
    """
    _, half_QQ = half_widths(e, most, 1 - nominal(SPENT / pairs, most, _part(e))[-1])
    change = max(1e-12, math.sqrt(_of_a_seed(e) * (1 / e.seeds - 1 / most)))
    better = normal_cdf((e.mean - half_QQ) / change) + normal_cdf((-e.mean - half_QQ) / change)
    room_QQ = np.maximum(0.0, (within or 0.0) - half_QQ)
    same = normal_cdf((room_QQ - e.mean) / change) - normal_cdf((-room_QQ - e.mean) / change)
    return float((better + same).mean()) > LITTLE
