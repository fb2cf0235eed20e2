"""How MLflow opens a bundle (its `python_function` flavour): by ONNX Runtime, with no torch and nothing unpickled."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fittingroom.inference.classifier import Classifier
from fittingroom.store import BundleFolder


class Probabilities:
    """What MLflow's `predict` and `mlflow models serve` call."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier

    def predict(self, images_NCHW: np.ndarray) -> np.ndarray:
        """The bundle's probabilities (N,K) of uint8 images, which MLflow has held against the model's signature."""
        return self.classifier.graph.predict(images_NCHW)[1]


def _load_pyfunc(path: str) -> Probabilities:
    """MLflow's name for it."""
    return Probabilities(Classifier(BundleFolder(Path(path))))
