"""The Open Inference Protocol: as Triton's own client speaks it, as JSON, and what is refused."""

from __future__ import annotations

import base64
import itertools
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from serve.asking import HEADER, INFER, MODEL, Process, Reply, Server, base64_of, binary, in_a_thread, tensor
from tritonclient.utils import InferenceServerException

from fittingroom.serve.settings import Limits, Settings

Alone = tuple[np.ndarray, np.ndarray]
ONE = np.zeros((1, 1, 28, 28), np.uint8)
NEAR = 1e-5  # batches of different sizes are added up in different orders


def output(reply: Reply, name: str) -> Any:
    """An output's values in their shape, from JSON or from the binary extension."""
    assert reply.status == 200, reply
    length = int(reply.headers.get("inference-header-content-length", len(reply.body)))
    told, raw = json.loads(reply.body[:length]), reply.body[length:]
    for one in told["outputs"]:
        size = one.get("parameters", {}).get("binary_data_size", 0)
        mine, raw = raw[:size], raw[size:]
        if one["name"] == name:
            values = one["data"] if "data" in one else np.frombuffer(mine, "<f4")
            return np.array(values).reshape(one["shape"])
    raise AssertionError(f"no {name} in {told}")


# ---------------------------------------------------------------- Triton's client, a server of its own


@pytest.fixture(scope="module")
def client(process: Process) -> Any:
    with triton.InferenceServerClient(process.server.name) as client:
        yield client


@pytest.mark.main_job
def test_tritons_client_finds_the_model(client: Any) -> None:
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready(MODEL) and client.is_model_ready(MODEL, "1")
    assert not client.is_model_ready("another") and not client.is_model_ready(MODEL, "2")
    about = client.get_server_metadata()
    assert about["name"] == "fittingroom" and about["models"] == [MODEL] and "binary_tensor_data" in about["extensions"]
    assert client.get_model_metadata(MODEL) == client.get_model_metadata(MODEL, "1")
    assert client.get_model_metadata(MODEL) == {
        "name": MODEL,
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "images", "datatype": "UINT8", "shape": [-1, 1, 28, 28]}],
        "outputs": [
            {"name": "logits", "datatype": "FP32", "shape": [-1, 10]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]},
            {"name": "answer", "datatype": "BYTES", "shape": [-1]},
        ],
    }


@pytest.mark.main_job
@pytest.mark.parametrize(("binary_in", "binary_out"), list(itertools.product((True, False), repeat=2)))
def test_tritons_client_gets_what_the_model_says_of_each_image_alone(
    client: Any, images: np.ndarray, alone: Alone, classes: tuple[str, ...], binary_in: bool, binary_out: bool
) -> None:
    logits, probabilities = alone
    for rows in (slice(0, 1), slice(5, 8), slice(10, 110)):
        some = images[rows]
        asked = triton.InferInput("images", some.shape, "UINT8").set_data_from_numpy(some, binary_data=binary_in)
        wanted = [
            triton.InferRequestedOutput(name, binary_data=binary_out) for name in ("answer", "logits", "probabilities")
        ]
        said = client.infer(MODEL, [asked], outputs=wanted, request_id="mine")
        assert said.get_response()["id"] == "mine" and said.get_response()["model_version"] == "1"
        assert np.abs(said.as_numpy("logits") - logits[rows]).max() < NEAR
        assert np.abs(said.as_numpy("probabilities") - probabilities[rows]).max() < NEAR
        words = [w.decode() if isinstance(w, bytes) else w for w in said.as_numpy("answer")]
        sure = probabilities[rows].max(1) >= 0.5
        assert words == [
            classes[c] if s else "not sure" for c, s in zip(probabilities[rows].argmax(1), sure, strict=True)
        ]


@pytest.mark.main_job
def test_tritons_client_sends_picture_files(client: Any, pngs: list[bytes], alone: Alone) -> None:
    files = np.array(pngs[:3], object)
    in_base64 = np.array([base64.b64encode(png).decode() for png in files], object)
    for data, as_binary in ((files, True), (in_base64, False)):
        for shape in ((3,), (3, 1)):
            asked = triton.InferInput("images", shape, "BYTES")
            asked.set_data_from_numpy(data.reshape(shape), binary_data=as_binary)
            said = client.infer(MODEL, [asked], outputs=[triton.InferRequestedOutput("logits")])
            assert np.abs(said.as_numpy("logits") - alone[0][:3]).max() < NEAR
            assert said.as_numpy("probabilities") is None  # nobody asked for it
            assert "id" not in said.get_response()


