"""Schedules and optimizers against torch's own."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from fittingroom.spec.recipe import OptimizerSpec, ScheduleSpec
from fittingroom.training.optim import Optimizer
from fittingroom.training.schedule import lr_factor

STEPS, PER_EPOCH = 60, 10


def torch_factors(make) -> list[float]:  # type: ignore[no-untyped-def]
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    scheduler = make(optimizer)
    found = []
    for _ in range(STEPS):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize(
    ("spec", "make"),
    [
        (ScheduleSpec(kind="constant"), lambda o: lr_scheduler.ConstantLR(o, 1.0)),
        (ScheduleSpec(kind="cosine", final=0.1), lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS, eta_min=0.1)),
        (ScheduleSpec(kind="step", step_epochs=2.0, gamma=0.5), lambda o: lr_scheduler.StepLR(o, 2 * PER_EPOCH, 0.5)),
    ],
)
def test_schedules_are_torchs(spec: ScheduleSpec, make) -> None:  # type: ignore[no-untyped-def]
    ours = [lr_factor(spec, step, STEPS, PER_EPOCH) for step in range(STEPS)]
    assert np.allclose(ours, torch_factors(make))


@pytest.mark.parametrize(("kind", "anneal"), [("triangular", "linear"), ("one_cycle", "cos")])
def test_one_cycle_is_torchs(kind: str, anneal: str) -> None:
    """torch reaches the peak and the end half a step earlier: its last step is the end, ours is one short of it."""
    spec = ScheduleSpec(kind=kind, peak=0.25, start=0.04, final=0.0)  # type: ignore[arg-type]
    many = 4000
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = lr_scheduler.OneCycleLR(
        optimizer, 1.0, total_steps=many, pct_start=0.25, anneal_strategy=anneal, div_factor=25.0, final_div_factor=1e9, cycle_momentum=False
    )  # fmt: skip
    theirs = []
    for _ in range(many):
        theirs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    ours = [lr_factor(spec, step, many, PER_EPOCH) for step in range(many)]
    assert np.abs(np.array(ours) - theirs).max() < 2e-3


def test_warm_up_rises_linearly_then_the_schedule_begins() -> None:
    spec = ScheduleSpec(kind="cosine", warmup_epochs=1.0)
    factors = [lr_factor(spec, step, STEPS, PER_EPOCH) for step in range(STEPS)]
    assert np.allclose(np.diff(factors[:11]), 1 / 11) and factors[10] == 1.0 and factors[-1] < 0.01


def steps(model: nn.Module, advance, n: int = 5) -> list[np.ndarray]:  # type: ignore[no-untyped-def]
    draws = torch.Generator().manual_seed(1)
    for _ in range(n):
        model.zero_grad()
        model(torch.randn(8, 3, 6, 6, generator=draws)).square().mean().backward()
        advance()
    return [p.detach().numpy() for p in model.parameters()]


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 5))


@pytest.mark.parametrize(
    ("spec", "theirs"),
    [
        (OptimizerSpec(kind="sgd", lr=0.1, momentum=0.9, nesterov=True), lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True)),
        (OptimizerSpec(kind="adam", lr=0.01), lambda p: torch.optim.Adam(p, 0.01)),
        (OptimizerSpec(kind="adamw", lr=0.01, beta2=0.99), lambda p: torch.optim.AdamW(p, 0.01, betas=(0.9, 0.99), weight_decay=0)),
        (OptimizerSpec(kind="adadelta", lr=1.0), lambda p: torch.optim.Adadelta(p, 1.0)),
        (OptimizerSpec(kind="rmsprop", lr=0.01, momentum=0.5), lambda p: torch.optim.RMSprop(p, 0.01, momentum=0.5)),
    ],
)  # fmt: skip
def test_optimizers_are_torchs(spec: OptimizerSpec, theirs) -> None:  # type: ignore[no-untyped-def]
    a, b = net(), net()
    optimizer, reference = Optimizer(spec, a.parameters()), theirs(b.parameters())
    for x, y in zip(steps(a, lambda: optimizer.step(1.0)), steps(b, reference.step), strict=True):
        assert np.allclose(x, y, atol=1e-6)


def test_weight_decay_leaves_norms_and_biases_alone() -> None:
    model = net()
    before = copy.deepcopy(model)
    optimizer = Optimizer(OptimizerSpec(kind="sgd", lr=0.1, weight_decay=0.5), model.parameters())
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step(1.0)
    for p, old in zip(model.parameters(), before.parameters(), strict=True):
        assert torch.allclose(p, old * 0.95 if p.ndim >= 2 else old)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_muon_moves_kernels_as_torch_moves_their_flattened_matrix(layout: torch.memory_format) -> None:
    spec = OptimizerSpec(kind="muon", lr=0.02, momentum=0.95, nesterov=True, weight_decay=0.1)
    model = net().to(memory_format=layout)  # type: ignore[call-overload]
    plain = net()
    optimizer = Optimizer(spec, model.parameters())
    *kernels, last = [p for p in plain.parameters() if p.ndim >= 2]
    matrices = [nn.Parameter(p.detach().reshape(len(p), -1).clone()) for p in kernels]
    muon = torch.optim.Muon(
        matrices, lr=0.02, momentum=0.95, nesterov=True, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"
    )
    rest = torch.optim.AdamW([last, *(p for p in plain.parameters() if p.ndim < 2)], 1e-3, weight_decay=0)

    def reference() -> None:
        for matrix, p in zip(matrices, kernels, strict=True):
            assert p.grad is not None
            matrix.grad = p.grad.reshape(len(p), -1)
        muon.step()
        rest.step()
        with torch.no_grad():
            for matrix, p in zip(matrices, kernels, strict=True):
                p.copy_(matrix.reshape(p.shape))

    ours = steps(model, lambda: optimizer.step(1.0), 3)
    for x, y in zip(ours, steps(plain, reference, 3), strict=True):
        assert np.allclose(x, y, atol=2e-3)  # Muon iterates in bfloat16
    assert [[group.kind for group in part] for part in optimizer.parts] == [["muon"], ["adamw"]]


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw", "adadelta", "rmsprop", "muon"])
def test_state_goes_out_and_in(kind: str) -> None:
    momentum = {"momentum": 0.9} if kind in ("sgd", "rmsprop", "muon") else {}
    spec = OptimizerSpec(kind=kind, lr=0.01, **momentum)  # type: ignore[arg-type]
    a = net().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    first = Optimizer(spec, a.parameters())
    steps(a, lambda: first.step(1.0))
    b = copy.deepcopy(a)
    second = Optimizer(spec, b.parameters())
    second.load(first.arrays())
    for x, y in zip(steps(a, lambda: first.step(0.5)), steps(b, lambda: second.step(0.5)), strict=True):
        assert np.array_equal(x, y)
