"""Networks, one family a file. Every one takes (N,C,H,W) float images and gives (N,K) logits.

To add one: write a function with the parameters `channels, size, classes` (then keyword-only ones of its own) in a file
here, decorate it with `@MODELS.register`, import it below. Registration alone puts it through the conformance test.
"""

from fittingroom.models.build import Classifier, build, describe, on_paper, with_sources
from fittingroom.models.efficientnet_lite import efficientnet_lite
from fittingroom.models.fastnet import fastnet
from fittingroom.models.registry import MODELS
from fittingroom.models.resnet import resnet10, resnet18, resnet18_photos, resnet20
from fittingroom.models.sequential import sequential
from fittingroom.models.vgg import vgg
from fittingroom.models.vit import vit
from fittingroom.models.wide_resnet import wide_resnet

__all__ = [
    "MODELS", "Classifier", "build", "describe", "efficientnet_lite", "fastnet", "on_paper", "resnet10", "resnet18",
    "resnet18_photos", "resnet20", "sequential", "vgg", "vit", "wide_resnet", "with_sources",
]  # fmt: skip
