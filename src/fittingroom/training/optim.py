"""Optimizers from recipes, with weight decay on matrices and kernels only.

The arithmetic is torch's own. Its functions are called, not its classes: the first of those that is made loads torch's compiler
(a second of every start), and each of their steps looks for hooks and groups tensors anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import _muon
from torch.optim.adadelta import adadelta
from torch.optim.rmsprop import rmsprop

from fittingroom.spec.recipe import OptimizerSpec


@dataclass
class Group:
    """Parameters that one rule moves at one rate, and what it remembers of each: lists of tensors, by torch's names for them."""

    kind: str
    spec: OptimizerSpec
    parameters: list[nn.Parameter]
    lr: float  # at its peak
    weight_decay: float
    memory: dict[str, list[Tensor]] = field(default_factory=dict)

    def step(self, lr_factor: float) -> None:
        """Move the parameters by their gradients; where one has none yet, it stays."""
        parameters, memory = self.parameters, self.memory
        first = not memory
        if first:
            memory |= self.empty()
        grads = [p.grad for p in parameters]
        if any(grad is None for grad in grads):  # `None in grads` would compare tensors
            with_grad = [i for i, grad in enumerate(grads) if grad is not None]
            parameters, grads = [parameters[i] for i in with_grad], [grads[i] for i in with_grad]
            memory = {name: [tensors[i] for i in with_grad] for name, tensors in memory.items()}
        if grads:
            self._move(parameters, grads, memory, self.lr * lr_factor, first)  # type: ignore[arg-type]

    def empty(self) -> dict[str, list[Tensor]]:
        """What is remembered before the first step."""

        def zeros() -> list[Tensor]:
            like = [_flat(p) for p in self.parameters] if self.kind == "muon" else self.parameters
            return [torch.zeros_like(p, requires_grad=False) for p in like]

        on_device = self.kind in ("adam", "adamw") or self.parameters[0].is_cuda
        counts = [torch.zeros((), device=p.device if on_device else "cpu") for p in self.parameters]
        match self.kind:
            case "sgd":
                return {"momentum_buffer": zeros()} if self.spec.momentum else {}
            case "adam" | "adamw":
                return {"step": counts, "exp_avg": zeros(), "exp_avg_sq": zeros()}
            case "adadelta":
                return {"step": counts, "square_avg": zeros(), "acc_delta": zeros()}
            case "rmsprop":
                momentum = {"momentum_buffer": zeros()} if self.spec.momentum else {}
                return {"step": counts, "square_avg": zeros()} | momentum
        return {"momentum_buffer": zeros()}

    def _move(
        self, parameters: list[Tensor], grads: list[Tensor], memory: dict[str, list[Tensor]], lr: float, first: bool
    ) -> None:
        spec, decay = self.spec, self.weight_decay
        capturable = parameters[0].is_cuda
        match self.kind:
            case "sgd":
                torch._fused_sgd_(
                    parameters, grads, memory.get("momentum_buffer", []), weight_decay=decay, momentum=spec.momentum, lr=lr,
                    dampening=0.0, nesterov=spec.nesterov, maximize=False, is_first_step=first and spec.momentum > 0,
                )  # fmt: skip
            case "adam" | "adamw":
                torch._foreach_add_(memory["step"], 1)
                fused = torch._fused_adam_ if self.kind == "adam" else torch._fused_adamw_
                fused(
                    parameters, grads, memory["exp_avg"], memory["exp_avg_sq"], [], memory["step"], lr=lr,
                    beta1=spec.beta1, beta2=spec.beta2, weight_decay=decay, eps=1e-8, amsgrad=False, maximize=False,
                )  # fmt: skip
            case "adadelta":
                adadelta(
                    parameters, grads, memory["square_avg"], memory["acc_delta"], memory["step"], capturable=capturable,
                    foreach=True, lr=lr, rho=0.9, eps=1e-6, weight_decay=decay, maximize=False,
                )  # fmt: skip
            case "rmsprop":
                rmsprop(
                    parameters, grads, memory["square_avg"], [], memory.get("momentum_buffer", []), memory["step"],
                    capturable=capturable, foreach=True, lr=lr, alpha=0.99, eps=1e-8, weight_decay=decay,
                    momentum=spec.momentum, centered=False,
                )  # fmt: skip
            case "muon":  # of matrices; the order of a kernel's columns, which channels_last changes, changes nothing
                _muon.muon(
                    [_flat(p) for p in parameters],
                    [_flat(g.contiguous(memory_format=_format(p))) for p, g in zip(parameters, grads, strict=True)],
                    memory["momentum_buffer"], lr=lr, weight_decay=decay, momentum=spec.momentum or 0.95, nesterov=spec.nesterov,
                    ns_coefficients=(_muon.DEFAULT_A, _muon.DEFAULT_B, _muon.DEFAULT_C), ns_steps=_muon.DEFAULT_NS_STEPS,
                    eps=_muon.EPS, adjust_lr_fn="match_rms_adamw",  # one scale for all shapes (Liu et al. 2025, arXiv:2502.16982)
                    has_complex=False,
                )  # fmt: skip


