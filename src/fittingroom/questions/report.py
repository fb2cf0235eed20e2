"""What did it come to? The answer of a study of before, or the verdict on runs that are named. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from fittingroom.metrics.story import of_study, stories
from fittingroom.metrics.verdict import Question
from fittingroom.questions.ablate import reported as ablated
from fittingroom.questions.compare import page_of
from fittingroom.questions.kept import most_alike
from fittingroom.questions.transfer import reported as transferred
from fittingroom.report.answer import Answer
from fittingroom.report.best_page import chosen as best_again
from fittingroom.report.page import Compared
from fittingroom.spec.errors import FittingroomError
from fittingroom.store import Runs, Study, load_run
from fittingroom.store.evidence import is_evidence, packed_runs


def report(which: Sequence[str], runs: Runs, question: Question = Question()) -> Answer:
    """The answer again, judged from what is stored: of one study, by name or file; or of studies, run folders and beginnings
    of their names, and of packed runs (a folder of evidence, or its files), compared with one another. Raises `FittingroomError`.
    """
    study = runs.study(which[0]) if len(which) == 1 else None
    page = page_of(runs, "report")
    match study:
        case Study(question="ablate"):
            return ablated(study, which[0], runs, question)
        case Study(question="transfer"):
            return transferred(study, which[0], runs, question)
        case Study(question="best"):
            return best_again(which[0], runs, page)
        case Study(question="cv"):
            return Compared(of_study(which[0], runs, question), runs, page, which[0])
    packed = [word for word in which if is_evidence(Path(word))]
    chosen, home = runs.select([word for word in which if word not in packed])
    loaded = [*chain.from_iterable(packed_runs(Path(word)) for word in packed), *map(load_run, chosen)]
    for name, digest in {(run.name, run.data.digest) for run in loaded if run.packed}:
        if left := most_alike([run for run in loaded if (run.name, run.data.digest) == (name, digest)])[1]:
            raise FittingroomError(
                f"{left} packed runs of {name} are of another precision or device than most; name the files to be compared"
            )
    asked = question.or_else(study.asked) if study else question
    several = which if len(which) > 1 else ()
    settled = next((name for name in several if (one := runs.study(name)) and one.asked.get("most")), "")
    return Compared(stories(loaded, home, asked), home, page, settled=settled)
