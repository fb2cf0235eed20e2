"""A bundle answers: pictures to probabilities, by ONNX Runtime. No torch."""

from fittingroom.inference.classifier import Classifier, Prediction

__all__ = ["Classifier", "Prediction"]
