"""Which trained weights a recipe starts from: found by a run's name or path, and known by their content from then on."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from fittingroom.spec.errors import FittingroomError
from fittingroom.store import RunFolder, Runs
from fittingroom.training.start import Start


@dataclass(frozen=True)
class Initial:
    """The weights of a finished run. `sha256` is of their file; it, and not the path, decides a result."""

    path: Path
    sha256: str

    @property
    def label(self) -> str:
        """What a resolved recipe says: the run's name, and the beginning of the content's digest."""
        return f"{self.path.name}@{self.sha256[:16]}"

    def read(self) -> Start:
        """The weights in memory. Raises `FittingroomError` if the file has changed."""
        run = RunFolder(self.path)
        if _sha256(run) != self.sha256:
            raise FittingroomError.at(
                "model.init", f"the weights in {self.path} have changed since this study was planned"
            )
        return Start(run.arrays("weights"), run.data.classes)


def initial(init: str, runs: Runs) -> Initial | None:
    """What `model.init` names: a run by path, or by name in the runs folder; None for "".

    A label's digest must be that of the run found. Raises `FittingroomError`.
    """
    if not init:
        return None
    labelled = re.fullmatch(r"(.+)@([0-9a-f]{16,64})", init)
    name, content = labelled.groups() if labelled else (init, "")
    run = runs.find(name)
    run.refuse_unfinished()
    found = Initial(run.path.resolve() if run.path == Path() else run.path, _sha256(run))
    if not found.sha256.startswith(content):
        raise FittingroomError.at("model.init", f"{init} is asked for, but the weights of {run.path} are {found.label}")
    return found


def _sha256(run: RunFolder) -> str:
    path = run.path / "weights.safetensors"
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise FittingroomError.at("model.init", f"cannot read {path}: {error.strerror}") from None
