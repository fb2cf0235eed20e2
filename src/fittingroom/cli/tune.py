"""`fittingroom tune`: search the values of a recipe's parts, then report honestly what that gained."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fittingroom.cli.options import (
    AtOnce,
    Data,
    Device,
    Home,
    Json,
    Launcher,
    Quiet,
    RefuseFaults,
    Report,
    RunsDir,
)

if TYPE_CHECKING:
    from fittingroom.spec.space import Dimension

TRIALS = 24  # unless a number or a time is given


def tune(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RECIPE [KEY=VALUE]... [KEY=SPACE]...",
            help='A space is log(a,b), uniform(a,b), int(a,b) or choice(a,b,…), for example "optimizer.lr=log(1e-4,1e-1)".',
        ),
    ] = None,
    space: Annotated[Path | None, typer.Option(help="A TOML file with a space, instead of the recipe's own.")] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help=f"Trials in all (default {TRIALS}, if no time is given).")
    ] = None,
    minutes: Annotated[float | None, typer.Option(min=0, help="Begin no more trials after so many minutes.")] = None,
    pruner: Annotated[str, typer.Option(help="none, median, asha or hyperband: stop hopeless trials early.")] = "none",
    objective: Annotated[
        list[str] | None,
        typer.Option(
            help="A metric on validation images (default accuracy); then costs to weigh against it: train_s, parameters, "
            "flops, latency_s. May be given several times."
        ),
    ] = None,
    batch: Annotated[
        int, typer.Option(min=1, help="Trials that are proposed together; at least as many as run at once.")
    ] = 8,
    seeds: Annotated[int, typer.Option(min=1, help="Fresh seeds with which the winner meets the test set.")] = 3,
    search_seed: Annotated[
        int, typer.Option("--seed", min=0, help="Decides what is proposed, and every trial's start.")
    ] = 0,
    name: Annotated[str, typer.Option(help="What to call the search (default: the recipe and the data).")] = "",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the search of this name.")] = False,
    warm: Annotated[str, typer.Option("--from", help="Begin with what an earlier search of this name found.")] = "",
    storage: Annotated[
        str, typer.Option(help="A file, or postgresql://… to share with others (default: a file in the runs folder).")
    ] = "",
    dashboard: Annotated[
        bool, typer.Option("--dashboard", help="Open Optuna Dashboard on the storage instead.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the dashboard, on this machine only.")] = 8080,
    data: Data = "",
    device: Device = "auto",
    at_once: AtOnce = None,
    launcher: Launcher = "local",
    runs: RunsDir = Path("runs"),
    home: Home = None,
    strict: RefuseFaults = False,
    report: Report = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Search with validation images only; then retrain the winner with fresh seeds and compare it on test with the start.

    A killed search goes on with --resume, to the same trials.
    """
    from dataclasses import replace

    from fittingroom.cli.options import names_and_changes
    from fittingroom.spec.errors import FittingroomError, need
    from fittingroom.spec.read import read_recipe
    from fittingroom.spec.space import is_dimension, parse_space

    for module in ("optuna", "sklearn"):
        need(module, "fittingroom tune", "tune")
    if dashboard:
        _dashboard(storage, runs, port)
        return
    recipes, given = names_and_changes(words)
    if len(recipes) != 1:
        raise FittingroomError("name one recipe to tune; see: fittingroom recipes")
    spaces = {key: text for key, _, text in (word.partition("=") for word in given) if is_dimension(text)}
    changes = [word for word in given if not is_dimension(word.partition("=")[2])]
    recipe = read_recipe(recipes[0], changes)
    if spaces and space:
        raise FittingroomError("there are two spaces, --space and the command's own; give one of them")
    if spaces:
        dimensions = parse_space(spaces, "the command's spaces")
    elif space:
        dimensions = _space_file(space)
    else:
        dimensions = parse_space(recipe.space, f"{recipe.name}: space")
    names = objective or ["accuracy"]
    name = name or f"{recipe.name}-{Path(data or recipe.data.name).name}"

    from fittingroom.cli import show
    from fittingroom.cli.board import resumable, share_of, train_missing
    from fittingroom.cli.verdict import show_comparison
    from fittingroom.data import load
    from fittingroom.metrics.verdict import Question
    from fittingroom.models import with_sources
    from fittingroom.report.gather import gather
    from fittingroom.report.page import write_report
    from fittingroom.report.tune_page import Found, write_tune_page
    from fittingroom.store import Runs
    from fittingroom.store.atomic import write
    from fittingroom.store.runs import recipe_toml, safe_name
    from fittingroom.study import launch
    from fittingroom.study import tuning as room
    from fittingroom.study.plan import sharing
    from fittingroom.study.run import plan_study
    from fittingroom.training import choose_device

    silent = quiet or as_json
    folder = Runs(runs)
    source: list[str] = []

    def say(line: str) -> None:
        if not silent:
            print(line, file=sys.stderr)

    with share_of("reading pictures", silent) as tick:
        loaded = load(data or recipe.data.name, home, source.append, shape=recipe.data, strict=strict, tick=tick)
    model = with_sources(recipe.model, loaded.train.shape, len(loaded.classes))  # the same for all trials
    recipe = recipe.model_copy(update={"model": model})
    chosen = choose_device(device)
    workers, threads = sharing(chosen, launcher, at_once, batch)
    asked = room.Search(recipe, dimensions, loaded, tuple(names), pruner, batch, search_seed, chosen, threads)
    executor = launch.launcher(launcher, workers)
    kept = room.open_storage(storage or room.journal(folder))
    if warm:
        room.refuse_unknown(kept, warm)  # before there is a search of this one's name
    study = room.open_study(asked, kept, name, resume)
    asked = replace(asked, threads=study.user_attrs["threads"])  # those that it began with
    if warm:
        say(f"{room.warm_start(asked, study, kept, warm)} trials are taken over from {warm}")
    for line in source:
        say(line)
    wanted = trials or (None if minutes is not None else TRIALS)
    with (
        resumable(lambda: f"what has been tried is saved in the search {name}", "--resume"),
        share_of(f"searching {name}", silent) as tick,
        executor as by,
    ):
        room.run_search(asked, study, folder, by, trials=wanted, minutes=minutes, tick=tick, say=say)

    winner = room.best(asked, study)
    tuned = asked.recipe_of(winner.params).model_copy(update={"name": f"{recipe.name} tuned", "data": recipe.data})
    better = tuned.deciding() != recipe.deciding()
    recipe_file = runs / "tuning" / f"{safe_name(name)}.toml"
    write(recipe_file, recipe_toml(tuned))
    fresh = range(search_seed + 1, search_seed + 1 + seeds)
    say(
        f"the winner is trial {winner.number}; now {'it and ' if better else ''}the recipe as it was, with {seeds} fresh seeds"
    )
    final = plan_study(
        [recipe, tuned] if better else [recipe], [data] if data else [], fresh, folder,
        device=device, at_once=at_once, by=launcher, home_dir=home,
    )  # fmt: skip
    finished = train_missing(final, folder, [], silent)
    folder.write_study(f"tune-{name}", finished)
    metric = names[0]
    story = gather(finished, folder, Question(metric, against=recipe.name if better else ""))[0]
    compared = write_report([story], folder, runs / f"tune-{safe_name(name)}-comparison.html")
    found = Found(
        name=name,
        recipe=recipe.name,
        dataset=loaded.title,
        objectives=tuple(names),
        trials=room.facts(asked, study),
        best=winner,
        front=room.front(asked, study),
        importance=room.importance(study),
        dimensions=dimensions,
        comparison=story.comparison,
        fresh=[room.score(run.folder, metric) for run in story.runs[tuned.name if better else recipe.name]],
    )
    page = write_tune_page(found, compared.name, report or runs / f"tune-{safe_name(name)}.html")
    if as_json:
        show.as_json(found.as_json() | {"recipe_file": str(recipe_file), "report": str(page)})
        return
    for line in found.sentences()[:2]:
        print(line)
    show_comparison(story.comparison)
    print(f"study: tune-{name}\nrecipe: {recipe_file}\nreport: {page}")


