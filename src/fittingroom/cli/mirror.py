"""The command that copies runs into another tracker."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fittingroom.cli.options import Json, RunsDir, Which

if TYPE_CHECKING:
    from fittingroom.export.mirrors import Copied


def mirror(
    tracker: Annotated[str, typer.Argument(help="mlflow or tensorboard.")],
    which: Which,
    to: Annotated[
        str, typer.Option(help="MLflow's tracking URI, or TensorBoard's folder (default: beside the runs).")
    ] = "",
    runs: RunsDir = Path("runs"),
    as_json: Json = False,
) -> None:
    """Copy runs into MLflow or TensorBoard, finished or not: again later, it adds what is new."""
    from dataclasses import asdict

    from fittingroom.cli import show
    from fittingroom.export.mirrors import TRACKERS, read
    from fittingroom.spec.errors import unknown
    from fittingroom.store import Runs

    if tracker not in TRACKERS:
        raise unknown("tracker", tracker, TRACKERS, "fittingroom mirror --help")
    folders, home = Runs(runs).select(which, unfinished=True)
    told = [read(folder) for folder in folders]  # a damaged one is told before anything is written
    reached = TRACKERS[tracker](home, to)
    copies: list[Copied] = []
    for run in told:
        copies.append(reached.copy(run))
        if not as_json:
            print(_in_words(copies[-1], bool(reached.serve)), flush=True)
    if as_json:
        about = {"tracker": tracker, "to": reached.to, "look": reached.look, "serve": reached.serve}
        show.as_json(about | {"runs": [asdict(copy) for copy in copies]})
        return
    print(f"to look: {reached.look}")
    if models := [copy.model for copy in copies if copy.model]:
        print(f"to serve a model: {reached.serve} {models[-1]}")


def _in_words(copy: Copied, takes_models: bool) -> str:
    so_far = "finished" if copy.finished else "so far"
    epochs = f"{copy.epochs} epoch{'' if copy.epochs == 1 else 's'}"
    words = [f"{epochs} {so_far}, " + (f"{copy.added} values added" if copy.added else "nothing new")]
    if not copy.finished:
        words.append("mirror it again for what follows")
    elif takes_models:
        words.append("with its model" if copy.model else f"without a model: fittingroom export {copy.run}, and again")
    return f"{copy.run}: {'; '.join(words)}"
