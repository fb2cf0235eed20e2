"""What does an answer rest on? Filters, feature maps, attributions, neighbours, prototypes, a map of the test set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fittingroom.explain import explain as explain_run
from fittingroom.questions.compare import page_of
from fittingroom.report.explain_page import Explained, explained_images
from fittingroom.store import RunFolder
from fittingroom.study.sharing import threads_each
from fittingroom.study.workplace import Workplace


def explain(
    run: RunFolder, place: Workplace, *, images: Sequence[int] = (), pictures: Sequence[Path] = ()
) -> Explained:
    """Explain a finished run: test `images` by row (from 0), `pictures` of one's own, and its most confident mistakes.

    Raises `FittingroomError`.
    """
    explain_run(run, run.home, images, pictures, threads=threads_each(), home_dir=place.home, say=place.progress.note)
    told = explained_images(run.explained(), run.data.classes)
    return Explained(run, told, len(images) + len(pictures), page_of(place.runs, f"explain-{run.name}"))
