"""The commands that are no group of their own. Each is short: parse, call the room that does it, show."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fittingroom.cli.options import (
    AtOnce,
    Data,
    Device,
    Effect,
    Home,
    Json,
    Launcher,
    MetricName,
    Overrides,
    Png,
    Quiet,
    RefuseFaults,
    Report,
    RunsDir,
    Seeds,
    Which,
    names_and_changes,
)

if TYPE_CHECKING:
    from fittingroom.metrics.verdict import Question
    from fittingroom.spec.recipe import Recipe
    from fittingroom.store import RunFolder

DEMO = ("readme-004-mlp", "readme-004-cnn", "fast-fashion")
DEMO_EPOCHS = 4  # of fast-fashion, so that the demo ends in time on two cores; said aloud


def train(
    recipe: Annotated[str, typer.Argument(help="A recipe's name (see: fittingroom recipes) or its TOML file.")],
    overrides: Overrides = None,
    data: Data = "",
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Decides weights, order, augmentation, dropout.")] = 0,
    device: Device = "auto",
    workers: Annotated[
        int,
        typer.Option(min=1, help="Processes that share this training, each with a part of every batch (needs Ray)."),
    ] = 1,
    launcher: Launcher = "local",
    runs: RunsDir = Path("runs"),
    home: Home = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run; an error if there is none.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget what this run has done and start over.")] = False,
    no_test: Annotated[bool, typer.Option("--no-test", help="Do not read the test set.")] = False,
    strict: RefuseFaults = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train one recipe with one seed. An interrupted run goes on where it stopped, to the same bytes."""
    from dataclasses import replace

    from fittingroom.cli import show
    from fittingroom.cli.board import Board, resumable, share_of
    from fittingroom.data import load
    from fittingroom.spec.errors import FittingroomError
    from fittingroom.spec.read import read_recipe
    from fittingroom.store import Runs
    from fittingroom.store.atomic import explained

    read = read_recipe(recipe, overrides or [])
    from fittingroom.study.execute import is_finished
    from fittingroom.study.launch import launch
    from fittingroom.study.launch import launcher as launcher_of
    from fittingroom.study.plan import cautions, of_workers, plan, threads_each
    from fittingroom.training import choose_device

    if resume and fresh:
        raise FittingroomError("--resume goes on, --fresh starts over; give one of them")
    folder = Runs(runs)
    source: list[str] = []
    with share_of("reading pictures", quiet or as_json) as tick:
        loaded = load(data or read.data.name, home, source.append, shape=read.data, strict=strict, tick=tick)
    executor = launcher_of(launcher, 1, workers)
    threads = threads_each(workers) if "=" not in launcher else 1  # of nodes that we don't know
    job = plan(read, loaded, seed, choose_device(device), threads, not no_test, folder)
    job = replace(job, workers=workers)
    run = job.folder(folder)
    if resume and not (run.path / "run.json").exists():
        raise FittingroomError(f"there is nothing to resume at {run.path}; leave --resume away to start")
    with (
        resumable(lambda: f"{len(run.epochs)} of {read.train.epochs} epochs are saved in {run.path}", "--resume"),
        Board([job], quiet or as_json) as board,
        executor as by,
    ):
        for line in [*source, *(f"warning: {w}" for w in cautions(read, loaded)), *of_workers(job, loaded)]:
            board.say(line)
        if run.epochs and not run.done and not fresh:
            board.say(f"going on after epoch {len(run.epochs)} of {read.train.epochs} (--fresh starts over)")
        elif is_finished(run, job) and not fresh:
            board.say("this run is finished already; here is its result (--fresh trains it again)")
        by.check(job)
        with explained(run.path):
            run.path.mkdir(parents=True, exist_ok=True)
        board.say(f"run folder {run.path}")
        if fresh:
            with run.lock():
                run.clear()
        launch([job], folder, by, board.listen, board.say)
    if as_json:
        show.as_json(_run_facts(run))
    else:
        _print_run(run)


