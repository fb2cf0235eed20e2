"""The verdict's numbers as words and as text cells. No sentence says more than the test behind it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from fittingroom.metrics.crossed import MOST_SEEDS
from fittingroom.metrics.finding import FOUND
from fittingroom.metrics.metric import ACCURACY, Metric
from fittingroom.metrics.operating import Point
from fittingroom.metrics.rounds import FIRST, Looked
from fittingroom.metrics.rows import Pair, Row
from fittingroom.spec.bundle import Operating
from fittingroom.spec.records import Cost, Share

UNLIKE = 0.02  # between what thresholds came to: recipes further apart are not compared like for like
LUCK = "one seed cannot tell luck from merit"


def percent(fraction: float | None, digits: int = 2) -> str:
    """A fraction in percent, or a dash for None and NaN."""
    return "–" if fraction is None or fraction != fraction else f"{100 * fraction:.{digits}f}"


def in_words(row: Row, metric: Metric, on: str = "test") -> str:
    """A row's score: "93.61 ± 0.11 % of the test images right"."""
    spread = f" ± {metric.show(row.score_sd)}" if row.score_sd is not None else ""
    score = f"{metric.show(row.score)}{spread}{metric.unit}"
    if metric == ACCURACY:
        return f"{score} of the {on} images right"
    return f"{'an' if metric.title[0] in 'aeiou' else 'a'} {metric.title} of {score}"


def sentences(
    dataset: str, rows: Sequence[Row], pairs: Sequence[Pair], metric: Metric, against: str = "", on: str = "test"
) -> tuple[str, ...]:
    """The verdict: how the best (or the recipe `against`) stands, then how it stands against each other."""
    best = rows[0]
    score = f"{in_words(best, metric, on)} ({_seeds(len(best.seeds))})"
    if len(rows) == 1:
        interval = f"95 % interval {metric.show(best.score_low)} to {metric.show(best.score_high)}{metric.unit}"
        others = f"{on} images of other groups" if best.design_effect is not None else f"other {on} images"
        scope = "" if len(best.seeds) > 1 or on != "test" else f", which covers {others} but not other seeds"
        return (f"{best.recipe} gets {score} on {dataset}; {interval}{scope}.",)
    if against:
        own = next(row for row in rows if row.recipe == against)
        opening = f"{against} gets {in_words(own, metric, on)} on {dataset} ({_seeds(len(own.seeds))})."
        return (opening, *(pair_sentence(pair, metric, on) for pair in pairs))
    with_best = [p for p in pairs if best.recipe in (p.better, p.worse)]
    return (
        _opening(dataset, best.recipe, score, with_best, metric),
        *(pair_sentence(p, metric, on) for p in with_best),
    )


def _opening(dataset: str, best: str, score: str, with_best: Sequence[Pair], metric: Metric) -> str:
    """The one sentence to repeat. What its pairs say one by one must not sound as if it were denied here."""
    beaten, same = standing(best, with_best)
    if not same and len(beaten) == len(with_best):
        return f"{best} is best on {dataset}: {score}."
    if len(same) + len(beaten) == len(with_best):
        *others, last = (p.other(best) for p in same)
        equals = f"{', '.join(others)} and {last} are" if others else f"{last} is"
        within = margin_words(same[0].margin, metric)
        return f"{best} gets {score} on {dataset}; {equals} the same for practical purposes ({within})."
    if all(p.seeds == 1 and not p.folds for p in with_best):
        return f"{best} leads on {dataset} with {score}; whether it would with other seeds cannot be known from one of each."
    if not beaten:
        return f"No winner is established on {dataset}; {best} leads with {score}."
    return f"{best} leads on {dataset} with {score}, but not every other is clearly behind."


def in_rounds(looked: Looked) -> tuple[str, ...]:
    """How far seeds were added, in words; and that each look is allowed for."""

    def named(pairs: Sequence[tuple[str, str]]) -> str:
        return ", ".join(f"{a} against {b}" for a, b in pairs)

    if not looked.seeds:
        return (f"There are too few seeds for a first look ({FIRST}).",)
    far = f"Seeds were added round by round, {looked.seeds} of at most {looked.most}"
    said = [f"{far}, until nothing was left to settle" if not (looked.open or looked.hopeless) else far]
    if looked.open:
        said.append(f"more may settle {named(looked.open)}" if looked.next else f"{named(looked.open)} is not settled")
    if looked.hopeless:
        said.append(f"{looked.most} would hardly settle {named(looked.hopeless)}")
    return (f"{'; '.join(said)}. The intervals allow for every look.",)