def _space_file(path: Path) -> dict[str, Dimension]:
    """A space from a TOML file, at its top or in its table `space`."""
    from fittingroom.spec.read import read_toml
    from fittingroom.spec.space import parse_space

    tree = read_toml(path)
    return parse_space(tree["space"] if isinstance(tree.get("space"), dict) else tree, str(path))


def _dashboard(storage: str, runs: Path, port: int) -> None:
    """Optuna Dashboard on this machine only, until it is stopped."""
    from fittingroom.spec.errors import FittingroomError, need
    from fittingroom.store import Runs
    from fittingroom.study.tuning import journal, open_storage

    need("optuna_dashboard", "fittingroom tune --dashboard", "dashboard")
    storage = storage or str(journal(Runs(runs)))
    if "://" not in storage and not Path(storage).exists():
        raise FittingroomError(f"there is no search in {storage} yet; fittingroom tune RECIPE makes one")
    from socketserver import ThreadingMixIn
    from wsgiref.simple_server import WSGIServer, make_server

    from optuna_dashboard import wsgi

    class Threading(ThreadingMixIn, WSGIServer):
        """In the main thread a request would swallow Ctrl-C."""

        daemon_threads = True

    server = make_server("127.0.0.1", port, wsgi(open_storage(storage)), Threading)
    print(f"Optuna Dashboard: http://127.0.0.1:{server.server_port}/ (Ctrl-C ends it)", flush=True)
    server.serve_forever()
