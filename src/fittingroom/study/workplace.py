"""Where and how work is done, and who listens: one object instead of ten arguments."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fittingroom.data import Dataset, load, remember
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import ShapeSpec
from fittingroom.store import Runs
from fittingroom.study.progress import SILENT, Progress


@dataclass(frozen=True)
class Workplace:
    """What a question needs besides the question.

    >>> Workplace(device="cpu").runs.path.name
    'runs'
    """

    runs: Runs = field(default_factory=lambda: Runs(Path("runs")))  # the folder of runs and reports
    home: Path | None = None  # where data live; None: FITTINGROOM_HOME, or the platform's cache folder
    device: str = "auto"  # auto, cpu, cuda or mps
    at_once: int | None = None  # runs that share the machine; None: one a core, on a GPU one
    launcher: str = "local"  # who trains: local, ray, ray=ADDRESS
    strict: bool = False  # refuse pictures that cannot be used, instead of leaving them out
    costs: bool = False  # measure what a recipe costs here also where nothing of it was trained just now
    progress: Progress = SILENT  # who listens

    def __post_init__(self) -> None:
        if self.at_once is not None and self.at_once < 1:
            raise FittingroomError(
                f"at_once: got {self.at_once}; give a number of at least 1, or None for what fits this machine"
            )

    @contextmanager
    def loading_torch(self) -> Iterator[None]:
        """The first sign of life, for whoever imports inside what takes a second or two to load."""
        with self.progress.work("loading PyTorch") as tick:
            tick(0.0)
            collects = gc.isenabled()
            gc.disable()  # it would look at ever more objects that stay: an eighth of the time
            try:
                yield
            finally:
                if collects:
                    gc.enable()

    def load(self, data: str | Dataset, shape: ShapeSpec | None = None) -> Dataset:
        """A data set by name or path, once for all that this process does with it; one that is loaded, as it is.

        Raises `FittingroomError` as `data.load` does, and for a loaded one that is of another shape than asked for.
        """
        if isinstance(data, Dataset):
            _refuse_other_shape(data, shape or ShapeSpec())
            return data
        with self.progress.work("reading pictures") as tick:
            return remember(load(data, self.home, self.progress.note, shape=shape, strict=self.strict, tick=tick))


def _refuse_other_shape(data: Dataset, wanted: ShapeSpec) -> None:
    channels, *size = data.train.shape
    side = wanted.image_size
    if (wanted.channels or channels, *((side, side) if isinstance(side, int) else side or size)) != (channels, *size):
        raise FittingroomError(
            f"data: {data.name} was loaded as {'×'.join(map(str, data.train.shape))} images, but the recipe asks for others "
            "(data.image_size, data.channels); give its name or path instead"
        )
    for key in ("group", "range", "test_fraction"):
        mine, asked = getattr(data.shape, key), getattr(wanted, key)
        if asked is not None and asked != mine:
            how = f"with data.{key} = {mine}" if mine is not None else f"without data.{key}"
            raise FittingroomError(
                f"data: {data.name} was loaded {how}, but the recipe asks for {asked}; give its name or path instead"
            )
