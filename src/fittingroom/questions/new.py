"""How do I begin? A first recipe for data that nobody has trained on yet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fittingroom.metrics.verdict import FEW_IMAGES
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.first import first_recipe
from fittingroom.spec.printable import is_printable
from fittingroom.spec.read import read_shape
from fittingroom.store.atomic import write
from fittingroom.study.workplace import Workplace


def new(name: str, data: str, place: Workplace, *, changes: Sequence[str] = (), out: Path | None = None) -> Path:
    """Write a first recipe for `data`, with a reason beside every line; its file. It trains well as it is.

    `changes` say what pictures become: "data.image_size=96", "data.resize=crop". Raises `FittingroomError`, also where there is
    a file already.
    """
    path = out or Path(f"{name}.toml")
    if path.exists():
        raise FittingroomError(f"{path} is there already; give another place with --out, or delete it")
    asked = read_shape(changes)
    found = place.load(data, asked)
    if found.test.n < FEW_IMAGES:
        place.progress.note(
            f"note: {found.test.n} pictures for test are few; cross-validation scores every picture once: fittingroom cv {path}"
        )
    there = Path(data).expanduser()
    source = str(there.resolve()) if found.own and there.exists() else data
    if not is_printable(source):
        raise FittingroomError(f"the path {data!r} is not UTF-8 and cannot be written into a recipe; rename it")
    shape, read = found.train.shape, found.shape.model_copy(update=asked.model_dump(exclude_none=True))
    write(
        path,
        first_recipe(name, source, shape, read, found.train.counts, found.own, found.may_flip, found.suspected_group),
    )
    return path