def standing(best: str, with_best: Sequence[Pair]) -> tuple[list[Pair], list[Pair]]:
    """The pairs in which `best` is better, and those in which the other is the same; what is in neither list is undecided."""
    beaten = [p for p in with_best if p.outcome == "better" and p.better == best]
    return beaten, [p for p in with_best if p.outcome == "same"]


def margin_words(margin: float | None, metric: Metric) -> str:
    """What makes no difference, in words.

    >>> margin_words(0.003, ACCURACY), margin_words(0.01, ACCURACY)
    ('± 0.3 points', '± 1 point')
    """
    shown = f"{metric.scale * (margin or 0.0):.6g}"
    return f"± {shown} {metric.steps.removesuffix('s') if shown == '1' else metric.steps}".rstrip()


def thresholds(
    rows: Sequence[Row], where: Point, chosen_on: tuple[int, int] | None, on: str = "test"
) -> tuple[str, ...]:
    """What the thresholds were chosen for, and what came of it on images that had no part in that.

    `chosen_on`: how many validation images (groups, where they belong together) have the class, and how many have not.
    """
    aim = where.aim
    assert aim
    with_it = (
        f", by {chosen_on[0]:,} with “{where.classes[where.positives[0]]}” and {chosen_on[1]:,} without,"
        if chosen_on
        else ""
    )
    opening = f"The thresholds were chosen on validation{with_it} for {aim.words}"
    found = [(row.recipe, getattr(row.finding, aim.of)) for row in rows if row.finding and not aim.costs]
    if not found:
        return (f"{opening}.",)
    reached = ", ".join(
        f"{share_words(share)} with {name}{' (short of it)' * (share.value < aim.least)}" for name, share in found
    )
    said = [f"{opening}; on the {on} images it is {reached}."]
    if len(rows) > 1 and max(s.value for _, s in found) - min(s.value for _, s in found) > UNLIKE:
        said.append(
            f"So they are not compared at one {aim.of}: who misses it has it easier with the rest. "
            "--metric roc_auc and average_precision compare without thresholds."
        )
    return tuple(said)


def share_words(share: Share, digits: int = 1) -> str:
    """A share with its interval: "94.2 % [91.0, 96.4]"."""
    return f"{percent(share.value, digits)} % [{percent(share.low, digits)}, {percent(share.high, digits)}]"


def tally(outcomes: Iterable[str], order: Sequence[str]) -> str:
    """How often each outcome came, those that did not left away.

    >>> tally(["open", "supported", "open"], ("supported", "open", "not supported"))
    '1 supported, 2 open'
    """
    counts = Counter(outcomes)
    return ", ".join(f"{counts[outcome]} {outcome}" for outcome in order if counts[outcome])


def probability(share: float) -> str:
    """A probability in percent, never rounded to certainty.

    >>> probability(0.99996), probability(0.954), probability(0.9987)
    ('> 99.9', '95', '99.9')
    """
    if share >= 0.9995:
        return "> 99.9"
    return f"{100 * share:.{1 if share >= 0.985 else 0}f}"


def chances(share: Share) -> str:
    """A probability, from worst to best: "97 [93, 98.6]"."""
    return f"{probability(share.value)} [{probability(share.low)}, {probability(share.high)}]"


def point_words(point: Operating) -> str:
    """What a bundle's operating point decides: "says “ill” from a probability of 14.9 % on, chosen …"."""
    at = "log odds of {:.3f}" if point.probability is None else "a probability of {:.3g} %"
    value = point.threshold if point.probability is None else 100 * point.probability
    return f"says “{point.positive}” from {at.format(value)} on, chosen on {point.chosen_on:,} validation images for {point.aim}"


