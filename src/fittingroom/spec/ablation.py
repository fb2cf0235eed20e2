"""A recipe without one of its parts: what an ablation compares it with."""

from __future__ import annotations

from typing import Any

from fittingroom.spec.errors import FittingroomError, nearest
from fittingroom.spec.read import parse_recipe
from fittingroom.spec.recipe import LAYER_KINDS, Recipe

LAYER_PARTS = ("norm", "dropout")  # kinds of layers that can be left out without changing a shape
SWITCHES = {  # part → where it is, and its value when it is off
    "schedule": ("schedule", {}),
    "label_smoothing": ("train.label_smoothing", 0.0),
    "ema": ("train.ema", 0.0),
    "clip_norm": ("train.clip_norm", 0.0),
    "weight_decay": ("optimizer.weight_decay", 0.0),
    "model.args.dropout": ("model.args.dropout", 0.0),
}


def parts(recipe: Recipe) -> list[str]:
    """The parts that `recipe` has and `without` can take away.

    >>> from fittingroom.spec.read import read_recipe
    >>> parts(read_recipe("readme-001-enhanced"))
    ['augment', 'augment.hflip', 'augment.vflip', 'norm', 'dropout']
    """
    tree = _tree(recipe)
    kinds = list(dict.fromkeys(step.kind for step in recipe.augment))
    found = ["augment"] * bool(kinds) + [f"augment.{kind}" for kind in kinds if len(kinds) > 1]
    found += [kind for kind in LAYER_PARTS if _drop_layers(tree["model"]["layers"], kind)]
    return found + [part for part, (path, off) in SWITCHES.items() if _is_on(tree, part, path, off)]


def without(recipe: Recipe, part: str) -> Recipe:
    """`recipe` without `part` (see `parts`; or a single layer: "model.layers.3", "model.layers.3.dropout").

    Its name says what is missing. Raises `FittingroomError` if there is no such part.

    >>> from fittingroom.spec.read import read_recipe
    >>> less = without(read_recipe("readme-004-mlp"), "dropout")
    >>> less.name, len(less.model.layers)
    ('readme-004-mlp without dropout', 5)
    """
    if part.startswith("model.layers."):
        tree = _tree(recipe)
        _drop_layer(tree["model"]["layers"], part, recipe)
    elif part in parts(recipe):
        tree = _tree(recipe)
        if part == "augment":
            tree["augment"] = []
        elif part.startswith("augment."):
            tree["augment"] = [step for step in tree["augment"] if step["kind"] != part.removeprefix("augment.")]
        elif part in LAYER_PARTS:
            _drop_layers(tree["model"]["layers"], part)
        else:
            path, off = SWITCHES[part]
            *above, last = path.split(".")
            _at(tree, above)[last] = off
    else:
        there = parts(recipe)
        raise FittingroomError(
            f'{recipe.name} has no part "{part}" to drop'
            + (f'; nearest: "{like}"' if (like := nearest(part, there)) else "")
            + f"; it has: {', '.join(there) or 'none'}; or a layer: model.layers.N"
        )
    tree |= {"name": f"{recipe.name} without {part}", "claims": [], "measured": []}
    return parse_recipe(tree, f"{recipe.name} without {part}")


def _tree(recipe: Recipe) -> dict[str, Any]:
    tree: dict[str, Any] = recipe.model_dump(mode="json", exclude_none=True)
    tree["model"].setdefault("layers", [])
    return tree


def _at(tree: Any, path: list[str]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def _is_on(tree: dict[str, Any], part: str, path: str, off: Any) -> bool:
    *above, last = path.split(".")
    there = _at(tree, above).get(last, off)
    return bool(there.get("kind", "constant") != "constant" if part == "schedule" else there != off)


def _drop_layers(layers: list[dict[str, Any]], kind: str) -> bool:
    """Take away every layer of `kind`, in place and inside repeats; whether there was one."""
    kept = [layer for layer in layers if kind not in layer]
    inside = [_drop_layers(layer["layers"], kind) for layer in kept if "repeat" in layer]
    found = len(kept) < len(layers) or any(inside)
    layers[:] = [layer for layer in kept if layer.get("layers", True)]
    return found


def _drop_layer(layers: list[dict[str, Any]], part: str, recipe: Recipe) -> None:
    words = part.removeprefix("model.layers.").split(".")
    kind = words.pop() if words[-1] in LAYER_KINDS else ""
    try:
        number = int(words.pop())
        within = _at(layers, [int(w) if w.isdecimal() else w for w in words])  # type: ignore[misc]
        layer = within[number]
        if kind and kind not in layer:
            has = next(key for key in layer if key in LAYER_KINDS)
            raise FittingroomError(f"{part}: that layer is no {kind} but {{{has} = {layer[has]}}}")
        del within[number]
    except (ValueError, IndexError, KeyError, TypeError):
        raise FittingroomError(
            f"{recipe.name} has no {part}; its layers are model.layers.0 … {len(layers) - 1}"
            if layers
            else f"{recipe.name} is no stack of layers (model.kind = {recipe.model.kind}); it has: {', '.join(parts(recipe))}"
        ) from None
