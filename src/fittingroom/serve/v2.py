"""The Open Inference Protocol, version 2, over REST: github.com/kserve/open-inference-protocol, with binary tensors.

Takes `images` as UINT8 tensors (N,C,H,W), or as BYTES: picture files, base64 in JSON, raw in the binary extension
(Triton's: github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md).
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fittingroom.inference import Classifier
from fittingroom.serve.batching import Said
from fittingroom.serve.guard import Refused
from fittingroom.serve.settings import Limits

OUTPUTS = ("logits", "probabilities", "answer")
HEADER_LENGTH = "inference-header-content-length"  # where binary tensors follow the JSON


class Part(BaseModel):
    """Unknown keys are nobody's harm here: the protocol has extensions."""

    model_config = ConfigDict(extra="ignore", strict=True)


class InputTensor(Part):
    name: str = Field(examples=["images"])
    shape: list[int] = Field(max_length=8, examples=[[1, 1, 28, 28]])
    datatype: str = Field(examples=["UINT8"])
    parameters: dict[str, Any] = {}
    data: list[Any] | None = None


class OutputWanted(Part):
    name: str = Field(examples=["probabilities"])
    parameters: dict[str, Any] = {}


class InferRequest(Part):
    """`data` may be flat or nested. Without `outputs`, all are given."""

    id: str = ""
    parameters: dict[str, Any] = {}
    inputs: list[InputTensor] = Field(min_length=1, max_length=1)
    outputs: list[OutputWanted] = Field([], max_length=len(OUTPUTS))  # or a short request gets a very long answer


class OutputTensor(Part):
    name: str
    datatype: str
    shape: list[int]
    data: list[float] | list[str]


class InferResponse(Part):
    model_name: str
    model_version: str
    id: str = ""
    outputs: list[OutputTensor]


@dataclass(frozen=True)
class Asked:
    """A request, read: either images that have their form already, or picture files."""

    id: str
    images_NCHW: np.ndarray | None
    pictures: Sequence[bytes]
    outputs: tuple[tuple[str, bool], ...]  # name, whether binary


def read_request(body: bytes, header_length: str | None, shape: tuple[int, int, int], limits: Limits) -> Asked:
    """A body, checked. Raises `Refused` with 400, and with 413 for too many images."""
    json_bytes, binary = body, b""
    if header_length is not None:
        if not re.fullmatch("[0-9]{1,18}", header_length) or int(header_length) > len(body):
            raise Refused(400, f"Inference-Header-Content-Length: got {header_length[:20]!r}, of {len(body)} bytes")
        json_bytes, binary = body[: int(header_length)], body[int(header_length) :]
    most = limits.images * math.prod(shape) + 10_000  # values; a comma in a name is one too many, and harmless
    if json_bytes.count(b",") > most:
        raise Refused(413, f"the JSON holds more values than the {limits.images} images that a request may have")
    request = _parsed(json_bytes)
    tensor = request.inputs[0]
    if tensor.name != "images":
        raise Refused(400, f'inputs.0.name: {tensor.name[:80]!r}; the input is called "images"')
    if any(n < 0 for n in tensor.shape) or not tensor.shape or tensor.shape[0] < 1:
        raise Refused(400, f"inputs.0.shape: {tensor.shape}; give at least one image")
    if tensor.shape[0] > limits.images:
        raise Refused(413, f"a request may have {limits.images} images; got {tensor.shape[0]}")
    raw = _binary_part(tensor, binary)
    outputs = _outputs(request)
    match tensor.datatype:
        case "UINT8":
            return Asked(request.id, _images(tensor, raw, shape), (), outputs)
        case "BYTES":
            return Asked(request.id, None, _pictures(tensor, raw), outputs)
    raise Refused(400, f"inputs.0.datatype: {tensor.datatype[:20]!r} must be UINT8 (pixels) or BYTES (picture files)")


def write_response(
    name: str, version: str, asked: Asked, said: Said, classifier: Classifier
) -> tuple[bytes, dict[str, str]]:
    """The body, and the headers that go with it."""
    logits_NK, probabilities_NK = said
    binary: list[bytes] = []
    outputs: list[dict[str, Any]] = []
    for wanted, as_binary in asked.outputs:
        if wanted == "answer":
            words = [answer.says for answer in classifier.answers(logits_NK, probabilities_NK, top=1)]
            tensor: dict[str, Any] = {"name": wanted, "datatype": "BYTES", "shape": [len(words)]}
            raw = b"".join(struct.pack("<I", len(w)) + w for w in (word.encode() for word in words))
            plain: Any = words
        else:
            values = {"logits": logits_NK, "probabilities": probabilities_NK}[wanted]
            tensor = {"name": wanted, "datatype": "FP32", "shape": list(values.shape)}
            raw, plain = values.astype("<f4", copy=False).tobytes(), np.ascontiguousarray(values).reshape(-1)
        if as_binary:
            binary.append(raw)
            tensor["parameters"] = {"binary_data_size": len(raw)}
        else:
            tensor["data"] = plain
        outputs.append(tensor)
    head = {"model_name": name, "model_version": version, "outputs": outputs} | ({"id": asked.id} if asked.id else {})
    json_bytes = orjson.dumps(head, option=orjson.OPT_SERIALIZE_NUMPY)
    if not binary:
        return json_bytes, {"content-type": "application/json"}
    headers = {"content-type": "application/octet-stream", HEADER_LENGTH: str(len(json_bytes))}
    return b"".join([json_bytes, *binary]), headers


