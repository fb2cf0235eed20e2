"""The words by which what was interrupted goes on: the same that began it, or a refusal that says what to type."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from fittingroom.spec.errors import FittingroomError
from fittingroom.store import RunFolder
from fittingroom.ui.index import Line


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


def test_option(run: RunFolder) -> list[str]:
    """`--no-test` for a run that was begun with it."""
    return [] if run.identity.get("score_test", True) else ["--no-test"]


def refuse_own_code(run: RunFolder, words: Sequence[str]) -> None:
    """Raises `FittingroomError` for a run whose model is a person's own module: a click must not import it."""
    if run.recipe.model.kind == "python":
        typed = shlex.join(["fittingroom", *words])
        raise FittingroomError(f"a model of one's own is not started from here; in a shell: {typed}")