class Optimizer:
    """One rule for all parameters, or Muon (Jordan 2024) and another for the rest. State goes in and out as plain arrays."""

    def __init__(
        self, spec: OptimizerSpec, parameters: Iterable[nn.Parameter], depths: Mapping[nn.Parameter, int] | None = None
    ) -> None:
        """`depths` counts the layers behind each parameter's, for `layer_decay` (Howard & Ruder 2018, arXiv:1801.06146)."""
        matrices: list[nn.Parameter] = []
        rest: list[nn.Parameter] = []
        for p in parameters:
            if p.requires_grad:
                (matrices if p.ndim >= 2 else rest).append(p)

        def groups(kind: str, own: list[nn.Parameter], lr: float, decay: float) -> list[Group]:
            """Parameters that learn at one rate, the deepest last."""
            by_depth: dict[int, list[nn.Parameter]] = {}
            for p in own:
                by_depth.setdefault(depths[p] if depths and spec.layer_decay < 1 else 0, []).append(p)
            return [Group(kind, spec, by_depth[d], lr * spec.layer_decay**d, decay) for d in sorted(by_depth)]

        self.parts: list[list[Group]]
        if spec.kind == "muon":
            in_all = sum(p.ndim >= 2 for p in depths) if depths else len(matrices)  # frozen ones too
            if matrices and in_all > 1:
                rest.append(matrices.pop())  # the last layer maps to classes, and is no rotation (Jordan 2024)
            own = groups("muon", matrices, spec.lr, spec.weight_decay), groups(spec.rest, rest, spec.rest_lr, 0.0)
            self.parts = [part for part in own if part]
        else:
            self.parts = [
                [*groups(spec.kind, matrices, spec.lr, spec.weight_decay), *groups(spec.kind, rest, spec.lr, 0.0)]
            ]

    @torch.no_grad()
    def step(self, lr_factor: float | Tensor) -> None:
        """Step at `lr_factor` of the peak rates.

        A recorded step repeats the numbers that it was recorded with, so there the factor is a tensor on the device. All of
        these optimizers move in proportion to their rate: such a step is made at the peak, and scaled.
        """
        of_all = [group for part in self.parts for group in part]
        if not isinstance(lr_factor, Tensor):
            for group in of_all:
                group.step(lr_factor)
            return
        own: list[Tensor] = [p for group in of_all for p in group.parameters]
        before = [p.detach().clone() for p in own]
        for group in of_all:
            group.step(1.0)
        torch._foreach_sub_(own, before)
        torch._foreach_mul_(own, lr_factor)
        torch._foreach_add_(own, before)

    def arrays(self) -> dict[str, np.ndarray]:
        """All state, by "part.parameter.name"; parameters are numbered in order."""
        return {
            f"{i}.{j}.{name}": group.memory[name][k].detach().cpu().numpy().copy()
            for i, part in enumerate(self.parts)
            for j, (group, k) in enumerate(_places(part))
            for name in group.memory
        }

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over what `arrays` gave, with each tensor laid out in memory like its parameter."""
        for key, value in arrays.items():
            i, j, name = key.split(".", 2)
            group, k = _places(self.parts[int(i)])[int(j)]
            group.memory = group.memory or group.empty()
            group.memory[name][k].copy_(torch.from_numpy(value.copy()))


def _places(part: list[Group]) -> list[tuple[Group, int]]:
    """Where each parameter of a part is: its group, and its place in there."""
    return [(group, k) for group in part for k in range(len(group.parameters))]


def _flat(kernel: Tensor) -> Tensor:
    """A (filters, …) tensor as a matrix that shares its memory."""
    kernel = kernel.detach()
    if kernel.ndim == 2 or kernel.is_contiguous():
        return kernel.view(len(kernel), -1)
    return kernel.permute(0, 2, 3, 1).view(len(kernel), -1)


def _format(tensor: Tensor) -> torch.memory_format:
    return torch.contiguous_format if tensor.is_contiguous() else torch.channels_last
