"""What a person may say where a recipe is wanted: a name, a file, a recipe, a network of their own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.overrides import apply_overrides
from fittingroom.spec.read import parse_recipe, read_recipe, shipped_recipes
from fittingroom.spec.recipe import Recipe

if TYPE_CHECKING:
    from torch import nn

    Network = type[nn.Module] | Callable[..., nn.Module] | nn.Module
    RecipeLike = str | Path | Recipe | Network

EPOCHS = 10  # of a network that nobody said more about; Adam with 1e-3 and batches of 64, as recipes have by default


def read(like: RecipeLike, changes: Sequence[str] = (), name: str = "") -> Recipe:
    """The recipe that is meant, with `key=value` changes, called `name` if that is given.

    A network (an `nn.Module` class, a function of channels, size and classes that gives one, an untrained module, or the name
    of a registered one) is trained as recipes are by default, for ten epochs. Raises `FittingroomError`.
    """
    wrong = [word for word in changes if not isinstance(word, str)]
    if wrong:
        raise FittingroomError(f'{wrong[0]!r} is no override; write strings: "train.epochs=5", "optimizer.lr=3e-3"')
    if isinstance(like, Recipe):
        tree = like.model_dump(mode="json", exclude_none=True)
        recipe = parse_recipe(apply_overrides(tree, list(changes)), like.name) if changes else like
    elif isinstance(like, str | Path):
        network = _registered(str(like))
        recipe = _of_network(network, str(like), changes) if network else read_recipe(like, list(changes))
    else:
        recipe = _of_network(like, name or _name_of(like), changes)
    return recipe.model_copy(update={"name": name}) if name else recipe


def read_all(
    likes: RecipeLike | Sequence[RecipeLike] | Mapping[str, RecipeLike], changes: Sequence[str]
) -> list[Recipe]:
    """One recipe, several, or several by the names that they are to have."""
    if isinstance(likes, Mapping):
        return [read(like, changes, name) for name, like in likes.items()]
    several: Sequence[Any] = likes if isinstance(likes, list | tuple) else [likes]
    return [read(like, changes) for like in several]


def _registered(name: str) -> Any:
    """The network that was registered under this name, if nothing else is called so."""
    if name in shipped_recipes() or Path(name).suffix or Path(name).exists():
        return None
    from fittingroom.models import MODELS

    return MODELS.functions.get(name)


def _of_network(network: Any, name: str, changes: Sequence[str]) -> Recipe:
    from fittingroom.models import MODELS
    from fittingroom.models.source import capture

    if network in MODELS.functions.values():
        model: dict[str, Any] = {"kind": network.__name__}
    elif callable(network):
        target, sources = capture(network)
        model = {"kind": "python", "target": target, "sources": sources}
    else:
        raise FittingroomError(
            f"{network!r} is no recipe and no network; give a name, a file, a Recipe, an nn.Module class"
        )
    tree = {"name": name, "description": "A network of one's own.", "model": model, "train": {"epochs": EPOCHS}}
    return parse_recipe(apply_overrides(tree, list(changes)), name)


def _name_of(network: Any) -> str:
    named = network if inspect.isclass(network) or inspect.isfunction(network) else type(network)
    return str(named.__name__)
