"""The words by which what was interrupted goes on: the same that began it, or a refusal that says what to type."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from itertools import takewhile, zip_longest
from pathlib import Path

from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.overrides import names_and_changes
from fittingroom.store import RunFolder, Runs
from fittingroom.store.collected import Collected
from fittingroom.ui.commands import CommandState
from fittingroom.ui.forms import MOST_SEEDS, fields, offered, own_sets
from fittingroom.ui.index import Line

RECORDED = ("data.group=folder", "data.near=0")  # of pictures that were recorded in one go nearly all are near copies
FIRST_ANSWER = ("--candidates", "frozen-lite0")  # the quickest


def resuming(line: Line, run: RunFolder) -> list[str]:
    """The command's words that go on with a stopped run, and read its test set only if it was begun to.

    Raises `FittingroomError` where a person has to say more than is recorded.
    """
    about = run.identity
    words = ["train", str(run.path / "recipe.toml"), "--data", line.dataset, "--seed", str(line.seed)]
    words += ["--device", str(about["device"]), "--resume"]
    refuse_own_code(run, words)
    if (workers := run.environment.workers) > 1:
        raise FittingroomError(
            f"{workers} processes share this training, and where they run is not recorded; in a shell, with the --launcher that "
            f"began it: {shlex.join(['fittingroom', *words, '--workers', str(workers), *test_option(run)])}"
        )
    if "score_test" not in about:
        raise FittingroomError(
            "an older fittingroom began this run, and did not record whether it may read the test set; in a shell, with "
            f"--no-test if it was begun so: {shlex.join(['fittingroom', *words])}"
        )
    return [*words, *test_option(run)]


def once_more(state: CommandState, runs: Runs, home_dir: Path) -> list[str]:
    """The words, without their places, of a training or a comparison that has ended unfinished: given again, it goes on.

    [] where there is nothing to go on with. What lies in RUNS/commands may come from elsewhere: words that our form would not
    make are not given.
    """
    if state.status in ("running", "finished") or state.command.kind not in ("train", "compare", "best"):
        return []
    words = list(takewhile(lambda word: word != "--runs", state.command.words[1:]))
    if state.command.kind == "best":
        return words if _asks(words[1:], home_dir) else []
    said = list(takewhile(lambda word: not word.startswith("-"), words[1:]))
    options = words[1 + len(said) :]
    names, changes = names_and_changes(said)
    recipes, sets = offered(home_dir)
    known = {recipe.name: recipe for recipe in recipes}
    if not names or not known.keys() >= set(names):
        return []
    paths = {field.path for field in fields(known[names[0]])}
    excluded = {f"data.exclude={runs.decisions_file(name)}" for name in sets}
    allowed = {"--data": sets, "--seeds": list(map(str, range(1, MOST_SEEDS + 1)))}
    ours = all(change in excluded or change.partition("=")[0] in paths for change in changes)
    pairs = zip_longest(options[::2], options[1::2], fillvalue="")
    return words if ours and all(value in allowed.get(option, ()) for option, value in pairs) else []


def _asks(words: Sequence[str], home_dir: Path) -> bool:
    """Whether these are words of the question which classifier is best, as our pages ask it."""
    collected = Collected(home_dir)
    pictures, *rest = words or [""]
    ours = pictures in own_sets(home_dir) or pictures in [str(collected.path(name)) for name in collected.sets()]
    return ours and all(word.startswith("data.group=") or word in RECORDED or word in FIRST_ANSWER for word in rest)


def test_option(run: RunFolder) -> list[str]:
    """`--no-test` for a run that was begun with it."""
    return [] if run.identity.get("score_test", True) else ["--no-test"]


def refuse_own_code(run: RunFolder, words: Sequence[str]) -> None:
    """Raises `FittingroomError` for a run whose model is a person's own module: a click must not import it."""
    if run.recipe.model.kind == "python":
        typed = shlex.join(["fittingroom", *words])
        raise FittingroomError(f"a model of one's own is not started from here; in a shell: {typed}")
