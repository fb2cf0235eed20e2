"""Is a claimed order probable? From reported figures alone, before anything is trained."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from fittingroom.data.catalog import count_test_images
from fittingroom.metrics.reported import weigh
from fittingroom.questions.compare import page_of
from fittingroom.report.reported_page import Weighed
from fittingroom.spec.claimed import figures_of
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.reported import Reported, is_reported, read_reported, reported
from fittingroom.store.fetch import home
from fittingroom.study.workplace import Workplace


def claims(words: Sequence[str], place: Workplace) -> Weighed:
    """How probable it is that a claimed order holds for other images and other seeds, as far as the figures tell.

    `words`: sentences like "CNN 92.68 vs MLP 91.65 on 10000" (or "… on mnist over 5 runs"), files of `[[claims]]` with such
    `figures`, READMEs (000 … 004), recipes or files that make claims. Raises `FittingroomError`.
    """
    if not words:
        raise FittingroomError(
            'claims: give figures, like "92.68 vs 91.65 on 10000", a file of [[claims]], or a README (000 … 004)'
        )
    found = _unquoted(words) or [claim for number, word in enumerate(words, 1) for claim in _read(word, number)]
    # what a README claims, and its recipe again, once
    found = list({(claim.id, claim.figures, claim.on): claim for claim in found}.values())
    sized = [(claim, count_test_images(claim.on, home(place.home))) for claim in found]
    return Weighed(*weigh(sized), shlex.join(["fittingroom", "claims", *words]), page_of(place.runs, "figures"))


def _unquoted(words: Sequence[str]) -> list[Reported]:
    """The figures that words make together which were typed without quotes; [] where each is something by itself."""
    if len(words) < 3 or any(" " in word for word in words):
        return []
    try:
        return [reported(" ".join(words), id="1")]
    except FittingroomError:
        return []


def _read(word: str, number: int) -> list[Reported]:
    """What the word of this number means: a sentence has spaces, a file its ending, the rest are READMEs and recipes."""
    path = Path(word).expanduser()
    is_file = path.suffix == ".toml"
    if is_file and is_reported(path):
        return read_reported(path)
    if " " in word.strip() and not is_file:
        return [reported(word, id=str(number))]
    return figures_of([word], "fittingroom claims --help")