def new(
    name: Annotated[str, typer.Argument(help="What to call the recipe.")],
    data: Annotated[str, typer.Option(help="A data set's name, or a path of pictures.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="data.image_size=96, data.resize=crop …")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The file to write (default: NAME.toml).")] = None,
    home: Home = None,
    strict: RefuseFaults = False,
    as_json: Json = False,
) -> None:
    """Write a first recipe for your pictures, with a reason beside every line; it trains well as it is."""
    import numpy as np

    from fittingroom.cli import show
    from fittingroom.cli.data import loaded
    from fittingroom.spec.errors import FittingroomError
    from fittingroom.spec.first import first_recipe
    from fittingroom.spec.printable import is_printable
    from fittingroom.store.atomic import write

    path = out or Path(f"{name}.toml")
    if path.exists():
        raise FittingroomError(f"{path} is there already; give another place with --out, or delete it")
    found = loaded(data, overrides, strict, home, as_json)
    counts = np.bincount(found.train.labels_N, minlength=len(found.classes)).tolist()
    there = Path(data).expanduser()
    source = str(there.resolve()) if found.own and there.exists() else data
    if not is_printable(source):
        raise FittingroomError(f"the path {data!r} is not UTF-8 and cannot be written into a recipe; rename it")
    text = first_recipe(
        name,
        source,
        found.train.shape,
        found.shape.resize or "",
        dict(zip(found.classes, counts, strict=True)),
        found.own,
        found.may_flip,
    )
    write(path, text)
    if as_json:
        show.as_json({"recipe": str(path), "toml": text})
    else:
        train_it = shlex.join(["fittingroom", "train", str(path)])
        compare_it = shlex.join(["fittingroom", "compare", str(path), "readme-004-cnn", "--data", source])
        print(f"wrote {path}\nto train it:    {train_it}\nto compare it:  {compare_it}")


