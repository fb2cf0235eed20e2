"""A graph with 8-bit integers inside: smaller, and faster where the processor multiplies them natively."""

from __future__ import annotations

import logging

import numpy as np

from fittingroom.inference.classifier import runtime
from fittingroom.spec.errors import need
from fittingroom.store.litter import scratch

CALIBRATION = 500  # training images from which the ranges of activations are taken


def int8(graph: bytes, images_NCHW: np.ndarray) -> bytes:
    """The graph with int8 weights (a scale a channel) and uint8 activations, whose ranges come from training images.

    ONNX Runtime's static quantization (onnxruntime.ai/docs/performance/model-optimizations/quantization.html).
    """
    need("onnx", "quantizing", "export")
    runtime()
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rows = iter(range(0, len(images_NCHW), 50))

        def get_next(self) -> dict[str, np.ndarray] | None:
            first = next(self.rows, None)
            return None if first is None else {"images": images_NCHW[first : first + 50]}

    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)  # it recommends its own preprocessing, which it has had
    try:
        with scratch("fittingroom") as folder:
            plain, folded, small = (folder / f"{name}.onnx" for name in ("plain", "folded", "small"))
            plain.write_bytes(graph)
            quant_pre_process(str(plain), str(folded), skip_symbolic_shape=True)
            clips = any(node.op_type == "Clip" for node in onnx.load(folded).graph.node)
            quantize_static(
                str(folded),
                str(small),
                Reader(),
                # a range that is taken before ReLU6 would be spent on what that cuts off: docs/log.md 2026-11-27
                op_types_to_quantize=["Conv", "Gemm", "MatMul", *(["Clip", "Add"] if clips else [])],
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
            )
            return small.read_bytes()
    finally:
        root.setLevel(before)
