"""Counts the floating-point operations of what is called inside: by torch's formulas, without loading torch's compiler."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class Flops(TorchDispatchMode):
    """`torch.utils.flop_counter.FlopCounterMode` for a plain forward pass; that loads the compiler, which takes a second.

    >>> import torch
    >>> with torch.no_grad(), Flops() as counter:
    ...     _ = torch.nn.Linear(3, 5)(torch.zeros(2, 3))
    >>> counter.total
    60
    """

    total = 0  # multiply-add = 2

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        formula: Callable[..., int] | None = flop_registry.get(func._overloadpacket)
        if formula:
            self.total += formula(*args, **(kwargs or {}), out_val=out)
        return out
