"""The entry point: one place where mistakes become messages and exit codes."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from fittingroom.cli import catalog, data, mirror, questions, runs, ship, tune
from fittingroom.cli.stopping import stopped
from fittingroom.cli.streams import STDOUT, hush, is_gone, make_ready, refused
from fittingroom.spec.errors import FittingroomError, MissingExtra
from fittingroom.spec.printable import for_terminal

app = typer.Typer(
    name="fittingroom",
    help="Fits, compares and ships small image classifiers, with error bars.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    *runs.ALL_OF_RUNS,
    *catalog.ALL_OF_CATALOG,
    *questions.ALL_QUESTIONS,
    tune.tune,
    *ship.ALL,
    mirror.mirror,
):
    app.command(context_settings={"allow_interspersed_args": True})(command)
app.add_typer(data.app, name="data")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(version("fittingroom"))
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_version),
    ] = False,
) -> None:
    """Fits, compares and ships small image classifiers, with error bars."""


def run() -> int:
    """Run the command that was typed; its exit code. The user's mistakes end with one message and exit code 2."""
    make_ready()
    try:
        code = app(standalone_mode=False) or 0  # typer gives an Exit's code back instead of raising it
        sys.stdout.flush()
    except FittingroomError as error:
        code = _say(str(error))
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "torch":
            raise
        code = _say(str(MissingExtra("this command", "train")))
    except typer.Abort:
        code = stopped()
    except SystemExit as error:
        if not is_gone(error):
            raise
        hush()
        code = 0
    except OSError as error:  # what the operating system refuses, and no room had a word for
        code = 0 if is_gone(error) else _say(refused(error))
        if error.filename == STDOUT:
            hush()
    except Exception as error:
        if not hasattr(error, "format_message"):  # click's usage errors have one
            raise
        code = _say(error.format_message()) if error.format_message() else 2  # help was shown instead
    return int(code)


def _say(message: str) -> int:
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True, highlight=False, soft_wrap=True).print(
        Text("error: ", style="bold red") + Text(for_terminal(message))
    )
    return 2