def luck_words(row: Row, metric: Metric, on: str = "test") -> str:
    """What of the spread between a recipe's seeds would come again on other images; "" where nothing is known."""
    if row.luck is None:
        return ""
    steps = f" {metric.steps}".rstrip()
    gain = row.luck.gain
    return (
        f"Seeds of {row.recipe} differ by {metric.show(row.luck.sd)}{steps} (sd); on other {on} images the best of these "
        f"{len(row.seeds)} would keep {share_words(row.luck.kept, 0)} of its lead, so picking it brings {metric.show(gain.value)}"
        f"{steps} [{metric.show(gain.low)}, {metric.show(gain.high)}]."
    )


def no_better(rows: Sequence[Row], metric: Metric, yardstick: float | None) -> tuple[str, ...]:
    """Which recipes are no better than always naming the largest class, as far as can be told."""
    if yardstick is None:
        return ()
    level = f"{metric.show(yardstick)}{metric.unit}"
    naming = f"always naming the largest class, which gets {level}."
    return tuple(
        f"{row.recipe} is worse than {naming}"
        if row.score_high < yardstick
        else f"As far as can be told, {row.recipe} is no better than {naming}"
        for row in rows
        if row.score_low <= yardstick
    )


def pair_sentence(pair: Pair, metric: Metric = ACCURACY, on: str = "test") -> str:
    """One pair in words: by how much, is it real, and if that is open, what would settle it."""

    def steps(value: float) -> str:
        return f"{metric.scale * value:.{metric.digits}f} {metric.steps}".rstrip()

    interval = f"[{metric.signed(pair.low)}, {metric.signed(pair.high)}]"
    of_groups = f" (of {pair.groups:,} groups)" if pair.groups else ""
    images = (
        f"{pair.only_better:,.0f} of the {pair.images:,} {on} images{of_groups} only {pair.better} gets right, "
        f"{pair.only_worse:,.0f} only {pair.worse}"
    )
    if pair.same:
        matters = f"less than what matters ({margin_words(pair.margin, metric)})"
        if pair.resolved:
            ahead = f"{pair.better} is ahead of {pair.worse} for sure, by {steps(pair.difference)} {interval}"
            return f"{ahead}, but that is {matters}; {images}."
        return f"{pair.better} and {pair.worse} differ by {steps(pair.difference)} {interval}, {matters}; {images}."
    if pair.resolved:
        return f"{pair.better} beats {pair.worse} by {steps(pair.difference)} {interval}, a real difference; {images}."
    if pair.folds:
        return f"{_of_folds(pair, metric, steps, interval)}; {images}."
    if pair.seeds == 1:
        of_these = ""
        if pair.mcnemar:  # which takes images for independent
            of_these = (
                f" (of these answers McNemar's mid-p is {pair.mcnemar.mid_p:.2g}, which speaks of these two runs only)"
            )
        return (
            f"In one training of each {pair.better} is ahead of {pair.worse} by {steps(pair.difference)}, with other images "
            f"{interval}; {LUCK}, 3 may (--seeds 3); {images}{of_these}."
        )
    if pair.limit == "test set" and pair.groups:
        more = f"{pair.groups_needed - pair.groups:,} more groups" if pair.groups_needed else "far more groups"
        settle = f"{more} of {on} images would settle it, no number of seeds would"
    elif pair.limit == "validation images":
        settle = "so few validation images leave the thresholds uncertain, which no seeds and no test images mend; hold out more"
        settle += " (data.val_fraction)"
    elif pair.limit == "test set":
        settle = f"no number of seeds would settle it: there are too few {on} images for a difference of this size"
    elif pair.seeds_needed is None:
        settle = (
            f"{pair.seeds} seeds are too few to say anything; "
            f"should the difference really be this small, these {on} images could not show it with any number"
        )
    else:
        settle = f"{_many(pair.seeds_needed)} seeds would be needed to settle it (80 % power)"
    if pair.seeds_for_same and pair.seeds_for_same > pair.seeds:
        settle += _if_same(f"{_many(pair.seeds_for_same)} seeds", pair, metric)
    if pair.detectable and metric.scale * pair.detectable >= 100 == metric.scale:  # more than all there is
        settle += f"; {pair.seeds} seeds on these {on} images can show no difference at all"
    elif pair.detectable:
        wanted = steps(pair.effect)
        for_it = (
            f"{wanted} would take {_many(pair.seeds_for_effect)}"
            if pair.seeds_for_effect
            else f"{wanted} is finer than these {on} images can show"
        )
        settle += f"; {pair.seeds} seeds show a difference from {steps(pair.detectable)} on, {for_it}"
    return (
        f"{pair.better} against {pair.worse}: the difference of {steps(pair.difference)} {interval} is not resolved: "
        f"{settle}; {images}."
    )


