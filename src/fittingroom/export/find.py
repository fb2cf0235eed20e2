"""Which bundle a person means: one that is there, or that of a run, which is exported now if need be."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from fittingroom.spec.errors import FittingroomError
from fittingroom.store import BundleFolder
from fittingroom.study.workplace import Workplace


def find_bundle(word: str, place: Workplace) -> BundleFolder:
    """The bundle in a folder, or of a run; a run that has none is exported now, where torch is. Raises `FittingroomError`."""
    given = BundleFolder(Path(word))
    if given.there:
        return given
    if given.path.is_dir() and not (given.path / "run.json").exists():
        raise FittingroomError(f"{word} is neither a bundle nor a run; make a bundle with: fittingroom export RUN")
    run = place.runs.find(word)
    if run.bundle.there:
        run.bundle.refuse_another(str(run.identity["digest"]))
        return run.bundle
    run.refuse_unfinished()
    if not all(map(find_spec, ("torch", "onnx", "onnxscript"))):
        raise FittingroomError(
            f"{run.name} was not exported yet, which needs torch; where that is: fittingroom export {run.name}"
        )
    from fittingroom.export.bundle import export

    place.progress.note(f"exporting {run.name}, once")
    return export(run, place)