def _parsed(content: bytes) -> InferRequest:
    try:
        tree = orjson.loads(content)  # refuses what is nested more than 1024 deep
        return InferRequest.model_validate(tree)
    except orjson.JSONDecodeError as error:
        raise Refused(400, f"the body is no JSON: {error}") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise Refused(400, f"{'.'.join(map(str, first['loc'])) or 'the body'}: {first['msg']}") from None


def _binary_part(tensor: InputTensor, binary: bytes) -> bytes | None:
    size = tensor.parameters.get("binary_data_size")
    if size is None:
        if binary:
            raise Refused(400, "bytes follow the JSON, but inputs.0.parameters has no binary_data_size")
        return None
    if type(size) is not int or size != len(binary):
        raise Refused(400, f"inputs.0.parameters.binary_data_size: {size!r}, but {len(binary)} bytes follow the JSON")
    if tensor.data is not None:
        raise Refused(400, "inputs.0 has both data and binary_data_size; send one of them")
    return binary


def _images(tensor: InputTensor, raw: bytes | None, shape: tuple[int, int, int]) -> np.ndarray:
    if tuple(tensor.shape[1:]) != shape:
        raise Refused(400, f"inputs.0.shape: {tensor.shape}; it must be [N, {', '.join(map(str, shape))}]")
    if raw is not None:
        values = raw
    else:
        flat = tensor.data or []
        for n in shape:
            if list not in map(type, flat):
                break
            if any(type(row) is not list or len(row) != n for row in flat):
                raise Refused(400, f"inputs.0.data: nest it as {tensor.shape}, or not at all")
            flat = list(chain.from_iterable(flat))
        if not set(map(type, flat)) <= {int} or not 0 <= min(flat, default=0) <= max(flat, default=0) <= 255:
            raise Refused(400, "inputs.0.data: give whole numbers from 0 to 255")
        values = bytes(flat)
    if len(values) != math.prod(tensor.shape):
        raise Refused(400, f"inputs.0.data: {len(values)} values do not make {tensor.shape}")
    return np.frombuffer(values, np.uint8).reshape(tensor.shape)


def _pictures(tensor: InputTensor, raw: bytes | None) -> list[bytes]:
    if len(tensor.shape) > 2 or (len(tensor.shape) == 2 and tensor.shape[1] != 1):
        raise Refused(400, f"inputs.0.shape: {tensor.shape}; for BYTES it must be [N] or [N, 1]")
    n = tensor.shape[0]
    if raw is None:
        found: list[bytes] = []
        words = [w for item in tensor.data or [] for w in (item if isinstance(item, list) else [item])]
        for i, word in enumerate(words):
            try:
                found.append(base64.b64decode(word, validate=True))
            except (TypeError, ValueError, binascii.Error):
                raise Refused(400, f"inputs.0.data.{i}: a picture file must be base64") from None
    else:
        found = _counted_bytes(raw)
    if len(found) != n:
        raise Refused(400, f"inputs.0: {len(found)} pictures, but shape is {tensor.shape}")
    return found


def _counted_bytes(raw: bytes) -> list[bytes]:
    """Strings that each begin with their length, four bytes, the lowest first."""
    found, at = [], 0
    while at < len(raw):
        size = int.from_bytes(raw[at : at + 4], "little")
        if at + 4 + size > len(raw):
            raise Refused(400, "the binary data end inside a picture")
        found.append(raw[at + 4 : at + 4 + size])
        at += 4 + size
    return found


def _outputs(request: InferRequest) -> tuple[tuple[str, bool], ...]:
    all_binary = request.parameters.get("binary_data_output") is True
    wanted = request.outputs or [OutputWanted(name=name) for name in OUTPUTS]
    for i, output in enumerate(wanted):
        if output.name not in OUTPUTS:
            raise Refused(400, f"outputs.{i}.name: {output.name[:80]!r} must be one of: {', '.join(OUTPUTS)}")
    return tuple((o.name, bool(o.parameters.get("binary_data", all_binary))) for o in wanted)