def test_tritons_client_tells_what_is_wrong(client: Any) -> None:
    asked = triton.InferInput("images", ONE.shape, "UINT8").set_data_from_numpy(ONE)
    with pytest.raises(
        InferenceServerException, match=r"there is no model 'another'; there are: readme-004-mlp"
    ) as told:
        client.infer("another", [asked])
    assert told.value.status() == "404"
    with pytest.raises(InferenceServerException, match="Content-Encoding") as told:
        client.infer(MODEL, [asked], request_compression_algorithm="gzip")
    assert told.value.status() == "415"
    for ours in (client.get_model_config, client.get_inference_statistics):
        with pytest.raises(InferenceServerException) as told:
            ours(MODEL)
        assert told.value.status() == "404"


# ---------------------------------------------------------------- JSON


def test_data_may_be_flat_or_nested(server: Server, images: np.ndarray, alone: Alone) -> None:
    some = images[:2]
    nested = tensor(some) | {"data": some.tolist()}
    for one in (tensor(some), nested):
        assert np.abs(output(server.infer({"inputs": [one]}), "logits") - alone[0][:2]).max() < NEAR


def test_outputs_come_as_they_were_asked_for(server: Server, images: np.ndarray, alone: Alone) -> None:
    one = tensor(images[:3])
    told = server.infer({"inputs": [one]}).json
    assert [o["name"] for o in told["outputs"]] == ["logits", "probabilities", "answer"] and "id" not in told
    assert (told["model_name"], told["model_version"]) == (MODEL, "1")
    told = server.infer({"inputs": [one], "outputs": [{"name": "answer"}, {"name": "logits"}], "id": "é"}).json
    assert [o["name"] for o in told["outputs"]] == ["answer", "logits"] and told["id"] == "é"
    mixed = server.infer(
        {
            "inputs": [one],
            "outputs": [{"name": "logits", "parameters": {"binary_data": True}}, {"name": "probabilities"}],
        }
    )
    assert mixed.headers["content-type"] == "application/octet-stream"
    assert np.abs(output(mixed, "logits") - alone[0][:3]).max() < NEAR
    assert np.abs(output(mixed, "probabilities") - alone[1][:3]).max() < NEAR
    all_binary = {"inputs": [one], "parameters": {"binary_data_output": True}}
    assert np.array_equal(output(server.infer(all_binary), "logits"), output(mixed, "logits"))
    not_this_one = all_binary | {"outputs": [{"name": "logits", "parameters": {"binary_data": False}}]}
    assert server.infer(not_this_one).json["outputs"][0]["data"]


def test_a_version_may_be_named(server: Server) -> None:
    request = json.dumps({"inputs": [tensor(ONE)]})
    assert server.ask("POST", f"/v2/models/{MODEL}/versions/1/infer", request).status == 200
    refused = server.ask("POST", f"/v2/models/{MODEL}/versions/2/infer", request)
    assert refused.status == 404 and "has version 1 only" in refused.error


def test_two_bundles_are_two_models(bundle: Path, images: np.ndarray) -> None:
    with in_a_thread(Settings((bundle, bundle))) as both:
        assert both.ask("GET", "/v2").json["models"] == [MODEL, f"{MODEL}~2"]
        request = json.dumps({"inputs": [tensor(images[:1])]})
        first, second = (both.ask("POST", f"/v2/models/{name}/infer", request).json for name in (MODEL, f"{MODEL}~2"))
        assert second["model_name"] == f"{MODEL}~2" and first["outputs"] == second["outputs"]


# ---------------------------------------------------------------- what is refused


def changed(**parts: Any) -> dict[str, Any]:
    return {"inputs": [tensor(ONE) | parts]}


def pixels(*values: Any) -> dict[str, Any]:
    """The first pixels are `values`."""
    return changed(data=[*values, *[0] * (784 - len(values))])


