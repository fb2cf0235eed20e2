"""Commands that weigh evidence: claims judged, runs put under stress, runs explained."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from fittingroom.cli.options import (
    AtOnce,
    Device,
    Home,
    Json,
    Launcher,
    Quiet,
    RunsDir,
    Which,
    names_and_changes,
)


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
    at_once: AtOnce = None,
    launcher: Launcher = "local",
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

    words, changes = names_and_changes(which)
    changes += [QUICK] * quick
    asked = questions(words, claim or [], changes)
    folder = Runs(runs)
    source: list[str] = []
    study = plan_trials(
        trials(asked, seeds), folder, device=device, at_once=at_once, by=launcher, home_dir=home, say=source.append
    )
    groups = grouped(train_missing(study, folder, source, quiet or as_json))
    judged = judgements(asked, groups, changes)
    options = [
        *(f"--claim={name}" for name in claim or []),
        *([f"--seeds={seeds}"] if seeds else []),
        *["--quick"] * quick,
    ]
    command = shlex.join(["fittingroom", "replicate", *(which or []), *options])
    page = write_claims_page(judged, groups, report or runs / "claims.html", command)
    if as_json:
        show.as_json({"claims": [j.model_dump(mode="json") for j in judged], "report": str(page)})
        return
    show.table([HEAD[0], *HEAD[2:]], [[cells[0], *cells[2:]] for cells in map(row, judged)], left=4)
    print(f"\n{headline(judged)}\nreport: {page}")


def stress(
    which: Which,
    device: Device = "auto",
    at_once: AtOnce = None,
    launcher: Launcher = "local",
    runs: RunsDir = Path("runs"),
    home: Home = None,
    out: Annotated[Path | None, typer.Option(help="The HTML page (default: stress.html in the runs folder).")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Classify corrupted test images (eleven kinds, five severities) with finished runs, and compare how they stand it."""
    from dataclasses import replace

    import numpy as np

    from fittingroom.augment.corruptions import CORRUPTIONS
    from fittingroom.cli import show
    from fittingroom.cli.board import share_of
    from fittingroom.data import reload
    from fittingroom.report.gather import gather, robustness
    from fittingroom.report.stress_page import write_stress_page
    from fittingroom.report.tables import robust_tables
    from fittingroom.store import Runs
    from fittingroom.store.runs import safe_name
    from fittingroom.study.launch import launcher as launcher_of
    from fittingroom.study.plan import sharing
    from fittingroom.study.stress import examples
    from fittingroom.study.stress import stress as run_stress
    from fittingroom.training import choose_device

    chosen, folder = Runs(runs).select(which)
    compared = gather(chosen, folder)  # refuses what could not be compared, before the test set is read
    together, threads = sharing(choose_device(device), launcher, at_once)
    with (
        launcher_of(launcher, together) as by,
        share_of(f"corrupted images, {len(chosen)} runs", quiet or as_json) as tick,
    ):
        run_stress(chosen, folder, by, device=device, threads=threads, home_dir=home, tick=tick)
    stories = [replace(story, robust=robustness(story.runs)) for story in compared]
    pages = []
    for story in stories:
        assert story.robust
        train = reload(story.data.name, story.data.digest, home).train
        harmed = examples(train.take(np.arange(min(500, len(train)))))[:, :, :3]
        name = out or runs / "stress.html"
        if len(stories) > 1:
            name = name.with_stem(f"{name.stem}-{safe_name(story.data.name)}")
        pages.append(str(write_stress_page(story, list(CORRUPTIONS), harmed, name)))
    if as_json:
        found = [
            {
                "dataset": story.data.name,
                "rows": [r.model_dump(mode="json") for r in story.robust[0]],
                "pairs": [p.model_dump(mode="json") for p in story.robust[1]],
            }
            for story in stories
            if story.robust
        ]
        show.as_json({"robustness": found, "pages": pages})
        return
    for story in stories:
        assert story.robust
        tables = robust_tables(*story.robust)
        show.table(tables["head"], tables["rows"])
        print()
        show.table(tables["kinds_head"], tables["kinds"])
        print("\n" + "\n".join(tables["sentences"]))
    print(f"page: {', '.join(pages)}")


def explain(
    run: Annotated[str, typer.Argument(help="A finished run: its folder, or the beginning of its name.")],
    image: Annotated[
        list[str] | None,
        typer.Argument(metavar="[IMAGE]...", help="Test images by number (from 0), or picture files of your own."),
    ] = None,
    runs: RunsDir = Path("runs"),
    home: Home = None,
    out: Annotated[
        Path | None, typer.Option(help="The HTML page (default: explain-RUN.html in the runs folder).")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Show why a run says what it says: filters, feature maps, attributions, neighbours, prototypes, a map of the test set."""
    from fittingroom.cli import show
    from fittingroom.cli.board import Board
    from fittingroom.explain import explain as explain_run
    from fittingroom.report.explain_page import explained_images, write_explain_page
    from fittingroom.report.tables import deletion_words
    from fittingroom.store import Runs
    from fittingroom.store.runs import safe_name
    from fittingroom.study.plan import threads_each

    folder = Runs(runs)
    found = folder.find(run)
    rows = [int(word.removeprefix("#")) for word in image or [] if word.removeprefix("#").isdecimal()]
    files = [Path(word) for word in image or [] if not word.removeprefix("#").isdecimal()]
    board = Board([], quiet or as_json)
    explain_run(found, found.home, rows, files, threads=threads_each(), home_dir=home, say=board.say)
    page = write_explain_page(found, out or runs / f"explain-{safe_name(found.name)}.html")
    curve = found.deletion()
    assert curve
    told = explained_images(found.explained(), found.data.classes)
    if as_json:
        show.as_json({"run": found.name, "images": told, "deletion": curve, "page": str(page)})
        return
    for one in told[: len(files) + len(rows)]:
        what = f"test image {one['row']} ({one['true']})" if one["true"] else "your image"
        print(f"{what}: {', '.join(f'{name} {100 * p:.0f} %' for name, p in one['said'].items())}")
    print(f"{found.name}: {deletion_words([curve])}\npage: {page}")


ALL = (replicate, stress, explain)
