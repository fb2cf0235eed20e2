"""Which classifier for these pictures: the answer of `fittingroom best` in words, a table, figures and one HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fittingroom.metrics.choice import Choice, choice
from fittingroom.metrics.rows import Pair
from fittingroom.metrics.words import human, percent, share_words
from fittingroom.report.answer import Answer, Table
from fittingroom.report.mistakes import confident_mistakes, confusion_words, confusions, pictured, wrong_pictures
from fittingroom.report.page import figures, write_report
from fittingroom.report.pictures import data_uri, png_bytes
from fittingroom.report.render import both_modes, render
from fittingroom.report.theme import Draw
from fittingroom.spec.records import Share
from fittingroom.store import Runs
from fittingroom.store.atomic import write
from fittingroom.store.runs import recipe_toml

FIRST = 3  # suspects that are named in a sentence


def chosen(name: str, runs: Runs, page: Path, files: Mapping[str, Path] | None = None) -> Chosen:
    """The answer of the study of this name, from what is stored. `files`: what was handed over just now."""
    found = choice(name, runs)
    if files is None and found.final.bundle.there:
        site = runs.path / f"{name}-site"
        files = {"bundle": found.final.bundle.path, **({"site": site} if site.exists() else {})}
    return Chosen(found, runs, page, name, files or {})


def headline(c: Choice) -> str:
    """One sentence that a person can repeat to a colleague."""
    right = share_words(Share(value=c.score.score, low=c.score.score_low, high=c.score.score_high))
    once = "which nobody had looked at before" if c.test_reads == 1 else f"which were looked at {c.test_reads} times"
    which = f"test pictures right, {once}" if c.tested else "pictures right that it had not seen"
    of = f": the best of {len(c.story.runs)} ways that were tried" if len(c.story.runs) > 1 else ""
    largest = f"always naming the largest would get {percent(c.yardstick, 1)} %"
    return f"{c.winner} gets {right} of {c.scored:,} {which} ({len(c.story.data.classes)} classes; {largest}){of}."


def protocol(c: Choice) -> str:
    """How it was judged, in one sentence or two."""
    copies = "exact copies" if c.story.any_run.recipe.data.near == 0 else "near copies"
    together = copies + (f" and what belongs together ({c.story.data.group})" if c.story.data.group else "")
    held = f"{len(c.story.labels_N):,}"
    if c.parts == 1:
        how = f"{held} pictures ({together} on one side) were held out to choose by"
    else:
        by = "a model" if c.repeats == 1 else f"{c.repeats} models"
        parts = f"{c.parts} parts{f', drawn {c.repeats} times' if c.repeats > 1 else ''}"
        how = f"Each of {held} pictures was answered by {by} that had not seen it ({parts}, {together} kept together)"
    if c.given_up:
        how += f"; {' and '.join(c.given_up)}, far behind, not on every drawing"
    if c.parts > 1 and len(c.story.runs) > 1 and not c.tested:
        several = ", ".join(f"{name} {c.votes.count(name)} times" for name in dict.fromkeys(c.votes))
        by = "all agreed" if len(set(c.votes)) == 1 else f"they chose {several}"
        how += f", and in each part the candidate was chosen by the others ({by}), so that the choice flatters no score"
    if c.tested:
        end = f"the winner was then trained on {c.trained_on:,} pictures, none of them of the test part, and met that once"
    else:
        whole = "all of them" if c.trained_on == len(c.story.labels_N) else f"{c.trained_on:,} of them"
        end = f"the model that is handed over was then trained on {whole}: the score is of this procedure"
    return f"{how}; {end}."


def against_others(c: Choice) -> list[str]:
    """How the winner stands against the others."""
    pairs = [p for p in c.story.comparison.pairs if c.winner in (p.better, p.worse)]
    clear = [p.better == c.winner and (p.resolved or (p.seeds == 1 and not p.folds and p.low > 0)) for p in pairs]
    beaten = [_behind(p) for p, is_clear in zip(pairs, clear, strict=True) if is_clear and not p.same]
    same = [p.other(c.winner) for p in pairs if p.same]
    level = [p.other(c.winner) for p, is_clear in zip(pairs, clear, strict=True) if not (is_clear or p.same)]
    once = " (one training each: the intervals cover other pictures, not another seed)" if c.parts == 1 else ""
    said = [f"It is ahead of {', '.join(beaten)}{once}."] if beaten else []
    said += [_as_good(c, name) for name in same]
    if level:
        which = "that" if len(level) == 1 else "each of them"
        said.append(f"Against {', '.join(level)} its lead is not established: {which} may be as good.")
    return said


def _as_good(c: Choice, name: str) -> str:
    """One that is as good for practical purposes, and whether it would be the cheaper one."""
    rows = {row.recipe: row for row in c.story.comparison.rows}
    mine, other = rows[c.winner].flops, rows[name].flops
    advice = f", and takes {human(other)} FLOPs an image instead of {human(mine)}: --candidates {name} takes it"
    return f"{name} is the same for practical purposes{advice if other < mine else ''}."


def _behind(pair: Pair) -> str:
    return f"{pair.worse} by {100 * pair.difference:.1f} points [{100 * pair.low:+.1f}, {100 * pair.high:+.1f}]"


def next_steps(c: Choice) -> list[str]:
    """What to do next, the most promising first."""
    said, weak = [], c.weakest
    begin = f"begin with “{weak.name}”: {share_words(weak.recognised)} of its {weak.images:,} are recognised"
    where = f"; {begin}" if weak.recognised.value < 1 else ""
    if c.more:
        gained = c.more.difference if c.more.better == c.half_of else -c.more.difference
        low, high = (c.more.low, c.more.high) if c.more.better == c.half_of else (-c.more.high, -c.more.low)
        gain = f"{100 * gained:.1f} points [{100 * low:+.1f}, {100 * high:+.1f}]"
        if low > 0:
            said.append(
                f"More pictures: with twice as many {c.half_of} gained {gain}, and as many again may bring less{where}."
            )
        else:
            said.append(f"More pictures may bring little: with twice as many {c.half_of} gained {gain}{where}.")
    elif where:
        said.append(f"More pictures{where}.")
    if c.suspects:
        shown = ", ".join(
            f"{s.name or f'#{s.index}'} ({s.given}, looks like {s.suggested})" for s in c.suspects[:FIRST]
        )
        more = " …" if len(c.suspects) > FIRST else "."
        n = len(c.suspects)
        said.append(f"Look at {n} picture{'s' if n > 1 else ''} whose label may be wrong: {shown}{more}")
    return said


@dataclass(frozen=True, repr=False, eq=False)
class Chosen(Answer):
    """Which way is best for these pictures, how good it is, what is handed over, and what to do next."""

    heading = "answer"
    choice: Choice
    runs: Runs
    page: Path
    study: str = ""
    handed_over: Mapping[str, Path] = field(default_factory=dict)

    @property
    def winner(self) -> str:
        """The candidate's name."""
        return self.choice.winner

    @property
    def sentences(self) -> list[str]:
        c = self.choice
        steps = next_steps(c)
        return [headline(c), *against_others(c), protocol(c), *(["Next: " + " ".join(steps)] if steps else [])]

    @property
    def table(self) -> Table:
        return self.choice.story.comparison.table

    @property
    def doubts(self) -> Sequence[str]:
        return self.runs.unsure_reads([self.choice.final])

    @property
    def files(self) -> Mapping[str, Path]:
        return self.handed_over

    @property
    def listing(self) -> Table:
        """Every picture that a candidate gets wrong, and what each says of it."""
        return wrong_pictures(self.choice.story)

    def json(self) -> dict[str, Any]:
        c = self.choice
        return {
            "winner": c.winner,
            "score": c.score.model_dump(mode="json"),
            "comparison": c.story.comparison.model_dump(mode="json"),
            "votes": list(c.votes),
            "suspects": [s.model_dump(mode="json") for s in c.suspects or ()],
            "next": next_steps(c),
            "run": c.final.name,
            "files": {name: str(path) for name, path in self.handed_over.items()},
        }

    def _write(self, path: Path) -> None:
        details = path.with_name(f"{path.stem}-candidates.html")
        write_report([self.choice.story], self.runs, details)
        write(path, render("best_page.html", **self._context(details.name)))

    def _context(self, details: str) -> dict[str, Any]:
        c = self.choice
        story = c.story
        pictures = story.thumbnails_NCHW
        return {
            "about": f"best {story.data.name}",
            "data": story.data,
            "headline": headline(c),
            "others": against_others(c),
            "protocol": protocol(c),
            "next": next_steps(c),
            "who": [(name, of[0].recipe.description) for name, of in story.runs.items()],
            "rows": story.comparison.table,
            "charts": {"differences": None} | {name: both_modes(draw) for name, draw in self._draw()},
            "confusions": [confusion_words(story, found) for found in confusions(story, c.winner)],
            "winner": c.winner,
            "suspects": []
            if pictures is None
            else [(s, data_uri(png_bytes(pictures[s.index]))) for s in c.suspects or ()],
            "can_suspect": c.suspects is not None,
            "mistakes": [pictured(one) for one in confident_mistakes(story, c.winner)],
            "details": details,
            "files": {name: str(path) for name, path in self.handed_over.items()},
            "recipe": recipe_toml(c.final.recipe),
            "run": c.final.name,
        }

    def _draw(self) -> Iterator[tuple[str, Draw]]:
        drawn, winner = dict(figures(self.choice.story)), self.winner
        wanted = {
            "candidates": "accuracy",
            "differences": "differences",
            "cost": "train_s",
            "confusion": f"confusion-{winner}",
        }
        for name, figure in {**wanted, "reliability": "reliability"}.items():
            if figure in drawn:
                yield name, drawn[figure]