ROW = [0] * 28
RAGGED = [[[*[ROW] * 27, ROW[:27]]]]
WHOLE = "whole numbers from 0 to 255"
WRONG: dict[str, tuple[Any, str]] = {
    "nothing": (b"", "the body is no JSON"),
    "no json": (b"images", "the body is no JSON"),
    "half": (b'{"inputs": [', "the body is no JSON"),
    "latin-1": ('{"id": "é"}'.encode("latin-1"), "the body is no JSON"),
    "half a pair": (b'{"id": "\\ud800"}', "the body is no JSON"),
    "nan": (b'{"inputs": NaN}', "the body is no JSON"),
    "100,000 lists": (b"[" * 100_000 + b"]" * 100_000, "the body is no JSON"),
    "100,000 objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "the body is no JSON"),
    "data of 900 levels": (changed(data=json.loads("[" * 900 + "]" * 900)), "inputs.0.data"),
    "a list": ([], "the body: "),
    "a number": (1, "the body: "),
    "an empty object": ({}, "inputs: Field required"),
    "no inputs": ({"inputs": []}, "inputs: "),
    "two inputs": ({"inputs": [tensor(ONE), tensor(ONE)]}, "inputs: "),
    "inputs are no list": ({"inputs": tensor(ONE)}, "inputs: "),
    "id is a number": (changed() | {"id": 1}, "id: "),
    "parameters are no object": (changed() | {"parameters": []}, "parameters: "),
    "no name": ({"inputs": [{"shape": [1, 1, 28, 28], "datatype": "UINT8", "data": [0]}]}, "inputs.0.name: Field required"),
    "no shape": ({"inputs": [{"name": "images", "datatype": "UINT8", "data": [0]}]}, "inputs.0.shape: Field required"),
    "no datatype": ({"inputs": [{"name": "images", "shape": [1], "data": [0]}]}, "inputs.0.datatype: Field required"),
    "no data": ({"inputs": [{"name": "images", "shape": [1, 1, 28, 28], "datatype": "UINT8"}]}, "inputs.0.data"),
    "another name": (changed(name="x" * 9_000), 'the input is called "images"'),
    "another datatype": (changed(datatype="FP32"), "'FP32' must be UINT8"),
    "shape of one image": (changed(shape=[1, 28, 28]), "it must be [N, 1, 28, 28]"),
    "another shape": (changed(shape=[1, 28, 28, 1]), "it must be [N, 1, 28, 28]"),
    "shape of more": (changed(shape=[2, 1, 28, 28]), "784 values do not make [2, 1, 28, 28]"),
    "no images": (changed(shape=[0, 1, 28, 28], data=[]), "at least one image"),
    "no shape at all": (changed(shape=[]), "at least one image"),
    "minus one": (changed(shape=[-1, 1, 28, 28]), "at least one image"),
    "two minus": (changed(shape=[1, 1, -28, -28]), "at least one image"),
    "nine dimensions": (changed(shape=[1] * 9), "inputs.0.shape: "),
    "a shape of words": (changed(shape=["1", 1, 28, 28]), "inputs.0.shape.0: "),
    "a shape of floats": (changed(shape=[1.0, 1, 28, 28]), "inputs.0.shape.0: "),
    "a shape of truths": (changed(shape=[True, 1, 28, 28]), "inputs.0.shape.0: "),
    "a huge shape": (changed(shape=[1, 2**62, 2, 2]), "it must be [N, 1, 28, 28]"),
    "a shape beyond 64 bits": (changed(shape=[2**70, 1, 28, 28]), "inputs.0.shape.0: "),
    "256": (pixels(256), WHOLE),
    "-1": (pixels(-1), WHOLE),
    "2⁶³": (pixels(2**63), WHOLE),
    "2⁶³ and -1": (pixels(2**63, -1), WHOLE),
    "2⁷⁰": (pixels(2**70), WHOLE),
    "a float": (pixels(0.5), WHOLE),
    "a whole float": (pixels(1.0), WHOLE),
    "a word": (pixels("1"), WHOLE),
    "a truth": (pixels(True), WHOLE),
    "only truths": (changed(data=[True] * 784), WHOLE),
    "a null": (pixels(None), WHOLE),
    "an object": (pixels({}), WHOLE),
    "a list among numbers": (pixels([0]), "inputs.0.data"),
    "a word that would fill the memory": (changed(data=["x" * 1_000_000] + [""] * 100_000), WHOLE),
    "too few": (changed(data=[0] * 783), "783 values do not make [1, 1, 28, 28]"),
    "too many": (changed(data=[0] * 785), "785 values do not make [1, 1, 28, 28]"),
    "data is a word": (changed(data="0" * 784), "inputs.0.data: "),
    "ragged": (changed(data=RAGGED), "inputs.0.data"),
    "nested otherwise": (changed(data=[[[0] * 784]]), "inputs.0.data"),
    "nested too deep": (changed(data=[[[[[0]] * 28] * 28]]), "inputs.0.data"),
    "another output": (changed() | {"outputs": [{"name": "labels"}]}, "must be one of: logits, probabilities, answer"),
    "an output without a name": (changed() | {"outputs": [{}]}, "outputs.0.name: Field required"),
    "an output again and again": (changed() | {"outputs": [{"name": "logits"}] * 1_000}, "outputs: "),
    "no base64": (changed(datatype="BYTES", shape=[1], data=["é"]), "inputs.0.data.0: a picture file must be base64"),
    "base64 with more in it": (changed(datatype="BYTES", shape=[1], data=["iVBO*Rw0K"]), "a picture file must be base64"),
    "a number for a picture": (changed(datatype="BYTES", shape=[1], data=[1]), "a picture file must be base64"),
    "no picture": ({"inputs": [base64_of([b"just a text"])]}, "picture 0 is no PNG, JPEG, WebP, BMP, GIF, TIFF, PPM, PGM, JPEG 2000 or AVIF"),
    "fewer pictures": ({"inputs": [base64_of([b""]) | {"shape": [2]}]}, "1 pictures, but shape is [2]"),
    "pictures in a square": ({"inputs": [base64_of([b""] * 4) | {"shape": [2, 2]}]}, "it must be [N] or [N, 1]"),
    "size without bytes": (changed(parameters={"binary_data_size": 784}), "784, but 0 bytes follow"),
    "size zero, and data": (changed(parameters={"binary_data_size": 0}), "both data and binary_data_size"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_told(server: Server, what: str) -> None:
    request, words = WRONG[what]
    reply = server.infer(request)
    assert reply.status == 400 and words in reply.error and len(reply.body) < 500, reply


def with_head(first: bytes, raw: bytes, length: object) -> tuple[bytes, dict[str, str]]:
    return first + raw, {HEADER: str(length)}


def claims(size: Any, raw: bytes, shape: tuple[int, ...] = ONE.shape, **parts: Any) -> tuple[bytes, dict[str, str]]:
    """A binary tensor that is said to have `size` bytes."""
    one = {"name": "images", "datatype": "UINT8", "shape": shape, "parameters": {"binary_data_size": size}} | parts
    first = json.dumps({"inputs": [one]}).encode()
    return with_head(first, raw, len(first))


def counted(*pictures: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(picture)) + picture for picture in pictures)


PLAIN = json.dumps(changed()).encode()
BYTES = {"datatype": "BYTES", "shape": [1]}
WRONG_BINARY = {
    "beyond the end": (with_head(PLAIN, b"", len(PLAIN) + 1), "Inference-Header-Content-Length"),
    "below zero": (with_head(PLAIN, b"", -1), "Inference-Header-Content-Length"),
    "a word": (with_head(PLAIN, b"", "all"), "Inference-Header-Content-Length"),
    "a float": (with_head(PLAIN, b"", 1.5), "Inference-Header-Content-Length"),
    "a superscript": (with_head(PLAIN, b"", "²"), "Inference-Header-Content-Length"),
    "5,000 digits": (with_head(PLAIN, b"", "9" * 5_000), "Inference-Header-Content-Length"),
    "cuts the json": (with_head(PLAIN, b"", 9), "the body is no JSON"),
    "bytes that nobody announced": (with_head(PLAIN, bytes(784), len(PLAIN)), "no binary_data_size"),
    "fewer bytes": (claims(784, bytes(783)), "784, but 783 bytes follow"),
    "more bytes": (claims(784, bytes(785)), "784, but 785 bytes follow"),
    "minus": (claims(-1, bytes(784)), "-1, but 784 bytes follow"),
    "a huge size": (claims(2**62, bytes(784)), "but 784 bytes follow"),
    "a size in words": (claims("784", bytes(784)), "'784', but 784 bytes follow"),
    "a size of truth": (claims(True, b"0"), "True, but 1 bytes follow"),
    "a right size, another shape": (claims(784, bytes(784), (2, 1, 28, 28)), "784 values do not make [2, 1, 28, 28]"),
    "no bytes at all": (claims(0, b""), "0 values do not make"),
    "data as well": (claims(784, bytes(784), data=[0] * 784), "both data and binary_data_size"),
    "half a length": (claims(2, b"\0\0", **BYTES), "end inside a picture"),
    "a length beyond the end": (claims(6, struct.pack("<I", 3) + b"ab", **BYTES), "end inside a picture"),
    "a length of 4 GB": (claims(6, b"\xff\xff\xff\xffab", **BYTES), "end inside a picture"),
    "two pictures for one": (claims(10, counted(b"a", b"b"), **BYTES), "2 pictures, but shape is [1]"),
    "no picture": (claims(5, counted(b"a"), **BYTES), "picture 0 is no PNG"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG_BINARY)
def test_binary_lies_are_told(server: Server, what: str) -> None:
    (body, headers), words = WRONG_BINARY[what]
    reply = server.infer(body, headers)
    assert reply.status == 400 and words in reply.error, reply


def test_one_bad_picture_refuses_the_whole_tensor(server: Server, pngs: list[bytes]) -> None:
    assert server.infer({"inputs": [base64_of(pngs[:2])]}).status == 200
    refused = server.infer({"inputs": [base64_of([pngs[0], pngs[1][:-40], pngs[2]])]})
    assert refused.status == 400 and refused.error.startswith("picture 1 cannot be decoded")


def test_too_many_images(server: Server) -> None:
    body, headers = binary(np.zeros((256, 1, 28, 28), np.uint8))
    assert server.infer(body, headers).status == 200
    body, headers = binary(np.zeros((257, 1, 28, 28), np.uint8))
    for reply in (
        server.infer(body, headers),
        server.infer({"inputs": [base64_of([b"x"] * 257)]}),
        server.infer(changed(shape=[10**18, 1, 28, 28])),
    ):
        assert reply.status == 413 and "256 images" in reply.error


@pytest.mark.parametrize("value", ['""', "{}", "0", "[]"])
def test_json_of_millions_of_values_is_not_built(server: Server, value: str) -> None:
    tensor = '{"name": "images", "datatype": "BYTES", "shape": [1], "data": [' + ",".join([value] * 1_000_000) + "]}"
    reply = server.infer(f'{{"inputs": [{tensor}]}}'.encode())
    assert reply.status == 413 and "more values than the 256 images" in reply.error


def test_a_limit_of_fewer_images(bundle: Path) -> None:
    with in_a_thread(Settings((bundle,), limits=Limits(images=2))) as small:
        assert small.infer({"inputs": [tensor(np.zeros((2, 1, 28, 28), np.uint8))]}).status == 200
        assert small.infer({"inputs": [tensor(np.zeros((3, 1, 28, 28), np.uint8))]}).status == 413


def test_unknown_models_addresses_and_methods(server: Server) -> None:
    request = json.dumps(changed())
    for method, path in (
        ("GET", "/v2/models/another"),
        ("GET", "/v2/models/another/ready"),
        ("POST", "/v2/models/another/infer"),
        ("POST", "/v2/models/%2e%2e%2f/infer"),
        ("POST", "/v2/models/%ff%00/infer"),
        ("GET", "/v2/nothing"),
        ("GET", "/v2/repository/index"),
        ("GET", f"/v2/models/{MODEL}/versions/2"),
        ("GET", f"/v2/models/{MODEL}/versions/2/ready"),
    ):
        reply = server.ask(method, path, request if method == "POST" else None)
        assert reply.status == 404 and reply.error, path
    long = server.ask("GET", "/v2/models/" + "x" * 5_000)
    assert long.status == 404 and len(long.body) < 300
    for method, path, allowed in (
        ("GET", INFER, "POST"),
        ("PUT", INFER, "POST"),
        ("DELETE", f"/v2/models/{MODEL}", "GET"),
        ("POST", "/v2/health/ready", "GET"),
        ("GET", "/predict", "POST"),
        ("POST", "/metrics", "GET"),
    ):
        reply = server.ask(method, path)
        assert reply.status == 405 and reply.error and reply.headers["allow"] == allowed, path