def _if_same(so_many: str, pair: Pair, metric: Metric) -> str:
    return f"; {so_many} would show that they are the same, if they are ({margin_words(pair.margin, metric)})"


def _of_folds(pair: Pair, metric: Metric, steps: Callable[[float], str], interval: str) -> str:
    """What a cross-validation leaves open, and what would settle it: pictures, for every training counts already."""
    settle = (
        f"about {pair.images_needed:,} pictures would settle it"
        if pair.images_needed
        else "there is no difference to settle"
    )
    if pair.images_needed and pair.groups_needed:
        settle = f"about {pair.groups_needed:,} groups, or {pair.images_needed:,} pictures, would settle it"
    shown = (
        f"; {pair.folds} folds of {pair.images:,} show a difference from {steps(pair.detectable)} on"
        if pair.detectable
        else ""
    )
    if pair.images_for_same:
        shown += _if_same(f"about {pair.images_for_same:,} pictures", pair, metric)
    return (
        f"{pair.better} against {pair.worse}: the difference of {steps(pair.difference)} {interval} is not resolved: {settle} "
        f"(80 % power){shown}"
    )


def _many(seeds: int) -> str:
    return f"more than {MOST_SEEDS}" if seeds > MOST_SEEDS else f"about {seeds}"


def _seeds(n: int) -> str:
    return f"{n} seed" if n == 1 else f"mean ± sd of {n} seeds"


def table(rows: Sequence[Row], metric: Metric, on: str = "test") -> list[list[str]]:
    """The rows of a comparison as text cells, header first; columns of which nothing is known are left out."""
    plain = metric == ACCURACY
    head = [
        "recipe", f"{on if plain else metric.short}{metric.unit}", "± sd", "95 % interval", "design effect",
        *([] if plain else [f"{on} %"]), "sensitivity %", "specificity %", "precision %",
        "balanced %", "train %", "val %", "gap", "parameters", "FLOPs/image",
        "train s", "images/s", "1 image ms", "250 images ms", "memory MB", "ECE %",
    ]  # fmt: skip
    lines = [head]
    for r in rows:
        beside = f" ({r.at_once} at once)" if r.at_once > 1 else ""
        lines.append([
            r.recipe,
            metric.show(r.score),
            metric.show(r.score_sd),
            f"{metric.show(r.score_low)} – {metric.show(r.score_high)}",
            "–" if r.design_effect is None else f"{r.design_effect:.1f}",
            *([] if plain else [percent(r.test)]),
            *_finding_cells(r, metric),
            percent(None if metric.name == "balanced_accuracy" else r.balanced),
            percent(r.train),
            percent(r.val),
            percent(None if r.val is None else r.train - r.val),
            f"{r.parameters:,}",
            human(r.flops),
            f"{r.train_s:.1f}{beside}",
            *_cost_cells(r.cost),
            percent(r.ece),
        ])  # fmt: skip
    told = [i for i, cells in enumerate(zip(*lines[1:], strict=True)) if set(cells) != {"–"}]
    return [[line[i] for i in told] for line in lines]


def _finding_cells(row: Row, metric: Metric) -> list[str]:
    """Sensitivity, specificity, precision; a dash for the one that is the score, and for all where no class is looked for."""
    return ["–" if row.finding is None or metric.name == n else percent(getattr(row.finding, n).value) for n in FOUND]


def _cost_cells(cost: Cost | None) -> list[str]:
    if cost is None:
        return ["–"] * 4
    rate, memory = cost.train_images_per_s, cost.peak_memory_bytes
    return [
        "–" if rate is None else f"{rate:,.0f}",
        f"{1e3 * cost.latency_1_s:.2f}",
        f"{1e3 * cost.latency_250_s:.1f}",
        "–" if memory is None else f"{memory / 1e6:,.0f}",
    ]


def human(n: float) -> str:
    """A large count in three digits: 11.2 M.

    >>> human(11_173_962), human(950)
    ('11.2 M', '950')
    """
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if n >= limit:
            return f"{n / limit:.3g} {unit}"
    return f"{n:.0f}"
