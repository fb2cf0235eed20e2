"""`fittingroom train`, and the runs that came of it: listed, shown, deleted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fittingroom.cli.options import Data, Home, Json, Overrides, RunsDir
from fittingroom.cli.shell import works

if TYPE_CHECKING:
    from fittingroom.store import RunFolder, Runs
    from fittingroom.study.workplace import Workplace


@works("device", "launcher", "runs", "home", "strict", resume="--resume")
def train(
    place: Workplace,
    recipe: Annotated[str, typer.Argument(help="A recipe's name (see: fittingroom recipes) or its TOML file.")],
    overrides: Overrides = None,
    data: Data = "",
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Decides weights, order, augmentation, dropout.")] = 0,
    workers: Annotated[
        int,
        typer.Option(min=1, help="Processes that share this training, each with a part of every batch (needs Ray)."),
    ] = 1,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run; an error if there is none.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget what this run has done and start over.")] = False,
    no_test: Annotated[bool, typer.Option("--no-test", help="Do not read the test set.")] = False,
    as_json: Json = False,
) -> None:
    """Train one recipe with one seed. An interrupted run goes on where it stopped, to the same bytes."""
    from fittingroom.cli import show
    from fittingroom.questions.listing import facts
    from fittingroom.spec.errors import FittingroomError
    from fittingroom.spec.read import read_recipe
    from fittingroom.store.events import Answered

    if resume and fresh:
        raise FittingroomError("--resume goes on, --fresh starts over; give one of them")
    read = read_recipe(recipe, overrides or [])
    with place.loading_torch():
        from fittingroom.questions.train import train

    begin = "resume" if resume else "fresh" if fresh else ""
    run = train(read, place, data=data, seed=seed, test=not no_test, workers=workers, begin=begin)  # type: ignore[arg-type]
    place.progress.event(Answered(question="train", subject=run.name, sentences=(), files=(str(run.path),)))
    if as_json:
        show.as_json(facts(run))
    else:
        _print_run(run)


def runs(
    which: Annotated[str, typer.Argument(metavar="[TEXT]", help="Only runs whose name holds this.")] = "",
    runs: RunsDir = Path("runs"),
    show_one: Annotated[bool, typer.Option("--show", help="Everything about the one run that fits.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Delete the runs that fit, after asking.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before deleting.")] = False,
    unfinished: Annotated[bool, typer.Option("--unfinished", help="Only runs that are not finished.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="The parts of studies, too: folds of cv and audit, trials of tune.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--verify", help="Check every file against its seal, and the files against one another.")
    ] = False,
    tidy: Annotated[
        bool,
        typer.Option("--tidy", help="Remove what killed commands left, here, in the home and among temporary files."),
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List, filter, show, verify and delete runs."""
    from fittingroom.cli import show
    from fittingroom.questions.listing import facts, runs_in, runs_table
    from fittingroom.spec.errors import FittingroomError
    from fittingroom.store import Runs

    folder = Runs(runs)
    if check:
        _verify(folder, which, as_json)
        return
    if tidy:
        _tidy(folder, home, as_json)
        return
    found, hidden = runs_in(folder, which, everything, unfinished)
    if delete:
        if not which and not unfinished:
            raise FittingroomError("say which runs to delete: fittingroom runs TEXT --delete")
        if not found:
            what = f'has "{which}" in its name' if which else "is unfinished"
            raise FittingroomError(f"no run in {runs} {what}; see: fittingroom runs")
        for r in found:
            print(r.name, file=sys.stderr)
        if not yes and not typer.confirm(f"delete {len(found)} run{'s' if len(found) > 1 else ''} for good?", err=True):
            raise FittingroomError("nothing was deleted")
        for r in found:
            folder.delete(r)
        print(f"deleted {len(found)}", file=sys.stderr)
        return
    if show_one:
        run = folder.find(found[0].name if len(found) == 1 else which)
        if as_json:
            show.as_json(facts(run))
        else:
            _print_run(run)
            print(run.toml)
        return
    for line in folder.unsure_reads(found):
        warn(line)
    if as_json:
        known = [facts(r) for r in found]
        show.as_json({"runs": known, "studies": folder.studies(), "test_reads": folder.test_reads()})
        return
    if found:
        show.table(*runs_table(found).table)
    else:
        print(f"no runs in {runs}" + (f' with "{which}" in their name' if which else ""))
    if hidden:
        print(f"{hidden} that are parts of studies are not listed (--all lists them)")
    if studies := folder.whole_studies(warn):
        print(f"studies: {', '.join(f'{name} ({len(study.runs)} runs)' for name, study in studies.items())}")
    for name, n in folder.test_reads().items():
        print(f"the test set of {name} has been read {n} time{'s' if n != 1 else ''} in {runs}")