def compare(
    recipes: Annotated[
        list[str],
        typer.Argument(metavar="RECIPE...|STUDY.toml [KEY=VALUE]...", help="Names or files; or one study file."),
    ],
    data: Annotated[
        list[str] | None, typer.Option(help="A data set's name, or a path of pictures; may be given several times.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Seeds 0 … N-1 for each recipe (default 3).")] = None,
    metric: MetricName = "accuracy",
    effect: Effect = None,
    device: Device = "auto",
    at_once: AtOnce = None,
    launcher: Launcher = "local",
    runs: RunsDir = Path("runs"),
    home: Home = None,
    strict: RefuseFaults = False,
    report: Report = None,
    png: Png = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train what is missing of recipes × data × seeds, then say which is better, by how much ± what, at what cost."""
    from fittingroom.metrics.verdict import Question
    from fittingroom.spec.digest import digest
    from fittingroom.spec.errors import FittingroomError
    from fittingroom.spec.study import is_study, parse_study, read_study

    question = Question(metric, effect)
    names, overrides = names_and_changes(recipes)
    if not names:
        raise FittingroomError("name at least one recipe; see: fittingroom recipes")
    studies = [name for name in names if is_study(name)]
    if studies and len(names) > 1:
        raise FittingroomError(f"{studies[0]} is a study, which names its recipes itself; give it alone")
    study = read_study(Path(names[0])) if studies else parse_study({"recipes": names})
    folder = Path(names[0]).parent if studies else Path()
    read = study.read(overrides, folder)
    chosen = range(seeds or study.seeds)
    sets = data or list(study.data)
    if studies:
        name = Path(names[0]).stem
    else:  # another question gets another file
        on = dict.fromkeys(Path(d).name for d in sets or [r.data.name for r in read])  # of a path, the last part
        about = [*(r.name for r in read), *on, f"{len(chosen)}-seeds"]
        name = "-".join(about)[:90] + (f"-{digest(sorted(overrides))[:4]}" if overrides else "")
    _compare(
        name, read, sets, chosen, device, at_once, launcher, runs, home, strict, question, report, png, quiet, as_json
    )


def demo(
    runs: RunsDir = Path("runs"),
    home: Home = None,
    seeds: Seeds = 3,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """The main job in a few minutes: an MLP, a CNN and our fast net on Fashion-MNIST, with a verdict and a report."""
    from fittingroom.metrics.verdict import Question
    from fittingroom.spec.read import read_recipe

    names = [*DEMO[:2], f"{DEMO[2]} (with train.epochs={DEMO_EPOCHS})"]
    if not (quiet or as_json):
        full = read_recipe(DEMO[2]).train.epochs
        print(f"comparing {', '.join(names)} on fashion-mnist, {seeds} seeds each", file=sys.stderr)
        print(f"{DEMO[2]} trains {DEMO_EPOCHS} epochs here instead of its {full}, to end in time", file=sys.stderr)
    read = [*map(read_recipe, DEMO[:2]), read_recipe(DEMO[2], [f"train.epochs={DEMO_EPOCHS}"])]
    _compare(
        "demo",
        read,
        ["fashion-mnist"],
        range(seeds),
        "auto",
        None,
        "local",
        runs,
        home,
        False,
        Question(),
        None,
        None,
        quiet,
        as_json,
    )


def report(
    which: Which,
    runs: RunsDir = Path("runs"),
    out: Annotated[Path | None, typer.Option(help="The HTML file (default: report.html in the runs folder).")] = None,
    metric: MetricName = "accuracy",
    effect: Effect = None,
    png: Png = None,
    as_json: Json = False,
) -> None:
    """Write one HTML file about finished runs. Needs neither torch nor the data."""
    from fittingroom.cli.verdict import tell
    from fittingroom.metrics.verdict import Question
    from fittingroom.report.gather import gather
    from fittingroom.store import Runs

    chosen, folder = Runs(runs).select(which)
    tell(gather(chosen, folder, Question(metric, effect)), folder, out or runs / "report.html", png, as_json)


def runs(
    which: Annotated[str, typer.Argument(metavar="[TEXT]", help="Only runs whose name holds this.")] = "",
    runs: RunsDir = Path("runs"),
    show_one: Annotated[bool, typer.Option("--show", help="Everything about the one run that fits.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Delete the runs that fit, after asking.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before deleting.")] = False,
    unfinished: Annotated[bool, typer.Option("--unfinished", help="Only runs that are not finished.")] = False,
    as_json: Json = False,
) -> None:
    """List, filter, show and delete runs."""
    from fittingroom.cli import show
    from fittingroom.spec.changes import told_apart
    from fittingroom.spec.errors import FittingroomError
    from fittingroom.store import Runs

    folder = Runs(runs)
    found = [r for r in folder.list() if which in r.name and not (unfinished and r.done)]
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
            show.as_json(_run_facts(run))
        else:
            _print_run(run)
            print((run.path / "recipe.toml").read_text())
        return
    if as_json:
        facts = [_run_facts(r) for r in found]
        show.as_json({"runs": facts, "studies": folder.studies(), "test_reads": folder.test_reads()})
        return
    lines = [_run_line(r) for r in found]
    if lines:
        whole = [i for i, line in enumerate(lines) if line[1] != "damaged"]
        changes = dict(zip(whole, told_apart(found[i].recipe for i in whole), strict=True))
        rows = [[*line, changes.get(i, "")] for i, line in enumerate(lines)]
        show.table(["run", "state", "test %", "val %", "train s", "started (UTC)", "changed"], rows, left=2)
    else:
        print(f"no runs in {runs}" + (f' with "{which}" in their name' if which else ""))
    studies = [f"{name} ({len(folder.study(name) or ())} runs)" for name in folder.studies()]
    if studies:
        print(f"studies: {', '.join(studies)}")
    for name, n in folder.test_reads().items():
        print(f"the test set of {name} has been read {n} time{'s' if n != 1 else ''} in {runs}")


def recipes(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Show this one as TOML.")] = "",
    as_json: Json = False,
) -> None:
    """List the recipes that come along, or show one."""
    from fittingroom.cli import show
    from fittingroom.spec.errors import unknown
    from fittingroom.spec.read import read_recipe, shipped_recipes

    shipped = shipped_recipes()
    if name:
        if name not in shipped and not Path(name).exists():
            raise unknown("recipe", name, shipped, "fittingroom recipes")
        if as_json:
            show.as_json(read_recipe(name).model_dump(mode="json"))
        else:
            print(shipped.get(name, Path(name)).read_text(encoding="utf-8"), end="")
        return
    read = [read_recipe(n) for n in shipped]
    if as_json:
        show.as_json({"recipes": [r.model_dump(mode="json") for r in read]})
        return
    lines = [[r.name, r.data.name, str(r.train.epochs), r.source.split(";")[0], r.description] for r in read]
    show.table(["recipe", "data", "epochs", "source", "what it is"], lines, left=5)


def models(as_json: Json = False) -> None:
    """List the networks that a recipe can name in `model.kind`."""
    from fittingroom.models import MODELS

    special = {
        "sequential": "Any plain stack of layers, as inline tables: conv, pool, norm, act, dropout, flatten, dense, repeat.",
        "python": 'Your own: target = "module:function", called with what it takes of channels, size, classes, and model.args.',
    }
    _print_registry("model.args", MODELS.functions, special, as_json)


def augmentations(as_json: Json = False) -> None:
    """List the augmentations that a recipe can name under `augment`."""
    from fittingroom.augment import AUGMENTATIONS

    _print_registry("parameters", AUGMENTATIONS.functions, {}, as_json)


ALL = (demo, new, train, compare, report, runs, recipes, models, augmentations)


# ---------------------------------------------------------------- shared by commands


def _compare(
    name: str, read: list[Recipe], data: list[str], seeds: range, device: str, at_once: int | None, launcher: str, runs_dir: Path,
    home: Path | None, strict: bool, question: Question, report: Path | None, png: Path | None, quiet: bool, as_json: bool,
) -> None:  # fmt: skip
    from fittingroom.cli.board import share_of, train_missing
    from fittingroom.cli.verdict import tell
    from fittingroom.report.gather import gather
    from fittingroom.store import Runs
    from fittingroom.store.runs import safe_name
    from fittingroom.study.run import plan_study

    folder = Runs(runs_dir)
    source: list[str] = []
    with share_of("reading pictures", quiet or as_json) as tick:
        study = plan_study(
            read, data, seeds, folder,
            device=device, at_once=at_once, by=launcher, home_dir=home, strict=strict, say=source.append, tick=tick,
        )  # fmt: skip
    finished = train_missing(study, folder, source, quiet or as_json)
    folder.write_study(name, finished)
    path = report or runs_dir / f"{safe_name(name)}.html"
    tell(gather(finished, folder, question), folder, path, png, as_json, name)


def _run_line(run: RunFolder) -> list[str]:
    """A run in a list. A damaged one is told, and does not hide the others."""
    from fittingroom.metrics.words import percent
    from fittingroom.spec.errors import FittingroomError

    try:
        started = run.environment.started[:16].replace("T", " ")
        recipe = run.recipe
        if not run.done:
            return [run.name, f"{len(run.epochs)} of {recipe.train.epochs} epochs", "–", "–", "–", started]
        m = run.metrics
        scores = [percent(s.accuracy if s else None) for s in (m.test, m.val)]
        return [run.name, "finished", *scores, f"{m.train_s:.1f}", started]
    except FittingroomError:
        return [run.name, "damaged", "–", "–", "–", "–"]


def _run_facts(run: RunFolder) -> dict[str, Any]:
    """A run as plain data; accuracies are fractions."""
    facts: dict[str, Any] = {"run": str(run.path), "done": run.done, **run.identity, "epochs_done": len(run.epochs)}
    if run.done:
        m = run.metrics
        facts |= {
            "test_accuracy": m.test.accuracy if m.test else None,
            "val_accuracy": m.val.accuracy if m.val else None,
            "train_accuracy": m.train.accuracy,
            "metrics": m.model_dump(mode="json"),
            "parameters": run.structure.parameters,
            "flops": run.structure.flops,
        }
    return facts


def _print_run(run: RunFolder) -> None:
    from fittingroom.metrics.diagnosis import diagnose
    from fittingroom.metrics.intervals import wilson
    from fittingroom.metrics.words import human, percent

    if not run.done:
        print(f"{run.name}: not finished, {len(run.epochs)} epochs are saved")
        return
    m, s = run.metrics, run.structure
    if m.test:
        plus = f", averaged over views {percent(m.test_averaged.accuracy)} %" if m.test_averaged else ""
        low, high = wilson(round(m.test.accuracy * m.test.n), m.test.n)
        interval = f"95 % interval {percent(low)} to {percent(high)} for other images, not for other seeds"
        print(
            f"test accuracy        {percent(m.test.accuracy)} %  ({m.test.n:,} images, ECE {percent(m.test.ece)} %{plus})\n"
            f"                     {interval}"
        )
    else:
        print("test accuracy        not read (--no-test)")
    print(f"validation accuracy  {percent(m.val.accuracy if m.val else None)} %")
    print(f"training accuracy    {percent(m.train.accuracy)} %  (clean, {m.train.n:,} images)")
    print(f"weights of epoch     {m.selected_epoch} of {m.epochs}")
    print(f"training             {m.train_s:.1f} s, and {m.eval_s:.1f} s of evaluation")
    print(f"model                {s.parameters:,} parameters, {human(s.flops)} FLOPs an image")
    print(f"run folder           {run.path}")
    for finding in diagnose([run.epochs], len(run.data.classes), run.data.n_val):
        advice = f"; to try: {finding.advice}" if finding.advice else ""
        print(f"{finding.kind:<20} {finding.words}{advice}")


def _print_registry(what: str, functions: dict[str, Any], special: dict[str, str], as_json: bool) -> None:
    import inspect

    from fittingroom.cli import show

    found: dict[str, tuple[str, dict[str, Any]]] = {name: (text, {}) for name, text in special.items()}
    for name, f in functions.items():
        parameters = {p.name: p.default for p in inspect.signature(f).parameters.values() if p.kind is p.KEYWORD_ONLY}
        found[name] = ((inspect.getdoc(f) or "").split("\n")[0], parameters)
    if as_json:
        show.as_json({name: {"summary": text, what: parameters} for name, (text, parameters) in found.items()})
        return
    lines = [[name, " ".join(f"{k}={v}" for k, v in p.items()), text] for name, (text, p) in found.items()]
    show.table(["name", f"{what} with defaults", "what it is"], lines, left=3)
