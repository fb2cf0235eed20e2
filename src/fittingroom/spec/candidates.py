"""What `fittingroom best` compares: ordinary recipes, from a line through the pixels to a network that is trained on."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence

from fittingroom.spec.errors import unknown
from fittingroom.spec.first import first_recipe
from fittingroom.spec.pretrained import PretrainedEntry, pretrained
from fittingroom.spec.read import parse_recipe, read_recipe
from fittingroom.spec.recipe import Recipe, ShapeSpec

SIDE = 224  # pixels a side: one size for all, so that all answer the same pictures; most pretrained networks' own
SHAPE = ShapeSpec(image_size=SIDE, channels=3, resize="crop")
SHRUNK = 4  # times smaller for the net from scratch: 56 pixels a side, as a first recipe has about
COARSE = 8  # times smaller for the line through the pixels
MOST_EPOCHS = 25  # of the net from scratch; with 60 it got 60.8 instead of 57.3 % (docs/log.md 2026-11-27)
TWO_SIZES = ("efficientnet-lite0", "efficientnet-lite1")
USUAL = (  # in the order in which they are tried
    "frozen-lite0", "neighbours-lite0", "pixels", "scratch", "frozen-lite1", "finetune-lite0",
)  # fmt: skip


def short(entry: PretrainedEntry) -> str:
    """A pretrained network's name as a part of a candidate's."""
    return entry.name.removeprefix("efficientnet-")


def names() -> list[str]:
    """All that can be candidates.

    >>> names()[:2]
    ['pixels', 'scratch']
    """
    ways = ("frozen", "neighbours", "teachable", "finetune", "finetune-all")
    return ["pixels", "scratch", *(f"{way}-{short(entry)}" for entry in pretrained().values() for way in ways)]


def network_of(name: str) -> PretrainedEntry | None:
    """The pretrained network that a candidate begins with; None for one that begins with none."""
    return next((entry for entry in pretrained().values() if name.endswith(f"-{short(entry)}")), None)


def refuse_unknown(wanted: Sequence[str]) -> None:
    """Raise `FittingroomError` for a name that is no candidate's."""
    for name in wanted:
        if name not in names():
            raise unknown("candidate", name, names(), ", ".join(names()))


def candidate(name: str, counts: dict[str, int], read: ShapeSpec, may_flip: bool) -> Recipe:
    """The recipe of this name for `counts` pictures of each class, read as `read` says. Raises `FittingroomError`.

    >>> candidate("frozen-lite1", {"cat": 60, "dog": 50}, SHAPE, True).model.init
    'efficientnet-lite1'
    """
    refuse_unknown([name])
    entry = network_of(name)
    if entry is None:
        recipe = _pixels() if name == "pixels" else _scratch(counts, may_flip)
    else:
        recipe = _pretrained(name.removesuffix(f"-{short(entry)}"), entry, may_flip)
    data = recipe.data.model_copy(update={**read.model_dump(exclude_none=True), "val_fraction": 0.0})
    return recipe.model_copy(update={"name": name, "data": data, "claims": (), "measured": (), "source": ""})


def _pretrained(way: str, entry: PretrainedEntry, may_flip: bool) -> Recipe:
    shipped = {"teachable": "frozen-teachable", "finetune-all": "finetune"}.get(way, way)
    freeze = {"teachable": entry.layers, "finetune": entry.early_layers, "finetune-all": 0}.get(way, "body")
    changes = [f"model.init={entry.name}", f"model.freeze={freeze}"]
    if way == "finetune-all":
        augment = '[{kind="hflip"}, {kind="trivial"}]' if may_flip else '[{kind="trivial"}]'
        return read_recipe(shipped, [*changes, f"augment={augment}"])
    return read_recipe(shipped, [*changes, *([] if may_flip or way != "finetune" else ["augment=[]"])])


def _pixels() -> Recipe:
    layers = [{"pool": "avg", "size": COARSE}, {"flatten": True}]
    return parse_recipe(
        {
            "description": f"Logistic regression on the pixels, {SIDE // COARSE} a side: what a network has to beat.",
            "model": {"kind": "sequential", "layers": layers},
            "optimizer": {"kind": "adamw", "lr": 1e-3, "weight_decay": 0.1},
            "schedule": {"kind": "cosine"},
            "train": {"epochs": 15, "batch_size": 64},
        }
    )


def _scratch(counts: dict[str, int], may_flip: bool) -> Recipe:
    small = SIDE // SHRUNK
    text = first_recipe("scratch", "pictures", (3, small, small), ShapeSpec(), counts, True, may_flip)
    tree = tomllib.loads(text)
    tree["model"]["args"]["shrink"] = SHRUNK
    # at full size, before pictures are made smaller: turning them would take longer than the network does
    tree["augment"] = [step for step in tree["augment"] if step["kind"] != "affine"]
    for step in tree["augment"]:
        if step["kind"] == "shift":
            step["pixels"] *= SHRUNK
    tree["train"]["epochs"] = min(MOST_EPOCHS, tree["train"]["epochs"])
    tree["description"] = "A small net from nothing: what these pictures alone can teach."
    return parse_recipe(tree)


def usual(entries: Sequence[str], few: bool = True, thorough: bool = False) -> list[str]:
    """The candidates where nobody names any, in order, with the pretrained networks that are at hand.

    `few`: pictures, so that they can be known by heart; `thorough`: all layers of a network are trained, too.

    >>> usual([]), usual(["dinov2-small"])
    (['pixels', 'scratch'], ['pixels', 'scratch', 'frozen-dinov2-small'])
    """
    wanted = [*(name for name in USUAL if few or not name.startswith("neighbours")), *["finetune-all-lite0"] * thorough]
    found = [name for name in wanted if (entry := network_of(name)) is None or entry.name in entries]
    return found + [f"frozen-{short(pretrained()[name])}" for name in entries if name not in TWO_SIZES]
