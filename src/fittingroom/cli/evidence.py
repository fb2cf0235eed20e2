"""Commands that weigh evidence: claims judged, parts taken away, runs put under stress."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from fittingroom.cli.options import Device, Home, Json, Quiet, RunsDir


def replicate(
    which: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[README|RECIPE]... [KEY=VALUE]...",
            help="README numbers (000 … 004), recipes or files that make claims; none: all that ship.",
        ),
    ] = None,
    claim: Annotated[
        list[str] | None, typer.Option(help="Only the claim of this id; may be given several times.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Seeds 0 … N-1 (default: 10, 3 or 1, by the length of a run).")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Two epochs each, for a look; every row says so.")] = False,
    report: Annotated[
        Path | None,
        typer.Option(help="Where to write the judgements: .md or .html (default: claims.html in the runs folder)."),
    ] = None,
    device: Device = "auto",
    runs: RunsDir = Path("runs"),
    home: Home = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Re-run recipes that carry claims, then judge every claim: reproduced, beaten, not reproduced or undecided."""
    from fittingroom.cli import show
    from fittingroom.cli.board import train_missing
    from fittingroom.report.claims_page import HEAD, headline, row, write_claims_page
    from fittingroom.store import Runs
    from fittingroom.study.replicate import QUICK, grouped, judgements, questions, trials
    from fittingroom.study.run import plan_trials

    words = [word for word in which or [] if "=" not in word]
    changes = [word for word in which or [] if "=" in word] + ([QUICK] if quick else [])
    asked = questions(words, claim or [], changes)
    folder = Runs(runs)
    source: list[str] = []
    study = plan_trials(trials(asked, seeds), folder, device=device, home_dir=home, say=source.append)
    groups = grouped(train_missing(study, folder, source, quiet or as_json), folder)
    judged = judgements(asked, groups, changes)
    again = [word for word in sys.argv[1:] if not word.startswith(("--report", "--runs", "--home"))]
    command = shlex.join(["fittingroom", *again]) if again[:1] == ["replicate"] else "fittingroom replicate"
    page = write_claims_page(judged, groups, report or runs / "claims.html", command, changes)
    if as_json:
        show.as_json({"claims": [j.model_dump(mode="json") for j in judged], "report": str(page)})
        return
    show.table([HEAD[0], *HEAD[2:]], [[cells[0], *cells[2:]] for cells in map(row, judged)], left=4)
    print(f"\n{headline(judged)}\nreport: {page}")


ALL = (replicate,)
