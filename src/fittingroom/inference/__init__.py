"""A bundle answers: pictures to probabilities, by ONNX Runtime. No torch."""

from fittingroom.inference.classifier import Answer, Classifier

__all__ = ["Answer", "Classifier"]
