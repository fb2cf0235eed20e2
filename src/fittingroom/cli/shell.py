"""What commands share: the options of a workplace, how an answer is shown, how an interruption and a failure are told."""

from __future__ import annotations

import functools
import inspect
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fittingroom.cli import options
from fittingroom.cli.stopping import STOPPED, heeded, stopped
from fittingroom.spec.errors import FittingroomError, without_passwords

if TYPE_CHECKING:
    from fittingroom.metrics.verdict import Question
    from fittingroom.report.answer import Answer
    from fittingroom.study.workplace import Workplace

Command = Callable[..., Any]
PLACE: dict[str, tuple[Any, Any]] = {  # the options that a workplace is made of: how they are written, their defaults
    "device": (options.Device, "auto"),
    "at_once": (options.AtOnce, None),
    "launcher": (options.Launcher, "local"),
    "runs": (options.RunsDir, Path("runs")),
    "home": (options.Home, None),
    "strict": (options.RefuseFaults, False),
    "costs": (options.Costs, False),
}
ALL = tuple(PLACE)[:-1]
ASKED: dict[str, tuple[Any, Any]] = {  # those of what decides
    "metric": (options.MetricName, ""),
    "effect": (options.Effect, None),
    "same": (options.Same, None),
    "at": (options.At, ""),
    "positive": (options.Positive, ""),
}


def works(
    *named: str,
    asks: bool = False,
    report: str = "",
    png: bool = False,
    listed: bool = False,
    resume: str = "",
    aloud: bool = False,
) -> Callable[[Command], Command]:
    """Give a command the options `named` (of `PLACE`), --quiet and --events; it is called with the workplace that they mean.

    One that `asks` gets the options of `ASKED`, and is called with the question that they make.
    One that gives an answer names the option for its page in `report`, and gets --json (and --png, --list) besides: the answer
    is written and shown. `resume` is the option with which the command goes on after an interruption. What an `aloud` one has to
    tell while it works is its output.
    """

    def decorated(command: Command) -> Command:
        added: dict[str, tuple[Any, Any]] = (ASKED if asks else {}) | {name: PLACE[name] for name in named}
        if report:
            text = "The HTML page to write (default: in the runs folder)."
            added["report"] = Annotated[Path | None, typer.Option(report, help=text)], None
        if png:
            added["png"] = options.Png, None
        if listed:
            added["pictures"] = options.Listed, None
        added |= {"quiet": (options.Quiet, False), "events": (options.Events, None)}
        if report:
            added["as_json"] = options.Json, False
        # these names are there for type checkers only
        signature = inspect.signature(command, eval_str=True, locals={"Workplace": Any, "Question": Any})
        own = [p for p in signature.parameters.values() if p.name != "place" and not (asks and p.name == "question")]
        more = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
            for name, (kind, default) in added.items()
        ]

        @functools.wraps(command)
        def shell(**given: Any) -> None:
            mine = {name: given.pop(name) for name in added}
            as_json = mine.get("as_json", False)
            silent = as_json or given.get("as_json", False) or given.get("as_csv", False)
            place = _workplace(mine, silent, aloud)
            with _told(place, resume):
                if asks:
                    given["question"] = _question(mine)
                found = command(place=place, **given)
                if report and found is not None:
                    if mine.get("pictures"):
                        found.save_listing(mine["pictures"])
                    _show(found, place, command.__name__, mine["report"], mine.get("png"), as_json)

        del shell.__wrapped__  # typer reads the signature, which is another
        shell.__signature__ = inspect.Signature([*own, *more])  # type: ignore[attr-defined]
        shell.__annotations__ = {p.name: p.annotation for p in [*own, *more]}
        return shell

    return decorated


def _workplace(given: dict[str, Any], silent: bool, aloud: bool) -> Workplace:
    from fittingroom.progress import Recorded, progress
    from fittingroom.store import Runs
    from fittingroom.study.workplace import Workplace

    about = {name: given[name] for name in PLACE if name in given}
    runs = Runs(about.pop("runs", Path("runs")))
    listener = progress(given["quiet"] or silent, stderr=not aloud)
    if given["events"]:
        listener = Recorded(listener, given["events"], runs)
    return Workplace(runs=runs, progress=listener, **about)


def _question(given: dict[str, Any]) -> Question:
    from fittingroom.metrics.verdict import Question

    return Question(**{name: given[name] for name in ASKED})


@contextmanager
def _told(place: Workplace, resume: str) -> Iterator[None]:
    """After Ctrl-C or SIGTERM inside: say what is safe and how to go on, and leave. A failure is an event, too."""
    from fittingroom.store.events import Failed

    try:
        yield
    except KeyboardInterrupt as stop:
        heeded()
        saved = getattr(stop, "__notes__", None)
        if not saved:
            raise typer.Exit(stopped()) from None
        words = [word for word in sys.argv[1:] if word not in ("--resume", "--fresh")]
        again = without_passwords(shlex.join(["fittingroom", *words, *([resume] if resume else [])]))
        print(f"\nstopped; {saved[-1]}. Go on with:\n  {again}", file=sys.stderr)
        raise typer.Exit(STOPPED) from None
    except FittingroomError as error:
        place.progress.event(Failed(message=str(error), faults=dict(error.faults)))
        raise


def _show(found: Answer, place: Workplace, question: str, report: Path | None, png: Path | None, as_json: bool) -> None:
    from fittingroom.cli import show
    from fittingroom.store.events import Answered

    if not as_json:
        show.answer(found)  # which nobody should wait for until the page is there
    page = found.report(report)
    if png:
        found.save_figures(png)
    place.progress.event(
        Answered(question=question, subject=found.study, sentences=tuple(found.sentences), files=(str(page),))
    )
    for line in found.doubts:
        print(f"warning: {line}", file=sys.stderr)
    if as_json:
        show.as_json(found.json() | {"report": str(page)})
    else:
        show.files(found, page)
