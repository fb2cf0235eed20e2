"""What did it come to? The answer of a study of before, or the verdict on runs that are named. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence

from fittingroom.metrics.story import gather, of_study
from fittingroom.metrics.verdict import Question
from fittingroom.questions.ablate import reported as ablated
from fittingroom.questions.transfer import reported as transferred
from fittingroom.report.answer import Answer
from fittingroom.report.page import Compared
from fittingroom.store import Runs


def report(which: Sequence[str], runs: Runs, question: Question = Question()) -> Answer:
    """The answer again, judged from what is stored: of one study, by name or file; or of studies, run folders and beginnings
    of their names, compared with one another. Raises `FittingroomError`.
    """
    study = runs.study(which[0]) if len(which) == 1 else None
    match study and study.question:
        case "ablate":
            return ablated(which[0], runs, question)
        case "transfer":
            return transferred(which[0], runs, question)
        case "cv":
            return Compared(of_study(which[0], runs, question), runs, runs.path / "report.html", which[0])
    chosen, home = runs.select(which)
    return Compared(gather(chosen, home, question), home, runs.path / "report.html")
