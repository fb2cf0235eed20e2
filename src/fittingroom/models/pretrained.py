"""Trained weights of others: brought like data, opened as weights only, and kept once under our own names."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

from fittingroom.models.build import build
from fittingroom.models.names import NAMES, OF_KIND, UNUSED
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.pretrained import PretrainedEntry, pretrained
from fittingroom.spec.recipe import ModelSpec
from fittingroom.store.atomic import explained, write
from fittingroom.store.fetch import Say, fetch, read_payload

OURS = "weights.safetensors"
TIMMS = {"mean": (0.5, 0.5, 0.5), "sd": (0.5, 0.5, 0.5)}  # of pictures that timm trained EfficientNet-Lite with
SMALL = 64  # pixels a side, of a network that is only looked at
VERSION = 1  # raised when the same file becomes other tensors


def pretrained_weights(entry: PretrainedEntry, home_dir: Path, say: Say = lambda line: None) -> Path:
    """The weights of `entry` as a safetensors file with our names, brought and turned into one if it is not there.

    Several processes may ask at once. Raises `FittingroomError` where no source delivers, and for a file of another network.
    """
    folder = home_dir / "weights" / entry.name
    path, seal = folder / OURS, folder / "weights.json"
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / ".made.lock"):
            if not _is_sealed(path, seal, entry):
                fetch(entry.title, [entry.file], entry.sources, folder, say)
                content = save(dict(_renamed(_opened(folder, entry), entry)))
                write(path, content)
                facts = _seal(entry, content)
                write(seal, json.dumps(facts) + "\n")
    return path


def at_hand(entry: PretrainedEntry, home_dir: Path) -> bool:
    """Whether the weights of `entry` are in the home, as they were made."""
    folder = home_dir / "weights" / entry.name
    return _is_sealed(folder / OURS, folder / "weights.json", entry)


def _is_sealed(path: Path, seal: Path, entry: PretrainedEntry) -> bool:
    """Whether the file is there as it was made of this entry's."""
    try:
        facts = json.loads(seal.read_text(encoding="utf-8"))
        return bool(facts == _seal(entry, path.read_bytes()))
    except (OSError, ValueError):
        return False


def _seal(entry: PretrainedEntry, content: bytes) -> dict[str, object]:
    return {"version": VERSION, "of": entry.file.sha256, "sha256": hashlib.sha256(content).hexdigest()}


def weights_of_file(file: Path, home_dir: Path) -> tuple[Path, ModelSpec | None]:
    """A file of trained weights, kept under the home with our names, and the network that they are of.

    A file that fittingroom wrote has our names already (its network is not known). Another is recognised by its tensors as one of
    the networks of `spec.pretrained`. Raises `FittingroomError`.
    """
    tensors = _tensors(file)
    if "mean" in tensors and "scale" in tensors:
        return kept(tensors, home_dir), None
    for entry in pretrained().values():
        for theirs in OF_KIND[entry.kind]:
            own = TIMMS | {"args": entry.args | {"norm_eps": 1e-5}} if theirs == "timm" else {}
            like = entry.model_copy(update={"names": theirs, **own})
            found = dict(_renamed(tensors, like))
            if _shapes(found) == _of_network(like.kind, tuple(like.args.items())):
                return kept(found, home_dir), ModelSpec(kind=like.kind, args=like.args)
    raise FittingroomError.at(
        "model.init",
        f"{file} holds {len(tensors)} tensors of no network with trained weights that is known here (fittingroom models)",
    )


def kept(tensors: Mapping[str, np.ndarray], home_dir: Path, classes: Sequence[str] = ()) -> Path:
    """Weights as a file under the home that is named by its content, so that a run which began with them can be made again.

    `classes` that they tell apart are written into it.
    """
    about = {"classes": json.dumps(classes)} if classes else None
    content = save({name: np.asarray(value, order="C") for name, value in tensors.items()}, about)
    path = kept_file(hashlib.sha256(content).hexdigest(), home_dir)
    if not path.exists():
        write(path, content)
    return path


def classes_of(file: Path) -> tuple[str, ...]:
    """The classes that are written into a file of weights; () where none are."""
    with safe_open(file, "numpy") as opened:
        return tuple(json.loads((opened.metadata() or {}).get("classes", "[]")))


def kept_file(sha256: str, home_dir: Path) -> Path:
    """Where weights with this hash (or so much of it) lie, there or not."""
    return home_dir / "weights" / "files" / f"{sha256[:16]}.safetensors"


@cache
def _of_network(kind: str, args: tuple[tuple[str, Any], ...]) -> dict[str, tuple[int, ...]]:
    model = build(ModelSpec(kind=kind, args=dict(args)), (3, SMALL, SMALL), 2)
    return _shapes({name: value.numpy() for name, value in model.state_dict().items()})


def _shapes(tensors: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor, but for what hangs on the classes that the last layer tells apart, and on pictures' size."""
    varying = ("body.classifier.", "body.positions.")
    return {name: value.shape for name, value in tensors.items() if not name.startswith(varying)}


def _opened(folder: Path, entry: PretrainedEntry) -> Mapping[str, np.ndarray]:
    """The tensors of the verified file. No code in it is run, whatever it holds."""
    read_payload(folder, entry.file)  # raises for any other
    return _tensors(folder / entry.file.name)


def _tensors(path: Path) -> Mapping[str, np.ndarray]:
    """What a file of weights holds, by its own names."""
    try:
        if path.suffix == ".safetensors":
            return load(path.read_bytes())
        tensors = torch.load(path, map_location="cpu", weights_only=True)
        return {
            name: value.float().numpy() if value.is_floating_point() else value.numpy()
            for name, value in tensors.items()
        }
    except (
        SafetensorError,
        pickle.UnpicklingError,
        RuntimeError,
        AttributeError,
        EOFError,
        ValueError,
        KeyError,
    ) as error:
        raise FittingroomError(f"{path} does not hold weights alone ({str(error).splitlines()[0][:200]})") from None


def _renamed(tensors: Mapping[str, np.ndarray], entry: PretrainedEntry) -> Iterator[tuple[str, np.ndarray]]:
    """Each tensor by the name that it has in our network, and the normalisation of its pictures."""
    for name, value in tensors.items():
        if name not in UNUSED:
            yield f"body.{NAMES[entry.names](name, entry.args)}", np.asarray(value, order="C")
    yield "mean", np.array(entry.mean, np.float32).reshape(1, -1, 1, 1)
    yield "scale", (1 / np.array(entry.sd)).astype(np.float32).reshape(1, -1, 1, 1)
