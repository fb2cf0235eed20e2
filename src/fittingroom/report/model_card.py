"""What a model is good for, and what not, in Markdown: the README of a bundle."""

from __future__ import annotations

import numpy as np

from fittingroom.metrics.against_rest import answers
from fittingroom.metrics.classes import most_confused
from fittingroom.metrics.finding import finding
from fittingroom.metrics.intervals import proportion
from fittingroom.metrics.metric import ACCURACY
from fittingroom.metrics.operating import Point
from fittingroom.metrics.robustness import robustness
from fittingroom.metrics.robustness import weakest as weakest_kinds
from fittingroom.metrics.words import human, percent, share_words
from fittingroom.report.render import render
from fittingroom.spec.bundle import BundleFacts, Parity
from fittingroom.spec.framing import Framing
from fittingroom.store import LoadedRun

SHOWN = 5  # classes that are recognised worst


def model_card(run: LoadedRun, facts: BundleFacts, parity: Parity, *, about: str, licence: str, test_reads: int) -> str:
    """The Markdown text: the run's logits are those of the graph. `about` and `licence` are the data's, in words.

    `test_reads`: how often its folder of runs has read the test images.
    """
    point, k = facts.operating, len(facts.classes)
    said = (
        answers(run.logits_NK, facts.classes.index(point.positive), point.threshold)
        if point
        else run.logits_NK.argmax(1)
    )
    by_class = []
    for c in np.unique(run.labels_N):
        mine = run.labels_N == c
        right, n = int((said[mine] == c).sum()), int(mine.sum())
        low, high = proportion(said[mine] == c, run.design.of(mine))
        by_class.append({"name": facts.classes[c], "share": right / n, "low": low, "high": high, "n": n})
    confusions = [
        {"true": facts.classes[c.true], "predicted": facts.classes[c.predicted], "share": c.share, "low": c.low, "high": c.high}
        for c in most_confused(said[None], run.labels_N, k, design=run.design)
    ]  # fmt: skip
    stood = robustness({run.name: [run]})
    robust = stood[0][0] if stood else None
    c, h, w = facts.framing.shape
    machine = run.environment
    where = Point(facts.classes)
    found = point.found if point else finding([run], where) if len(facts.classes) == 2 else None
    return render(
        "model_card.md",
        operating=point,
        number=facts.classes.index(point.positive) if point else 0,
        positive=point.positive if point else facts.classes[where.positives[0]],
        found=found,
        share=share_words,
        facts=facts,
        m=facts.measured,
        held_out=facts.measured.on == "held-out",
        of=facts.measured.images,
        groups=run.design.groups,
        confidence=facts.confidence,
        yardstick=ACCURACY.of_largest_class(run.labels_N),
        parity=parity,
        percent=percent,
        pictures=f"{'grey' if c == 1 else 'colour'} pictures ({w} × {h} pixels)",
        parameters=human(run.structure.parameters),
        flops=human(run.structure.flops),
        averaged=run.metrics.test_averaged.accuracy if run.metrics.test_averaged else None,
        weakest=sorted(by_class, key=lambda c: c["share"])[:SHOWN],
        confusions=confusions,
        robust=robust,
        harmed=weakest_kinds(robust) if robust else [],
        framing=framing_words(facts.framing),
        about=about,
        licence=licence,
        test_reads=test_reads,
        data=run.data,
        epochs=run.metrics.epochs,
        train_s=run.metrics.train_s,
        hardware=f"{machine.cpu if machine.device == 'cpu' else machine.device_name}, torch {machine.torch}",
    )


def framing_words(framing: Framing) -> str:
    """What is done to a picture of another form, in a sentence or two.

    >>> framing_words(Framing(channels=3, height=64, width=64, resize="pad"))
    'A picture of 64 × 64 pixels is taken as it is. Others are scaled to fit and padded with black, in colour.'
    """
    opening = f"A picture of {framing.width} × {framing.height} pixels is taken as it is."
    if framing.range:
        low, high = framing.range
        opening = f"Of more than eight bits, {low:g} becomes black and {high:g} white. {opening}"
    subject = framing.subject
    if subject is None:
        how = {
            "pad": "scaled to fit and padded with black",
            "crop": "scaled to fill, and what sticks out is cut off",
            "stretch": "stretched to that size",
        }[framing.resize]
        return f"{opening} Others are {how}, {'grey' if framing.channels == 1 else 'in colour'}."
    longer = round(subject.box * min(framing.height, framing.width))
    return (
        f"{opening} Others are made grey, inverted if their background is light, freed from the background's shade and cut to "
        f"what they show, which is scaled to {longer} pixels on its longer side, brightened until its lightest pixel is white, "
        f"and centred by its {subject.centre} on black."
    )