def warn(line: str) -> None:
    """What a person has to know, and a program that reads standard output has not."""
    print(f"warning: {line}", file=sys.stderr)


def _verify(runs: Runs, which: str, as_json: bool) -> None:
    from fittingroom.cli import show
    from fittingroom.questions.verify import DAMAGED, verify
    from fittingroom.spec.errors import FittingroomError

    found = verify(runs, which)
    damaged = [row for row in found if row["state"] == DAMAGED]
    if as_json:
        show.as_json({"verified": list(found), "damaged": len(damaged)})
    else:
        for row in found:
            print(f"{row['state']:<12}  {row['what']}" + (f": {row['why']}" if row["why"] else ""))
    if damaged:
        raise FittingroomError(f"{len(damaged)} of {len(found)} are damaged")
    if not as_json:
        print(f"{len(found)} verified, none damaged")


def _tidy(runs: Runs, home: Path | None, as_json: bool) -> None:
    import tempfile

    from fittingroom.cli import show
    from fittingroom.store.fetch import home as home_of
    from fittingroom.store.litter import litter, remove

    left = [*litter(runs.path, ours=True), *litter(home_of(home), ours=True)]
    left += [path for path in litter(Path(tempfile.gettempdir())) if path.name.startswith(".fittingroom.")]
    found = {str(path): remove(path) for path in left}
    removed = {path: size for path, size in found.items() if size is not None}
    stayed = [path for path in found if path not in removed]
    if as_json:
        show.as_json({"removed": removed, "not_removed": stayed})
        return
    for path, size in removed.items():
        print(f"{size:>13,} bytes  {path}")
    n = len(removed)
    print(f"removed {n} that killed commands left" if n else "no killed command left anything")
    for path in stayed:
        warn(f"{path} could not be removed")


def _print_run(run: RunFolder) -> None:
    from fittingroom.metrics.diagnosis import diagnose
    from fittingroom.metrics.intervals import proportion
    from fittingroom.metrics.metric import right
    from fittingroom.metrics.words import human, percent

    if not run.done:
        print(f"{run.name}: not finished, {run.saved_epochs} epochs are saved")
        return
    m, s = run.metrics, run.structure
    if m.test:
        plus = f", averaged over views {percent(m.test_averaged.accuracy)} %" if m.test_averaged else ""
        said = run.predictions("test")
        assert said is not None
        low, high = proportion(right(*said) > 0, run.design())
        others = f"images of other groups ({run.data.group})" if run.data.group else "other images"
        interval = f"95 % interval {percent(low)} to {percent(high)} for {others}, not for other seeds"
        print(
            f"test accuracy        {percent(m.test.accuracy)} %  ({m.test.n:,} images, ECE {percent(m.test.ece)} %{plus})\n"
            f"                     {interval}"
        )
    else:
        print("test accuracy        not read (--no-test)")
    print(f"validation accuracy  {percent(m.val_accuracy)} %")
    print(f"training accuracy    {percent(m.train.accuracy)} %  (clean, {m.train.n:,} images)")
    print(f"weights of epoch     {m.selected_epoch} of {m.epochs}")
    print(f"training             {m.train_s:.1f} s, and {m.eval_s:.1f} s of evaluation")
    print(f"model                {s.parameters:,} parameters, {human(s.flops)} FLOPs an image")
    print(f"run folder           {run.path}")
    for finding in diagnose([run.epochs], len(run.data.classes), run.data.n_val):
        advice = f"; to try: {finding.advice}" if finding.advice else ""
        print(f"{finding.kind:<20} {finding.words}{advice}")


def pack(
    which: Annotated[list[str], typer.Argument(help="Studies, run folders, or beginnings of names.")],
    to: Annotated[Path, typer.Option("--to", help="The folder of evidence to add to.")] = Path("evidence"),
    runs: RunsDir = Path("runs"),
    as_json: Json = False,
) -> None:
    """Pack finished runs to a few kilobytes each: curves and answers, enough for report and replicate, without weights."""
    from fittingroom.cli import show
    from fittingroom.store import Evidence, Runs

    found, _ = Runs(runs).select(which)
    evidence = Evidence(to)
    files = [evidence.pack(run) for run in found]
    size = sum(file.stat().st_size for file in files)
    if as_json:
        show.as_json({"packed": [str(file) for file in files], "bytes": size})
    else:
        print(f"packed {len(files)} run{'s' if len(files) != 1 else ''} to {to}, {size / 1000:,.1f} kB")
        print(f"read them with: fittingroom report {to}, or fittingroom replicate --evidence {to}")


ALL_OF_RUNS = (train, runs, pack)
