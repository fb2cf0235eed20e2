"""What `fittingroom best` found: how good the chosen way is, what more pictures would bring, which labels look wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec

import numpy as np

from fittingroom.metrics.audit import Suspect, doubted
from fittingroom.metrics.calibration import probabilities, temperature
from fittingroom.metrics.classes import class_scores
from fittingroom.metrics.crossed import estimate
from fittingroom.metrics.folds import chosen, pooled
from fittingroom.metrics.intervals import proportion
from fittingroom.metrics.metric import ACCURACY
from fittingroom.metrics.rows import Pair, Row
from fittingroom.metrics.story import Story, of_study
from fittingroom.metrics.suspects import UNLIKELY, find_suspects
from fittingroom.metrics.verdict import Question, compare
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.records import Share
from fittingroom.store import LoadedRun, RunFolder, Runs, Study, load_run

FAR = 0.001  # a p-value at which a candidate is given up before the end
LISTED = 40  # pictures whose labels look wrong, at most


@dataclass(frozen=True)
class WeakClass:
    """The class that is recognised least often."""

    name: str
    images: int
    recognised: Share


@dataclass(frozen=True)
class Choice:
    """The candidates, the one that is handed over, and what is known of it."""

    story: Story  # of the candidates, on held-out pictures
    parts: int  # that were held out, one after the other; 1: one part for all
    repeats: int  # how often those parts were drawn
    votes: tuple[str, ...]  # whom each part chose by the others
    procedure: Row | None  # what choosing and training this way gets; None where one part was held out for all
    tested: Row | None  # what the winner got on the test set, which it met once
    final: RunFolder  # the winner, trained on everything
    trained_on: int  # pictures of that
    scored: int  # pictures that the score is of
    yardstick: float  # what always naming the largest class gets of these
    test_reads: int  # of the test set, in this folder of runs
    more: Pair | None  # the same recipe with half of the pictures against all
    half_of: str  # that recipe
    suspects: tuple[Suspect, ...] | None  # None: what looks for them is not installed, or the winner is no judge
    weakest: WeakClass

    @property
    def given_up(self) -> tuple[str, ...]:
        """Candidates that were so far behind that they were not tried on every division."""
        return tuple(name for name, runs in self.story.runs.items() if len(runs) < self.repeats)

    @property
    def winner(self) -> str:
        """The candidate that is best on the pictures that were held out."""
        return self.story.comparison.rows[0].recipe

    @property
    def score(self) -> Row:
        """The figure to repeat: of pictures that had no part in choosing or training."""
        return self.tested or self.procedure or self.story.comparison.rows[0]


def hopeless(story: Story) -> set[str]:
    """The candidates that are so far behind the leader that no further division of the pictures would change it.

    At p < 0.001, corrected for the number of pairs: looking that strictly before the end leaves the last look's 5 % all but
    untouched (Haybittle 1971, *Brit. J. Radiol.* 44; Peto et al. 1976, *Brit. J. Cancer* 34).
    """
    leader = story.comparison.rows[0].recipe
    return {pair.worse for pair in story.comparison.pairs if pair.better == leader and pair.p < FAR}


def choice(name: str, runs: Runs) -> Choice:
    """What the study of this name, of `fittingroom best`, came to, from what is stored."""
    study = runs.study(name)
    assert study is not None
    [story] = of_study(name, runs)
    about, fold_N = study.settings, runs.study_arrays(name)["fold_N"]
    procedure, votes = chosen(_candidates(story, study)) if about["parts"] > 1 else (None, ())
    final = RunFolder(runs.path / about["final"])
    tested = load_run(final) if final.metrics.test else None
    labels_N = tested.labels_N if tested else story.labels_N
    half = [RunFolder(runs.path / run) for run in about["half"]]
    half_of, more = _more(story, half, fold_N) if half else ("", None)
    return Choice(
        story=story,
        parts=about["parts"],
        repeats=about.get("repeats", 1),  # a study of before has none
        votes=votes,
        procedure=_row(procedure) if procedure else None,
        tested=_row([tested]) if tested else None,
        final=final,
        trained_on=final.data.n_train,
        scored=len(labels_N),
        yardstick=ACCURACY.of_largest_class(labels_N) or 0.0,
        test_reads=runs.test_reads().get(story.data.name, 0),
        more=more,
        half_of=half_of,
        suspects=_suspects(story),
        weakest=_weakest(story),
    )


def evidence_of(run: RunFolder, runs: Runs) -> tuple[LoadedRun, Row] | None:
    """What speaks for a model that was trained on every picture there is: what its way of choosing and training said of pictures
    held out, and its score. None where `fittingroom best` did not make it so.

    Where the parts were drawn several times the answers are the first time's, the score is of all.
    """
    damaged: list[str] = []
    for name, study in runs.whole_studies(damaged.append).items():
        if study.question == "best" and study.settings["final"] == run.name and study.settings["parts"] > 1:
            [story] = of_study(name, runs)
            every, _ = chosen(_candidates(story, study))
            held = every[0]
            evidence = replace(
                held,
                folder=run,
                recipe=run.recipe,
                data=run.data,
                metrics=run.metrics,
                environment=run.environment,
                structure=run.structure,
                val_logits_NK=held.logits_NK,
                val_labels_N=held.labels_N,
                val_design=held.design,
            )
            return evidence, _row(every)
    if damaged:
        raise FittingroomError(f"{damaged[0]}; what is known of {run.name} may have been in it")
    return None


def _candidates(story: Story, study: Study) -> list[list[LoadedRun]]:
    """In the order in which they were tried: that of their scores would be a choice."""
    return [story.runs[recipe] for recipe in study.settings["recipes"]]


def _row(runs: Sequence[LoadedRun]) -> Row:
    return compare(runs[0].data.name, runs, classes=runs[0].data.classes).rows[0]


def _more(story: Story, half: list[RunFolder], fold_N: np.ndarray) -> tuple[str, Pair]:
    """The same recipe with half of the pictures and with all."""
    name = half[0].recipe.name
    whole = story.runs[name.removesuffix(" half")]
    less = [replace(run, data=whole[0].data) for run in pooled({name: half}, fold_N)]
    question = Question(against=whole[0].name)
    return whole[0].name, compare(story.data.name, [*whole, *less], question, "held-out").pairs[0]


def _suspects(story: Story) -> tuple[Suspect, ...] | None:
    """The labels that the winner's answers to pictures that it had not seen speak against, the most doubted first."""
    if find_spec("cleanlab") is None:
        return None
    runs = story.runs[story.any_run.name]
    p_NK = np.mean([probabilities(r.logits_NK, temperature(r.logits_NK, r.labels_N)) for r in runs], 0)
    found = find_suspects("held-out", p_NK, story.labels_N)
    if not found.able:
        return None
    first = found.order_N[:LISTED]
    own_N = found.p_NK[first, story.labels_N[first]]
    return doubted(found, first[found.flagged_N[first] & (own_N < UNLIKELY)], story.data.classes, story.names_N)


def _weakest(story: Story) -> WeakClass:
    run = story.any_run
    counts_KK = story.confusion(run.name)
    recall_K = np.nan_to_num(class_scores(counts_KK).recall_K, nan=2.0)
    c = int(recall_K.argmin())
    mine = run.labels_N == c
    right_SN = np.stack([r.logits_NK[mine].argmax(1) == c for r in story.runs[run.name]])
    if len(right_SN) == 1:
        low, high = proportion(right_SN[0], run.design.of(mine))
    else:
        low, high = np.clip(estimate(right_SN, run.design.of(mine)).interval(), 0.0, 1.0)
    return WeakClass(story.data.classes[c], int(mine.sum()), Share(value=float(recall_K[c]), low=low, high=high))
