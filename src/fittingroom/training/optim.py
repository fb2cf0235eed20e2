"""Optimizers from recipes: torch's own, with weight decay on matrices and kernels only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fittingroom.spec.recipe import OptimizerSpec


class Optimizer:
    """One or two torch optimizers that step as one. State goes in and out as plain arrays."""

    def __init__(
        self, spec: OptimizerSpec, parameters: Iterable[nn.Parameter], depths: Mapping[nn.Parameter, int] | None = None
    ) -> None:
        """`depths` counts the layers behind each parameter's, for `layer_decay` (Howard & Ruder 2018, arXiv:1801.06146)."""
        matrices: list[nn.Parameter] = []
        rest: list[nn.Parameter] = []
        for p in parameters:
            if p.requires_grad:
                (matrices if p.ndim >= 2 else rest).append(p)

        def groups(own: list[nn.Parameter], decay: float) -> list[dict[str, Any]]:
            """Parameters that learn at one rate, the deepest last."""
            by_depth: dict[int, list[nn.Parameter]] = {}
            for p in own:
                by_depth.setdefault(depths[p] if depths and spec.layer_decay < 1 else 0, []).append(p)
            return [
                {"params": by_depth[d], "weight_decay": decay, "share": spec.layer_decay**d} for d in sorted(by_depth)
            ]

        self.parts: list[tuple[torch.optim.Optimizer, float]]  # with the peak learning rate of each
        if spec.kind == "muon":
            in_all = sum(p.ndim >= 2 for p in depths) if depths else len(matrices)  # frozen ones too
            if matrices and in_all > 1:
                rest.append(matrices.pop())  # the last layer maps to classes, and is no rotation (Jordan 2024)
            muon = FlatMuon(groups(matrices, spec.weight_decay), spec) if matrices else None
            others = _torch_optimizer(spec.rest, spec, spec.rest_lr, groups(rest, 0.0)) if rest else None
            self.parts = [(o, lr) for o, lr in ((muon, spec.lr), (others, spec.rest_lr)) if o is not None]
        else:
            own = [*groups(matrices, spec.weight_decay), *groups(rest, 0.0)]
            self.parts = [(_torch_optimizer(spec.kind, spec, spec.lr, own), spec.lr)]

    def step(self, lr_factor: float | Tensor) -> None:
        """Step at `lr_factor` of the peak rates.

        A recorded step repeats the numbers that it was recorded with, so there the factor is a tensor on the device. All of
        these optimizers move in proportion to their rate: such a step is made at the peak, and scaled.
        """
        on_device = isinstance(lr_factor, Tensor)
        own = [p for optimizer, _ in self.parts for p in _parameters(optimizer)] if on_device else []
        before = [p.detach().clone() for p in own]
        for optimizer, lr in self.parts:
            for group in optimizer.param_groups:
                group["lr"] = lr * (1.0 if on_device else lr_factor) * group["share"]
            optimizer.step()
        if on_device:
            with torch.no_grad():
                torch._foreach_sub_(own, before)
                torch._foreach_mul_(own, lr_factor)
                torch._foreach_add_(own, before)

    def arrays(self) -> dict[str, np.ndarray]:
        """All state, by "part.parameter.name"; parameters are numbered in order."""
        return {
            f"{i}.{j}.{name}": torch.as_tensor(value).detach().cpu().numpy().copy()
            for i, (optimizer, _) in enumerate(self.parts)
            for j, p in enumerate(_parameters(optimizer))
            for name, value in optimizer.state[p].items()
            if value is not None
        }

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over what `arrays` gave, with each tensor laid out in memory like its parameter."""
        for key, value in arrays.items():
            i, j, name = key.split(".", 2)
            optimizer = self.parts[int(i)][0]
            p = _parameters(optimizer)[int(j)]
            tensor = torch.from_numpy(value.copy())
            if tensor.shape == p.shape:
                tensor = torch.empty_like(p, dtype=tensor.dtype).copy_(tensor)
            elif any(
                optimizer.defaults.get(key) for key in ("fused", "capturable")
            ):  # it counts its steps on the device
                tensor = tensor.to(p.device)
            optimizer.state[p][name] = tensor


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def _torch_optimizer(kind: str, spec: OptimizerSpec, lr: float, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    momentum, betas = spec.momentum, (spec.beta1, spec.beta2)
    capturable = all(p.is_cuda for group in groups for p in group["params"])
    match kind:
        case "sgd":
            return torch.optim.SGD(groups, lr, momentum=momentum, nesterov=spec.nesterov, fused=True)
        case "adam":
            return torch.optim.Adam(groups, lr, betas=betas, fused=True, capturable=capturable)
        case "adamw":
            return torch.optim.AdamW(groups, lr, betas=betas, fused=True, capturable=capturable)
        case "adadelta":
            return torch.optim.Adadelta(groups, lr, foreach=True, capturable=capturable)
        case "rmsprop":
            return torch.optim.RMSprop(groups, lr, momentum=momentum, foreach=True, capturable=capturable)
    raise AssertionError(kind)


class FlatMuon(torch.optim.Muon):
    """torch's Muon (Jordan 2024), which takes matrices only, given every kernel as a (filters, fan-in) view of itself.

    The order of the columns, which channels_last changes, does not change an orthogonalisation.
    """

    def __init__(self, groups: list[dict[str, Any]], spec: OptimizerSpec) -> None:
        self.originals = [p for group in groups for p in group["params"]]
        super().__init__(
            [{**group, "params": [nn.Parameter(_flat(p.detach())) for p in group["params"]]} for group in groups],
            lr=spec.lr,
            weight_decay=spec.weight_decay,
            momentum=spec.momentum or 0.95,
            nesterov=spec.nesterov,
            adjust_lr_fn="match_rms_adamw",  # one scale for all shapes (Liu et al. 2025, arXiv:2502.16982)
        )

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for view, original in zip(_parameters(self), self.originals, strict=True):
            if original.grad is not None:
                view.grad = _flat(original.grad.contiguous(memory_format=_format(original)))
        super().step()


def _flat(kernel: Tensor) -> Tensor:
    """A (filters, …) tensor as a matrix that shares its memory."""
    if kernel.ndim == 2 or kernel.is_contiguous():
        return kernel.view(len(kernel), -1)
    return kernel.permute(0, 2, 3, 1).view(len(kernel), -1)


def _format(tensor: Tensor) -> torch.memory_format:
    return torch.contiguous_format if tensor.is_contiguous() else torch.channels_last
