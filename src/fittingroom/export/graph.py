"""From a network to one ONNX file that takes raw uint8 images."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from fittingroom.inference.classifier import OUTPUTS
from fittingroom.models.neighbours import last_dense
from fittingroom.spec.errors import FittingroomError, need
from fittingroom.training.predict import to_float


class RawImages(nn.Module):
    """A network with all that comes before and after it: (N,C,H,W) uint8 to logits (N,K), probabilities (N,K), features (N,D).

    Probabilities are those of the logits divided by `temperature` (Guo et al. 2017). Features are what the last dense
    layer is given; of a network without one, the pixels (0 … 1).
    """

    def __init__(self, classifier: nn.Module, temperature: float) -> None:
        super().__init__()
        self.classifier, self.temperature = classifier, temperature
        self.last = last_dense(classifier)

    def forward(self, images_NCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        pixels = to_float(images_NCHW)
        heard = [pixels.flatten(1)]
        handle = self.last.register_forward_pre_hook(lambda _, given: heard.append(given[0])) if self.last else None
        logits_NK = self.classifier(pixels)
        if handle:
            handle.remove()
        return logits_NK, torch.softmax(logits_NK / self.temperature, 1), heard[-1]


def onnx_graph(
    classifier: nn.Module, shape: tuple[int, int, int], temperature: float = 1.0, about: Mapping[str, str] | None = None
) -> bytes:
    """One ONNX file of a network for images of `shape` (C,H,W), in the opset that torch writes today, any batch size.

    `about` becomes the file's metadata. Raises `FittingroomError` for a network that ONNX cannot say, `MissingExtra`.
    """
    for module in ("onnx", "onnxscript"):
        need(module, "export", "export")
    tempfile.gettempdir()  # torch needs one, and would say something else
    net = RawImages(classifier, temperature).eval()
    example = torch.zeros(2, *shape, dtype=torch.uint8)
    with _quiet(), torch.no_grad():
        try:
            program = torch.onnx.export(
                net,
                (example,),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("N")},),
                input_names=["images"],
                output_names=list(OUTPUTS),
                verbose=False,
            )
        except Exception as error:  # whatever a network of one's own does
            reason = str(error.__cause__ or error).strip().splitlines()[0]
            raise FittingroomError(
                f"this network cannot be written as ONNX with any number of images: {reason}"
            ) from error
    assert program is not None
    model = program.model_proto
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.initializer, *model.graph.input, model.graph):
        part.ClearField("metadata_props")  # torch notes there which lines of which files on this machine a node is from
        part.ClearField("doc_string")
    for key, value in (about or {}).items():
        model.metadata_props.add(key=key, value=value)
    return bytes(model.SerializeToString())


@contextmanager
def _quiet() -> Iterator[None]:
    """torch's exporter tells of torchvision, which nobody needs here, and warns of its own insides."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
