"""What does an answer rest on? Filters, feature maps, attributions, neighbours, prototypes, a map of the test set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fittingroom.explain import explain as explain_run
from fittingroom.questions.answer import Answer, Table
from fittingroom.questions.compare import page_of
from fittingroom.report import charts
from fittingroom.report.explain_page import explained_images, write_explain_page
from fittingroom.report.tables import deletion_words
from fittingroom.report.theme import Draw
from fittingroom.store import RunFolder
from fittingroom.study.sharing import threads_each
from fittingroom.study.workplace import Workplace


@dataclass(frozen=True, repr=False, eq=False)
class Explained(Answer):
    """A run, what it says of each explained image (those that were asked for first), and the deletion curve."""

    run: RunFolder
    images: Sequence[Mapping[str, Any]]
    asked: int
    page: Path

    @property
    def deletion(self) -> dict[str, Any]:
        """The confidence while the pixels that matter most are deleted, beside random ones."""
        curve = self.run.deletion()
        assert curve
        return curve

    @property
    def sentences(self) -> list[str]:
        return [f"{self.run.name}: {deletion_words([self.deletion])}"]

    @property
    def table(self) -> Table:
        lines = [
            [
                f"test image {one['row']} ({one['true']})" if one["true"] else "your image",
                ", ".join(f"{name} {100 * p:.0f} %" for name, p in one["said"].items()),
            ]
            for one in self.images[: self.asked]
        ]
        return [["image", "what the model says"], *lines]

    def json(self) -> dict[str, Any]:
        return {"run": self.run.name, "images": list(self.images), "deletion": self.deletion}

    def _write(self, path: Path) -> None:
        write_explain_page(self.run, path)

    def _draw(self) -> Iterator[tuple[str, Draw]]:
        yield "deletion", lambda dark: charts.deletion(self.deletion)


def explain(
    run: RunFolder, place: Workplace, *, images: Sequence[int] = (), pictures: Sequence[Path] = ()
) -> Explained:
    """Explain a finished run: test `images` by row (from 0), `pictures` of one's own, and its most confident mistakes.

    Raises `FittingroomError`.
    """
    explain_run(run, run.home, images, pictures, threads=threads_each(), home_dir=place.home, say=place.progress.note)
    told = explained_images(run.explained(), run.data.classes)
    return Explained(run, told, len(images) + len(pictures), page_of(place, f"explain-{run.name}"))
