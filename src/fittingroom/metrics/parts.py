"""Where one model is better than another: a difference taken apart (by class, by corruption), its parts judged together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fittingroom.metrics.crossed import Estimate, holm
from fittingroom.spec.records import Record


class Part(Record):
    """By how much A is better than B in one part of the data: a fraction, its interval at `level`, and whether it is real."""

    name: str
    difference: float
    low: float
    high: float
    level: float
    resolved: bool


def judge_parts(found: Iterable[tuple[str, Estimate]]) -> list[Part]:
    """Each named difference with Holm's correction over all of them.

    A class of one image or group, or a difference that never varies, says nothing about other images, so it is not called real.

    >>> import numpy as np
    >>> from fittingroom.metrics.crossed import estimate
    >>> ahead = np.array([[1] * 59 + [0], [1, 0] + [1] * 58, [1] * 60])
    >>> [part.resolved for part in judge_parts([("coat", estimate(ahead)), ("bag", estimate(0 * ahead))])]
    [True, False]
    """
    named = list(found)
    parts = []
    for (name, e), (p, level) in zip(named, holm([e.p for _, e in named]), strict=True):
        low, high = e.interval(level)
        resolved = min(e.seeds, e.units) > 1 and e.error > 0 and p < 0.05
        parts.append(Part(name=name, difference=e.mean, low=low, high=high, level=level, resolved=resolved))
    return parts


def parts_words(parts: Sequence[Part], a: str, b: str, what: str, at: str) -> str:
    """Where A is better and worse than B as a sentence; `what` are the parts, `at` the word before one.

    >>> def part(name: str, difference: float) -> Part:
    ...     return Part(name=name, difference=difference, low=0, high=0, level=0.95, resolved=difference != 0)
    >>> parts_words([part("coat", 0.03), part("bag", 0.0)], "cnn", "mlp", "classes", "at")
    'cnn is better than mlp at “coat” (+3.0 points); the other 1 of the 2 classes stay open.'
    """
    real = [part for part in parts if part.resolved]
    if not real:
        return f"In none of the {len(parts)} {what} is a difference between {a} and {b} established."

    def listed(sign: int) -> str:
        mine = sorted((p for p in real if sign * p.difference > 0), key=lambda p: -abs(p.difference))
        return ", ".join(f"“{p.name}” ({100 * p.difference:+.1f} points)" for p in mine)

    better, worse = listed(1), listed(-1)
    said = [f"better than {b} {at} {better}"] if better else []
    said += [f"worse {'' if better else f'than {b} '}{at} {worse}"] if worse else []
    others = len(parts) - len(real)
    rest = f"; the other {others} of the {len(parts)} {what} stay open" if others else ""
    return f"{a} is {' and '.join(said)}{rest}."
