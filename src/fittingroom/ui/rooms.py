"""What the pages draw from, and how they find in it what an address names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.exceptions import HTTPException

from fittingroom.store import RunFolder, Runs
from fittingroom.store.runs import safe_name
from fittingroom.ui.attempts import Attempts
from fittingroom.ui.collection import Collection
from fittingroom.ui.commands import Commands, CommandState
from fittingroom.ui.index import Line, RunIndex
from fittingroom.ui.opaque import opaque
from fittingroom.ui.stories import Stories


@dataclass(frozen=True)
class Rooms:
    """One runs folder and one home, and all that reads them for the pages. What is not there is a 404."""

    runs: Runs
    home_dir: Path
    index: RunIndex
    commands: Commands
    stories: Stories
    data: Collection
    attempts: Attempts

    @classmethod
    def over(cls, runs: Runs, home_dir: Path) -> Rooms:
        """The rooms over a runs folder."""
        return cls(
            runs,
            home_dir,
            RunIndex(runs),
            Commands(runs),
            Stories(runs),
            Collection(runs, home_dir),
            Attempts(home_dir),
        )

    @property
    def places(self) -> list[str]:
        """The options that tell a command where to read and write."""
        return ["--runs", str(self.runs.path), "--home", str(self.home_dir)]

    def found(self, ids: Sequence[str]) -> list[tuple[Line, RunFolder]]:
        """The runs with these ids: those that are there, at least one."""
        lines = self.index.find(ids)
        if not lines:
            raise HTTPException(404, "there is no such run here (any more)")
        return [(line, self.index.folder(line)) for line in lines]

    def one(self, run: str) -> tuple[Line, RunFolder]:
        """The run with this id."""
        return self.found([run])[0]

    def study(self, name: str) -> str:
        """The id of the study of this name; "" if there is none."""
        return opaque(safe_name(name)) if safe_name(name) in self.runs.studies() else ""

    def command(self, name: str) -> CommandState:
        """The command with this id."""
        state = self.commands.find(name)
        if state is None:
            raise HTTPException(404, "there is no such command")
        return state
