"""The test images that a finished run was scored on, for what looks at them again without choosing by them."""

from __future__ import annotations

from fittingroom.data import Dataset, Images
from fittingroom.store import RunFolder, Runs, load_run


def scored_images(run: RunFolder, runs: Runs, data: Dataset) -> Images:
    """The copy that the runs folder keeps; where that is smaller than the images, they are read again, which is logged.

    Raises `FittingroomError` for a run that was not scored.
    """
    labels_N = load_run(run).labels_N
    kept = runs.thumbnails(run.data.digest)
    if kept is not None and kept.shape == (len(labels_N), *run.data.shape):
        return Images(kept, labels_N, run.data.classes)
    return data.test.unlock(lambda: runs.log_test_read(run.name, data.name, data.digest))
