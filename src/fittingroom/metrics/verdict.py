"""Which is better, by how much ± what, is that real, what does it cost. From stored predictions to a table and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Protocol

import numpy as np
from pydantic import computed_field

from fittingroom.metrics.crossed import MOST_SEEDS, Estimate, estimate, holm, seeds_needed
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.records import Cost, Environment, Metrics, Record, Structure


class Row(Record):
    """One recipe on one data set. Accuracies are fractions, intervals 95 %; None where there is nothing to say."""

    recipe: str
    seeds: tuple[int, ...]
    test: float
    test_sd: float | None  # between seeds; None with one
    test_low: float
    test_high: float
    train: float
    val: float | None
    ece: float
    test_averaged: float | None
    parameters: int
    flops: int
    epochs: float
    train_s: float
    at_once: int  # the most runs that shared the machine while train_s was measured
    threads: int
    train_images_per_s: float | None
    latency_1_s: float | None
    latency_256_s: float | None


class Pair(Record):
    """`better` against `worse` on the same images: the difference of their test accuracies (a fraction ≥ 0)."""

    better: str
    worse: str
    difference: float
    low: float
    high: float
    level: float  # of the interval: 0.95 for one pair, more for several
    p: float  # adjusted for the number of pairs, as the interval is: see `crossed.holm`
    resolved: bool
    only_better: float  # test images that only `better` gets right, mean over seeds
    only_worse: float
    seeds: int
    images: int
    seeds_needed: int | None  # for 80 % power; None: resolved already, or the test set is the limit
    limit: str  # "", "seeds" or "test set": what stands in the way


class Comparison(Record):
    """The verdict on one data set; `rows` best first."""

    dataset: str
    images: int
    rows: tuple[Row, ...]
    pairs: tuple[Pair, ...]
    sentences: tuple[str, ...]  # of the verdict

    @computed_field  # type: ignore[prop-decorator]
    @property
    def verdict(self) -> str:
        """Which is best, and how it stands against each other one, in words."""
        return " ".join(self.sentences)

    def table(self) -> list[list[str]]:
        """Header and rows as text, for terminals and notebooks."""
        return table(self)

    def _repr_html_(self) -> str:
        from html import escape

        head, *body = self.table()
        cells = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in line) + "</tr>" for line in body)
        header = "".join(f"<th>{escape(c)}</th>" for c in head)
        return f"<p><b>{escape(self.verdict)}</b></p><table><tr>{header}</tr>{cells}</table>"


class Evidence(Protocol):
    """All that the verdict needs of one finished run; `right_N` says which test images it gets right."""

    @property
    def name(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def right_N(self) -> np.ndarray: ...
    @property
    def metrics(self) -> Metrics: ...
    @property
    def structure(self) -> Structure: ...
    @property
    def environment(self) -> Environment: ...
    @property
    def cost(self) -> Cost | None: ...


def compare(dataset: str, evidence: Sequence[Evidence]) -> Comparison:
    """Judge the recipes of `evidence`, which were all scored on the same test images of `dataset`.

    Raises `FittingroomError` if there is nothing to judge.
    """
    names = list(dict.fromkeys(e.name for e in evidence))
    if not names:
        raise FittingroomError(f"no finished run with a test score on {dataset}; see: fittingroom runs")
    by_name = {name: sorted((e for e in evidence if e.name == name), key=lambda e: e.seed) for name in names}
    rows = sorted((_row(name, runs) for name, runs in by_name.items()), key=lambda r: -r.test)
    raw = [_difference(by_name[a.recipe], by_name[b.recipe]) for a, b in combinations(rows, 2)]
    adjusted = holm([e.p for e, *_ in raw])
    pairs = tuple(
        _pair(a.recipe, b.recipe, *found, p=p, level=level)
        for (a, b), found, (p, level) in zip(combinations(rows, 2), raw, adjusted, strict=True)
    )
    images = len(evidence[0].right_N)
    return Comparison(
        dataset=dataset, images=images, rows=tuple(rows), pairs=pairs, sentences=_sentences(dataset, rows, pairs)
    )


def _row(name: str, runs: Sequence[Evidence]) -> Row:
    right_SN = np.stack([e.right_N for e in runs])
    whole = estimate(right_SN)
    tests, (low, high) = right_SN.mean(1), whole.interval()

    def mean(values: Sequence[float | None]) -> float | None:
        known = [v for v in values if v is not None]
        return float(np.mean(known)) if len(known) == len(values) else None

    metrics = [e.metrics for e in runs]
    costs = [e.cost for e in runs if e.cost]
    cost = costs[-1] if costs else None
    train, ece = mean([m.train.accuracy for m in metrics]), mean([m.test.ece if m.test else None for m in metrics])
    assert train is not None and ece is not None
    return Row(
        recipe=name,
        seeds=tuple(e.seed for e in runs),
        test=whole.mean,
        test_sd=float(tests.std(ddof=1)) if len(runs) > 1 else None,
        test_low=max(0.0, low),
        test_high=min(1.0, high),
        train=train,
        val=mean([m.val.accuracy if m.val else None for m in metrics]),
        ece=ece,
        test_averaged=mean([m.test_averaged.accuracy if m.test_averaged else None for m in metrics]),
        parameters=runs[0].structure.parameters,
        flops=runs[0].structure.flops,
        epochs=float(np.mean([m.epochs for m in metrics])),
        train_s=float(np.mean([m.train_s for m in metrics])),
        at_once=max(e.environment.at_once for e in runs),
        threads=runs[0].environment.threads,
        train_images_per_s=cost.train_images_per_s if cost else None,
        latency_1_s=cost.latency_1_s if cost else None,
        latency_256_s=cost.latency_256_s if cost else None,
    )


def _difference(better: Sequence[Evidence], worse: Sequence[Evidence]) -> tuple[Estimate, float, float]:
    """The paired difference, and how many images only one of them gets right (means over seeds).

    The same seeds are paired; where the seeds differ, they are paired in order.
    """
    shared = sorted({e.seed for e in better} & {e.seed for e in worse})
    a = [e for e in better if e.seed in shared] if shared else list(better)
    b = [e for e in worse if e.seed in shared] if shared else list(worse)
    pairs = min(len(a), len(b))
    a_SN = np.stack([e.right_N for e in a[:pairs]]).astype(np.int8)
    b_SN = np.stack([e.right_N for e in b[:pairs]]).astype(np.int8)
    difference_SN = a_SN - b_SN
    return (
        estimate(difference_SN),
        float((difference_SN == 1).sum(1).mean()),
        float((difference_SN == -1).sum(1).mean()),
    )


def _pair(better: str, worse: str, e: Estimate, only_better: float, only_worse: float, p: float, level: float) -> Pair:
    low, high = e.interval(level)
    resolved = e.seeds > 1 and p < 0.05
    if e.mean < 0:  # on the seeds that both have, the order can be another than on all seeds
        better, worse, only_better, only_worse, low, high = worse, better, only_worse, only_better, -high, -low
    needed = None if resolved else seeds_needed(e, level)
    return Pair(
        better=better,
        worse=worse,
        difference=abs(e.mean),
        low=low,
        high=high,
        level=level,
        p=p,
        resolved=resolved,
        only_better=only_better,
        only_worse=only_worse,
        seeds=e.seeds,
        images=e.images,
        seeds_needed=needed,
        limit="" if resolved else "seeds" if e.seeds == 1 or needed or not e.images_dominate else "test set",
    )


# ---------------------------------------------------------------- words


def percent(fraction: float | None, digits: int = 2) -> str:
    """A fraction in percent, or a dash."""
    return "–" if fraction is None else f"{100 * fraction:.{digits}f}"


def _sentences(dataset: str, rows: Sequence[Row], pairs: Sequence[Pair]) -> tuple[str, ...]:
    best = rows[0]
    spread = f" ± {percent(best.test_sd)}" if best.test_sd is not None else ""
    score = f"{percent(best.test)}{spread} % of the test images right ({_seeds(len(best.seeds))})"
    if len(rows) == 1:
        interval = f"95 % interval {percent(best.test_low)} to {percent(best.test_high)} %"
        scope = "" if len(best.seeds) > 1 else ", which covers other test images but not other seeds"
        return (f"{best.recipe} gets {score} on {dataset}; {interval}{scope}.",)
    against = [p for p in pairs if best.recipe in (p.better, p.worse)]
    beaten = [p for p in against if p.resolved and p.better == best.recipe]
    if len(beaten) == len(against):
        opening = f"{best.recipe} is best on {dataset}: {score}."
    elif not beaten:
        opening = f"No winner is established on {dataset}; {best.recipe} leads with {score}."
    else:
        opening = f"{best.recipe} leads on {dataset} with {score}, but not every other is clearly behind."
    return (opening, *map(pair_sentence, against))


def pair_sentence(pair: Pair) -> str:
    """One pair in words: by how much, is it real, and if that is open, what would settle it."""
    points = f"{100 * pair.difference:.2f} points"
    interval = f"[{100 * pair.low:+.2f}, {100 * pair.high:+.2f}]"
    images = (
        f"of {pair.images:,} test images the first alone gets {pair.only_better:,.0f} right, "
        f"the second alone {pair.only_worse:,.0f}"
    )
    if pair.resolved:
        return f"{pair.better} beats {pair.worse} by {points} {interval}, a real difference; {images}."
    if pair.seeds == 1:
        return (
            f"{pair.better} is ahead of {pair.worse} by {points} {interval}, but one seed cannot tell luck from merit: "
            f"run at least 3 (--seeds 3); {images}."
        )
    if pair.limit == "test set":
        settle = "no number of seeds would settle it: the test set is too small for a difference of this size"
    elif pair.seeds_needed is None:
        settle = (
            f"with {pair.seeds} seeds nothing can be said yet, run more; "
            "should the difference really be this small, the test set would be too small for it"
        )
    else:
        many = f"more than {MOST_SEEDS}" if pair.seeds_needed > MOST_SEEDS else f"about {pair.seeds_needed}"
        settle = f"{many} seeds would be needed to settle it (80 % power)"
    return f"{pair.better} against {pair.worse}: the difference of {points} {interval} is not resolved: {settle}; {images}."


def _seeds(n: int) -> str:
    return f"{n} seed" if n == 1 else f"mean ± sd of {n} seeds"


def table(comparison: Comparison) -> list[list[str]]:
    """The comparison as text cells, header first."""
    head = [
        "recipe", "test %", "± sd", "95 % interval", "train %", "val %", "gap", "parameters", "FLOPs/image",
        "train s", "images/s", "1 image ms", "256 images ms", "ECE %",
    ]  # fmt: skip
    lines = [head]
    for r in comparison.rows:
        beside = f" ({r.at_once} at once)" if r.at_once > 1 else ""
        lines.append([
            r.recipe,
            percent(r.test),
            percent(r.test_sd),
            f"{percent(r.test_low)} – {percent(r.test_high)}",
            percent(r.train),
            percent(r.val),
            percent(None if r.val is None else r.train - r.val),
            f"{r.parameters:,}",
            human(r.flops),
            f"{r.train_s:.1f}{beside}",
            "–" if r.train_images_per_s is None else f"{r.train_images_per_s:,.0f}",
            "–" if r.latency_1_s is None else f"{1e3 * r.latency_1_s:.2f}",
            "–" if r.latency_256_s is None else f"{1e3 * r.latency_256_s:.1f}",
            percent(r.ece),
        ])  # fmt: skip
    return lines


def human(n: float) -> str:
    """A large count in three digits: 11.2 M.

    >>> human(11_173_962), human(950)
    ('11.2 M', '950')
    """
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if n >= limit:
            return f"{n / limit:.3g} {unit}"
    return f"{n:.0f}"
