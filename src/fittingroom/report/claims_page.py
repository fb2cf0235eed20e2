"""Judgements to a page: Markdown for a repository's docs, or one HTML file. Every figure comes from the runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

from fittingroom.metrics.claims import Groups, Judgement
from fittingroom.metrics.words import chances, percent, tally
from fittingroom.report import charts
from fittingroom.report.answer import Answer, Table
from fittingroom.report.render import render
from fittingroom.report.theme import Draw
from fittingroom.store import LoadedRun
from fittingroom.store.atomic import write

ORDER = ("reproduced", "beaten", "not reproduced", "undecided")
MEANING = {
    "reproduced": "the figure lies where one more run would fall, and that is known to a point; an order or a trend is real",
    "beaten": "all of the interval lies above the stated figure",
    "not reproduced": "all of it lies below, or the difference is real and the other way round",
    "undecided": "the runs do not settle it",
}


def _cells(recipe: str, dataset: str, runs: Sequence[LoadedRun]) -> list[str]:
    """A recipe's runs as a table's line."""
    tests = [run.metrics.test.accuracy for run in runs if run.metrics.test]
    n = len(runs)
    return [
        recipe,
        dataset,
        f"{n}" + (" (one: no spread)" if n == 1 else ""),
        f"{len(runs[0].epochs)}",
        percent(mean(tests)) + (f" ± {percent(stdev(tests))}" if n > 1 else ""),
        f"{runs[0].structure.parameters:,}",
        _seconds(runs),
    ]


def _seconds(runs: Sequence[LoadedRun]) -> str:
    """Training seconds of one run: by the rate measured alone on the machine, if it was; else as it was, with company."""
    first, cost = runs[0], runs[0].cost
    if cost and cost.train_images_per_s:
        seconds = len(first.epochs) * first.data.n_train / cost.train_images_per_s
        return f"{seconds:.3g} (alone, {_threads(cost.threads)})"
    seconds = median(sum(e.train_s for e in run.epochs) for run in runs)
    e = first.environment
    return f"{seconds:.3g} ({_threads(e.threads)}{f', {e.at_once} at once' if e.at_once > 1 else ''})"


def _threads(n: int) -> str:
    return f"{n} thread{'s' if n > 1 else ''}"


RUN_HEAD = ("recipe", "data", "seeds", "epochs", "test %", "parameters", "training seconds a run")


def headline(judged: Sequence[Judgement]) -> str:
    """How many claims stand, in one sentence."""
    changed = f", with {', '.join(judged[0].changed)} (not the full recipes)" if judged[0].changed else ""
    claims = f"{len(judged)} claim{'s' if len(judged) > 1 else ''}"
    return f"Of {claims}{changed}: {tally((j.outcome for j in judged), ORDER)}."


HEAD = (
    "claim",
    "in words",
    "outcome",
    "judged as",
    "measured [interval]",
    "seeds",
    "from the figures alone, %",
    "note",
)


def row(judged: Judgement) -> list[str]:
    """A judgement as text cells, as in `HEAD`."""
    outcome = judged.outcome + (f" (with {', '.join(judged.changed)})" if judged.changed else "")
    before = chances(judged.before) if judged.before else ""
    return [judged.id, judged.text, outcome, judged.stated, judged.measured, _seeds(judged), before, judged.note]


def _seeds(judged: Judgement) -> str:
    return f"{judged.seeds}" + (f" and {judged.than_seeds}" if judged.than_seeds not in (0, judged.seeds) else "")


def write_claims_page(
    judged: Sequence[Judgement],
    groups: Mapping[tuple[str, str], Sequence[LoadedRun]],
    path: Path,
    command: str,
) -> Path:
    """Write the judgements and the runs behind them, by recipe and data set: HTML if `path` ends so, else Markdown."""
    runs = [run for group in groups.values() for run in group]
    context: dict[str, Any] = {
        "headline": headline(judged),
        "outcomes": [(outcome, MEANING[outcome]) for outcome in ORDER],
        "sections": [
            (f"README {number}" if number.isdecimal() else number, [row(j) for j in judged if _source(j) == number])
            for number in dict.fromkeys(_source(j) for j in judged)
        ],
        "head": HEAD,
        "definitions": [
            (definition, reason) for definition, reason in dict.fromkeys((j.statistic, j.reason) for j in judged)
        ],
        "intervals": list(dict.fromkeys(j.interval for j in judged if j.interval != "none")),
        "run_head": RUN_HEAD,
        "runs": [_cells(*place, group) for place, group in groups.items()],
        "machines": list(dict.fromkeys(map(_machine, runs))),
        "days": _days(runs),
        "command": command,
        "changes": judged[0].changed,
    }
    write(path, render("claims_page.html" if path.suffix == ".html" else "claims_page.md", **context))
    return path


def _source(judged: Judgement) -> str:
    first = judged.id.split("-")[0]
    return first if first.isdecimal() else judged.recipe


def _machine(run: LoadedRun) -> str:
    e = run.environment
    where = e.cpu if e.device == "cpu" else e.device_name
    return f"{where}, {e.cores} cores, torch {e.torch}, {run.recipe.train.precision}"


def _days(runs: Sequence[LoadedRun]) -> str:
    days = sorted(run.environment.started[:10] for run in runs)
    return days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"


@dataclass(frozen=True, repr=False, eq=False)
class Replicated(Answer):
    """Each claim judged, and the runs behind them by recipe and data set."""

    judgements: Sequence[Judgement]
    groups: Groups
    command: str
    page: Path

    @property
    def sentences(self) -> list[str]:
        return [headline(self.judgements)]

    @property
    def table(self) -> Table:
        return [[HEAD[0], *HEAD[2:]], *([cells[0], *cells[2:]] for cells in map(row, self.judgements))]

    def json(self) -> dict[str, Any]:
        return {"claims": [j.model_dump(mode="json") for j in self.judgements]}

    def _write(self, path: Path) -> None:
        write_claims_page(self.judgements, self.groups, path, self.command)

    def _draw(self) -> Iterator[tuple[str, Draw]]:
        runs = {f"{recipe} on {dataset}": [r.epochs for r in group] for (recipe, dataset), group in self.groups.items()}
        yield "accuracy_curves", lambda: charts.curves(runs, "accuracy")
