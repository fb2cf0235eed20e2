"""Batched tensor transforms for training, one kind a file. Randomness is an argument.

Every transform takes `images_NCHW` (float32 in 0 … 1), `targets_NK` (float32, rows sum to 1) and a CPU or device
generator, and gives new images and targets; it never changes what it was given. Parameters are keyword-only.
To add one: write the function in a file of its own, decorate it with `@AUGMENTATIONS.register`, import it here.
"""

from fittingroom.augment.affine import affine
from fittingroom.augment.colour import colour
from fittingroom.augment.erase import erase
from fittingroom.augment.flip import hflip, vflip
from fittingroom.augment.mix import cutmix, mixup
from fittingroom.augment.noise import noise
from fittingroom.augment.registry import AUGMENTATIONS, Augmentation, pipeline, uniform
from fittingroom.augment.shift import shift
from fittingroom.augment.trivial import trivial

__all__ = [
    "AUGMENTATIONS", "Augmentation", "affine", "colour", "cutmix", "erase", "hflip", "mixup", "noise", "pipeline", "shift",
    "trivial", "uniform", "vflip",
]  # fmt: skip
