"""Writes an untrained network down as the calls that make one like it."""

from __future__ import annotations

import collections
import inspect
from collections import Counter
from functools import partial
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy

from fittingroom.models.excerpt import PLAIN, Excerpt
from fittingroom.spec.errors import FittingroomError

STANDARD = frozenset(vars(nn.Module()))  # attributes of every module
HOOKS = tuple(name for name in sorted(STANDARD) if name.endswith("_hooks"))
WAY_OUT = "give its class or a function instead: lambda channels, size, classes: MyNet(…)"
MADE = '''def made(kind, attributes, modules):
    """A module of this kind as it was found, without a call of its __init__."""
    module = kind.__new__(kind)
    nn.Module.__init__(module)
    vars(module).update(attributes)
    for name, part in modules.items():
        module.add_module(name, part)
    return module'''


def written(network: nn.Module) -> str:
    """The text of a function `network()` that makes a network like this one, with new weights.

    Layers of torch are written by their arguments; modules of a person's own by their class, plain attributes and parts.
    Raises `FittingroomError` for a network with weights or buffers of its own making, trained or shared ones, or hooks.
    """
    _refuse(network)
    found = Excerpt()
    found.use_module("nn", nn)
    made = _module(network, "network", found)
    helper = f"\n\n{MADE}\n" if "made(" in made else ""
    return f"{found.text}{helper}\n\ndef network():\n    return {made}\n"


def refuse_unlike(copy: Any, original: nn.Module) -> None:
    """Raises `FittingroomError` unless `copy` has the modules, the attributes and the shapes of weights of `original`."""
    for (name, here), (_, there) in zip(_parts(copy), _parts(original), strict=False):
        if here != there:
            raise FittingroomError(
                f"the network cannot be made again from its layers ({name or 'itself'} differs): {WAY_OUT}"
            )
    if [repr(copy), _shapes(copy)] != [repr(original), _shapes(original)]:
        raise FittingroomError(f"the network cannot be made again from its layers: {WAY_OUT}")


def _refuse(network: nn.Module) -> None:
    tensors = [*network.named_parameters(remove_duplicate=False), *network.named_buffers(remove_duplicate=False)]
    shared = [name for name, tensor in tensors if Counter(id(t) for _, t in tensors)[id(tensor)] > 1]
    wrong = {
        "has weights that two layers share": shared,
        "has no shapes yet": [name for name, tensor in tensors if is_lazy(tensor)],
        "is frozen, which is for model.freeze to say": [
            name for name, p in network.named_parameters() if not p.requires_grad
        ],
        "has hooks": [name for name, m in network.named_modules() if any(getattr(m, hooks) for hooks in HOOKS)],
    }
    for why, names in wrong.items():
        if names:
            raise FittingroomError(f"the network {why} ({names[0] or 'itself'}): {WAY_OUT}")
    if any(name.endswith("num_batches_tracked") and int(tensor) for name, tensor in tensors):
        raise FittingroomError(
            "the network was trained, and its weights would begin anew: give an untrained one, or train a run and start from "
            "that: model.init"
        )


def _module(module: nn.Module | None, path: str, found: Excerpt, indent: str = "    ") -> str:
    """A module as an expression. `path` is its place in the network."""
    if module is None:
        return "None"
    kind, inner = type(module), indent + "    "
    tensors = [*module._parameters, *module._buffers]
    contains = kind in (nn.Sequential, nn.ModuleList, nn.ModuleDict)
    if not contains and kind.__init__.__module__.startswith("torch.nn.") and (tensors or not module._modules):
        return f"{found.expression(kind, path)[0]}({_arguments(module, path, found)})"
    parts = {name: _module(part, f"{path}.{name}", found, inner) for name, part in module._modules.items()}
    pairs = [f"{name!r}: {text}" for name, text in parts.items()]
    numbered = list(parts) == [str(i) for i in range(len(parts))]
    name, _ = found.expression(kind, path)
    if kind is nn.Sequential and numbered:
        return f"{name}({_lines(list(parts.values()), indent)})"
    if kind is nn.Sequential:
        found.use_module("collections", collections)
        return f"{name}(collections.OrderedDict({{{_lines(pairs, indent)}}}))"
    if kind is nn.ModuleList:
        return f"{name}([{_lines(list(parts.values()), indent)}])"
    if kind is nn.ModuleDict:
        return f"{name}({{{_lines(pairs, indent)}}})"
    if tensors:
        raise FittingroomError(f"{path}.{tensors[0]} is a tensor of {kind.__name__}'s own making: {WAY_OUT}")
    plain = {key: value for key, value in vars(module).items() if key not in STANDARD}
    attributes = [f"{key!r}: {found.expression(value, f'{path}.{key}')[0]}" for key, value in plain.items()]
    given = [name, f"{{{_lines(attributes, inner)}}}", f"{{{_lines(pairs, inner)}}}"]
    return f"made({_lines(given, indent)})"


def _lines(parts: list[str], indent: str) -> str:
    """Parts between brackets, each on a line of its own."""
    return "".join(f"\n{indent}    {part}," for part in parts) + f"\n{indent}" * bool(parts)


def _arguments(module: nn.Module, path: str, found: Excerpt) -> str:
    """What a layer of torch was made with: its attributes of the names that its class takes."""
    parameters = list(inspect.signature(type(module)).parameters.values())
    if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
        return module.extra_repr()
    given = []
    for p in parameters:
        value: Any = vars(module).get(p.name, p.default)
        if p.name in module._parameters:  # `bias`, which is yes or no where a layer is made
            value = module._parameters[p.name] is not None
        if value is p.empty:
            raise FittingroomError(f"{path}: {type(module).__name__} does not keep its {p.name}: {WAY_OUT}")
        same = value == p.default or (isinstance(value, tuple) and set(value) == {p.default})
        if p.name not in ("device", "dtype") and not same:
            text, _ = found.expression(value, f"{path}.{p.name}")
            given.append(text if p.default is p.empty else f"{p.name}={text}")
    return ", ".join(given)


def _parts(network: Any) -> list[tuple[str, Any]]:
    """The place, the kind and the plain attributes of each module."""
    modules = network.named_modules(remove_duplicate=False)
    return [
        (name, (type(m).__qualname__, {k: _shown(v) for k, v in vars(m).items() if k not in STANDARD}))
        for name, m in modules
    ]


def _shown(value: Any) -> Any:
    """A value such that those of a copy compare equal."""
    if isinstance(value, list | tuple):
        return type(value), [_shown(part) for part in value]
    if isinstance(value, dict):
        return {key: _shown(part) for key, part in value.items()}
    if isinstance(value, partial):
        return _shown((value.func, value.args, value.keywords))
    plain = value if isinstance(value, PLAIN) else type(value).__qualname__
    return getattr(value, "__qualname__", plain)


def _shapes(network: Any) -> dict[str, Any]:
    return {name: (value.shape, value.dtype) for name, value in network.state_dict().items()}
