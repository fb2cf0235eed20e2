"""`fittingroom tune`: search the values of a recipe's parts, then report honestly what that gained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fittingroom.cli.options import Data
from fittingroom.cli.shell import ALL, works

if TYPE_CHECKING:
    from fittingroom.study.workplace import Workplace


@works(*ALL, report="--report", resume="--resume")
def tune(
    place: Workplace,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RECIPE [KEY=VALUE]... [KEY=SPACE]...",
            help='A space is log(a,b), uniform(a,b), int(a,b) or choice(a,b,…), for example "optimizer.lr=log(1e-4,1e-1)".',
        ),
    ] = None,
    space: Annotated[Path | None, typer.Option(help="A TOML file with a space, instead of the recipe's own.")] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Trials in all (default 24, if no time is given).")] = None,
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
) -> Any:
    """Search with validation images only; then retrain the winner with fresh seeds and compare it on test with the start.

    A killed search goes on with --resume, to the same trials.
    """
    from fittingroom.questions.tune import Kept, Settings, spaces_of, tune
    from fittingroom.spec.errors import FittingroomError
    from fittingroom.spec.overrides import names_and_changes
    from fittingroom.spec.read import read_recipe

    if dashboard:
        _dashboard(storage, place, port)
        return None
    recipes, given = names_and_changes(words)
    if len(recipes) != 1:
        raise FittingroomError("name one recipe to tune; see: fittingroom recipes")
    changes, dimensions = spaces_of(given, space)
    settings = Settings(tuple(objective or ["accuracy"]), pruner, batch, search_seed, trials, minutes)
    kept = Kept(name, resume, warm, storage)
    recipe = read_recipe(recipes[0], changes)
    return tune(recipe, place, space=dimensions, data=data, seeds=seeds, settings=settings, kept=kept)


def _dashboard(storage: str, place: Workplace, port: int) -> None:
    """Optuna Dashboard on this machine only, until it is stopped."""
    from fittingroom.questions.tune import journal, open_storage
    from fittingroom.spec.errors import FittingroomError, need

    need("optuna_dashboard", "fittingroom tune --dashboard", "dashboard")
    storage = storage or str(journal(place.runs))
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
