"""Networks with trained weights. Each is a small TOML: what it is, its file and hash, who gives it, its licence."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from fittingroom.spec.parse import parse, read_toml
from fittingroom.spec.recipe import Count, Finite, Fraction, Positive, Strict
from fittingroom.spec.sources import FileEntry, Source

Three = tuple[Finite, Finite, Finite]


class Published(Strict):
    """What its makers say of it."""

    accuracy: Fraction  # on what it was trained for
    source: str


class PretrainedEntry(Strict):
    """Trained weights as data: the network that they are of, and what its pictures are made into."""

    name: Annotated[str, Field(pattern=r"^[\w][\w.-]*$")]
    title: str
    about: str
    licence: str
    kind: str  # a name of `fittingroom models`
    args: dict[str, int | float | bool | str] = Field(default={})
    classes: Annotated[int, Field(ge=0)]  # that it was trained to tell apart; 0 where it was trained without labels
    layers: Count  # but the last, which is of their classes
    early_layers: Count  # of these: what lies before the last two stages
    image_size: Count
    resize: Literal["pad", "crop", "stretch"]
    mean: Three  # of values in 0 … 1
    sd: tuple[Positive, Positive, Positive]
    names: Literal["timm", "efficientnet_pytorch", "torchvision", "dinov2"] = "timm"  # how the file calls its tensors
    published: Published | None = None
    file: FileEntry
    sources: tuple[Source, ...] = ()


@cache
def pretrained() -> dict[str, PretrainedEntry]:
    """The networks with trained weights, by name.

    >>> pretrained()["efficientnet-lite0"].image_size
    224
    """
    folder = Path(str(resources.files("fittingroom") / "models" / "weights"))
    found = [
        parse(PretrainedEntry, read_toml(file), str(file), "docs/pictures.md") for file in sorted(folder.glob("*.toml"))
    ]
    return {entry.name: entry for entry in found}


def filled(tree: dict[str, Any]) -> dict[str, Any]:
    """A recipe as plain data, in which what a pretrained network decides stands where nothing else is said.

    >>> whole = filled({"model": {"init": "efficientnet-lite0"}})
    >>> whole["model"]["kind"], whole["data"]["image_size"]
    ('efficientnet_lite', 224)
    """
    model, data = tree.get("model"), tree.get("data", {})
    if not (isinstance(model, dict) and isinstance(data, dict) and isinstance(model.get("init"), str)):
        return tree
    entry = pretrained().get(model["init"].partition("@")[0])
    if entry is None:
        return tree | {"model": {"kind": "", **model}} if model["init"] else tree
    if model.get("kind", entry.kind) == entry.kind:
        args = model.get("args", {})
        model = {"kind": entry.kind, **model} | ({"args": {**entry.args, **args}} if isinstance(args, dict) else {})
    return tree | {
        "model": model,
        "data": {"image_size": entry.image_size, "channels": 3, "resize": entry.resize, **data},
    }
