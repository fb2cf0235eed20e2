"""A person's own network as the text that it is made of, and made of that text again."""

from __future__ import annotations

import importlib
import platform
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import packages_distributions, version
from pathlib import Path
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

from torch import nn

from fittingroom.models.excerpt import at, excerpt
from fittingroom.models.executed import WORLDS, closed, is_own, on_disk, opened, where
from fittingroom.models.instance import refuse_unlike, written
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.recipe import ModelSpec

OWN = "own_code"  # the module of what was defined in no file of its own
Attempt = Callable[[Callable[..., Any]], object]


def capture(network: Any, attempt: Attempt = lambda function: None) -> tuple[str, dict[str, str]]:
    """The `target` and the `sources` of a network: the text of every own module that was executed to make it, by name.

    `network` is "module:function"; a class or a function, from a file, a script or a notebook's cell; or an untrained
    `nn.Module`, which is written down as the calls that make one like it: each seed initialises that anew, as torch does.
    `attempt` may call what was made, so that what it imports by then is kept, too. What is installed is named with its
    version, not copied. Raises `FittingroomError` for what cannot be made again from text alone.

    >>> capture(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)))[0]
    'own_code:network'
    """
    here = str(Path.cwd())
    if isinstance(network, str):
        return _of_module(network, [here], attempt)
    if isinstance(network, nn.Module):
        original = network

        def alike(function: Callable[..., Any]) -> None:
            refuse_unlike(function(), original)
            attempt(function)

        return _of_text("network", written(network), [here], alike)
    if not isinstance(network, type | FunctionType) and not hasattr(network, "__wrapped__"):
        raise FittingroomError(
            f"a network is a class, a function, a torch.nn.Module or a text like module:function; got {network!r:.80}"
        )
    world, _, inside = network.__module__.partition(".")
    if world in WORLDS:  # it was made of a text, by us
        return f"{inside}:{network.__qualname__}", dict(WORLDS[world].sources)
    module = sys.modules.get(network.__module__)
    space = vars(module) if module else getattr(network, "__globals__", {})
    folders = [*_folder_of(network.__module__, space.get("__file__")), here]
    name = _name_in(space, network)
    if name and network.__module__ != "__main__" and on_disk(network.__module__, folders):
        return _of_module(f"{network.__module__}:{name}", folders, attempt)
    return _of_text(*excerpt(network), folders, attempt)


def network(spec: ModelSpec) -> Callable[..., Any]:
    """The function or class that `spec.sources` hold at `spec.target`. Nothing else of a person's own is executed.

    Raises `FittingroomError` if they cannot be executed here.
    """
    return _picked(closed(spec.sources).module, spec.target)


def joined(sources: Mapping[str, str]) -> str:
    """The texts of all modules, by name: what a run's digest is taken of."""
    return "\n".join(text for _, text in sorted(sources.items()))


def _of_module(target: str, folders: list[str], attempt: Attempt) -> tuple[str, dict[str, str]]:
    module, _, path = target.partition(":")
    if module == "__main__":  # a script or a notebook, which nobody could import again
        return capture(_picked(importlib.import_module, target), attempt)
    top = module.partition(".")[0]
    importlib.invalidate_caches()  # files that were written a moment ago
    found, above = on_disk(module, folders), on_disk(top, folders)
    if found is None or above is None:
        raise FittingroomError(f"model.target: cannot import {module} from {folders[0]}: there is no such module")
    places = list(above.submodule_search_locations or ()) or [above.origin or ""]
    roots = [*map(Path, folders), *(Path(place).parent for place in places)]
    if is_own(found, module, roots):
        with opened({}, folders, roots) as world:
            attempt(_picked(world.module, target))
        return target, dict(sorted(world.sources.items()))
    _picked(importlib.import_module, target)
    text = f"# {_version(top)}\nfrom {module} import {path.partition('.')[0]}\n"
    return _of_text(path, text, folders, attempt)


def _of_text(name: str, text: str, folders: list[str], attempt: Attempt) -> tuple[str, dict[str, str]]:
    with opened({OWN: text}, folders, [*map(Path, folders)]) as world:
        attempt(_picked(world.module, f"{OWN}:{name}"))
    return f"{OWN}:{name}", dict(sorted(world.sources.items()))


def _picked(load: Callable[[str], ModuleType], target: str) -> Callable[..., Any]:
    """What `target` names in the module that `load` gives."""
    name, _, path = target.partition(":")
    try:
        module = load(name)
    except FittingroomError:
        raise
    except Exception as error:  # it runs a person's code
        raise FittingroomError(f"model.target: cannot import {name}: {where(error)}") from error
    function: Callable[..., Any] = at(module, path)
    if not callable(function):
        raise FittingroomError(f'model.target: {name} has no function "{path}"; write "module:function"')
    return function


def _version(top: str) -> str:
    """What an installed package is called and which version of it is here."""
    names = packages_distributions().get(top)
    return f"{names[0]} {version(names[0])}" if names else f"Python {platform.python_version()}"


def _folder_of(module: str, file: str | None) -> list[str]:
    """Where the first part of a module's name is looked for to find this file."""
    if file is None:
        return []
    path = Path(file).resolve()
    return [str(path.parents[module.count(".") + (path.name == "__init__.py")])]


def _name_in(namespace: Mapping[str, Any], value: Any) -> str | None:
    """By which name a module gives `value`."""
    own_name: str = value.__qualname__
    if at(SimpleNamespace(**namespace), own_name) is value:
        return own_name
    return next((name for name, found in sorted(namespace.items()) if found is value), None)
