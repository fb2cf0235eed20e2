"""What launchers do besides jobs: call something of many items, here or in processes of their own."""

from __future__ import annotations

import operator

import pytest

from fittingroom.spec.errors import FittingroomError
from fittingroom.study.launch import InThisProcess, LocalPool


def test_each_item_in_its_order_wherever() -> None:
    shares: list[float] = []
    items = list(range(7))
    here = InThisProcess().each(operator.mul, 3, items, 1)
    with LocalPool(2) as pool:
        there = pool.each(operator.mul, 3, items, 1, shares.append)
    assert here == there == [3 * i for i in items]
    assert shares == pytest.approx([(i + 1) / 7 for i in items])


def test_a_worker_that_is_killed_is_a_message() -> None:
    with LocalPool(2) as pool, pytest.raises(FittingroomError, match="was the memory used up"):
        pool.each(exec, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)", [{}], 1)


def test_a_mistake_in_a_worker_is_told_as_it_is() -> None:
    with LocalPool(2) as pool, pytest.raises(ZeroDivisionError):
        pool.each(operator.floordiv, 3, [1, 0], 1)
