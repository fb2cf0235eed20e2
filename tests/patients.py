"""Pictures as a clinic has them: several of each patient, who is of one class."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from fittingroom.data import Dataset

PATIENTS, EACH = 24, 5


def patients(
    fashion: Dataset, root: Path, name: Callable[[int, int, str], str], count: int = PATIENTS, each: int = EACH
) -> Path:
    """A folder of pictures of `count` patients, `each` of each; `name` says what files are called.

    A patient is a garment, whatever its class; what patients are called is dealt out in turn. So nothing can be learned of others.
    """
    rng = np.random.default_rng(0)
    for patient in range(count):
        label = ("healthy", "ill")[patient % 2]
        base = fashion.train.images_NCHW[patient, 0].astype(int)
        for number in range(each):
            picture = np.clip(base + rng.integers(-60, 60, base.shape), 0, 255).astype(np.uint8)  # no near duplicates
            path = root / name(patient, number, label)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
    return root
