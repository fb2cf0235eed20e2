"""Batches: who is in one, who waits for it, who gets what of it. A clock decides nothing here."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serve.asking import Gate

from fittingroom.inference import Classifier
from fittingroom.serve import batching
from fittingroom.serve.batching import MOST_IMAGES, Batcher, Busy, Draining, Said
from fittingroom.store import BundleFolder

Run = Callable[[np.ndarray], Said]
TURNS = 50  # of the event loop: enough for whatever can happen now to have happened


def numbered(*numbers: int) -> np.ndarray:
    """Images (N,1,1,4) that each carry a number."""
    return np.array(numbers, "<u4").view(np.uint8).reshape(-1, 1, 1, 4)


def numbers_of(images_NCHW: np.ndarray) -> list[int]:
    return [int(n) for n in np.ascontiguousarray(images_NCHW).reshape(-1, 4).view("<u4")[:, 0]]


def say(images_NCHW: np.ndarray) -> Said:
    """Answers that tell which image they belong to."""
    values = np.array(numbers_of(images_NCHW), np.float64)
    return values[:, None] * [1.0, 2.0], values[:, None] * [-1.0, -2.0]


def belongs(said: Said, images_NCHW: np.ndarray) -> bool:
    return all(np.array_equal(found, wanted) for found, wanted in zip(said, say(images_NCHW), strict=True))


def in_a_loop(body: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(60):
            await body()

    asyncio.run(limited())


async def turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def working(run: Run, queue: int = 64, **more: Any) -> AsyncIterator[Batcher]:
    """At the end all must be answered, and the worker end."""
    batcher = Batcher(run, queue, **more)
    work = asyncio.create_task(batcher.work())
    try:
        yield batcher
    finally:
        batcher.stop()
        await work


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Closed."""
    gate = Gate()
    yield gate
    gate.opened.set()


def behind(gate: Gate) -> Run:
    def run(images_NCHW: np.ndarray) -> Said:
        gate.pass_through(images_NCHW)
        return say(images_NCHW)

    return run


async def one_at(gate: Gate, batcher: Batcher, *numbers: int) -> asyncio.Task[Said]:
    """A request whose batch stands before the closed gate, so that all that come now gather."""
    first = asyncio.create_task(batcher.submit(numbered(*numbers)))
    await asyncio.to_thread(gate.wait_for_one)
    return first


async def asked(batcher: Batcher, *requests: Sequence[int]) -> list[asyncio.Task[Said]]:
    tasks = [asyncio.create_task(batcher.submit(numbered(*request))) for request in requests]
    await turns()
    return tasks


# ---------------------------------------------------------------- together


@settings(max_examples=60)
@given(st.lists(st.integers(1, 100), min_size=1, max_size=25))
def test_each_gets_its_own_rows_of_full_batches(sizes: list[int]) -> None:
    gate = Gate()
    starts = np.cumsum([1, *sizes])
    requests = [numbered(*range(a, b)) for a, b in pairwise(starts)]

    async def body() -> None:
        async with working(behind(gate), queue=10_000) as batcher:
            first = await one_at(gate, batcher, 0)
            rest = asyncio.gather(*(batcher.submit(request) for request in requests))
            await turns()
            gate.opened.set()
            assert belongs(await first, numbered(0))
            for request, said in zip(requests, await rest, strict=True):
                assert belongs(said, request)

    in_a_loop(body)
    alone, *batches = [numbers_of(batch) for batch in gate.seen]
    assert alone == [0] and list(chain(*batches)) == list(range(1, starts[-1]))  # in order, each once
    assert all(0 < len(batch) <= MOST_IMAGES for batch in batches)
    parts = {  # a batch ends only where the next request (or the next 32 of a larger one) would not fit
        int(start): min(MOST_IMAGES, int(end - start))
        for a, b in pairwise(starts)
        for start, end in ((s, b) for s in range(a, b, MOST_IMAGES))
    }
    for batch, following in pairwise(batches):
        assert len(batch) + parts[following[0]] > MOST_IMAGES


@pytest.fixture(scope="module")
def model(bundle: Path) -> Classifier:
    return Classifier(BundleFolder(bundle), threads=1)


def test_the_real_model_says_together_what_it_says_alone(
    model: Classifier, images: np.ndarray, alone: tuple[np.ndarray, np.ndarray]
) -> None:
    @settings(max_examples=25)
    @given(st.lists(st.integers(1, 60), min_size=1, max_size=12))
    def check(sizes: list[int]) -> None:
        starts = np.cumsum([0, *sizes]) % (len(images) - 60)

        async def body() -> None:
            async with working(model.graph.run) as batcher:
                rows = [slice(start, start + size) for start, size in zip(starts, sizes, strict=False)]
                answers = await asyncio.gather(*(batcher.submit(images[mine]) for mine in rows))
            for mine, said in zip(rows, answers, strict=True):
                for found, wanted in zip(said, alone, strict=True):
                    assert found.shape == wanted[mine].shape and np.abs(found - wanted[mine]).max() < 1e-5

        in_a_loop(body)

    check()


def test_sizes_of_batches_are_told(gate: Gate) -> None:
    heard: list[tuple[int, float]] = []

    async def body() -> None:
        async with working(behind(gate), saw=lambda n, s: heard.append((n, s))) as batcher:
            first = await one_at(gate, batcher, 0)
            rest = await asked(batcher, [1, 2], [3], range(4, 40))
            gate.opened.set()
            await asyncio.gather(first, *rest)

    in_a_loop(body)
    assert [n for n, _ in heard] == [1, 3, 32, 4] and all(0 < s < 60 for _, s in heard)


# ---------------------------------------------------------------- waiting for each other


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for others waits for ever."""
    monkeypatch.setattr(batching, "MOST_WAIT_S", None)


@pytest.mark.usefixtures("endless")
def test_who_is_alone_does_not_wait(gate: Gate) -> None:
    gate.opened.set()

    async def body() -> None:
        async with working(behind(gate)) as batcher:
            for n in range(5):
                with batcher.coming():
                    pass  # read; nobody else comes
                assert belongs(await batcher.submit(numbered(n)), numbered(n))

    in_a_loop(body)
    assert [numbers_of(batch) for batch in gate.seen] == [[0], [1], [2], [3], [4]]


@pytest.mark.usefixtures("endless")
def test_those_who_are_coming_are_waited_for(gate: Gate) -> None:
    gate.opened.set()

    async def body() -> None:
        read = asyncio.Event()

        async def slow(batcher: Batcher, n: int) -> Said:
            with batcher.coming():
                await read.wait()
            return await asyncio.create_task(
                batcher.submit(numbered(n))
            )  # as the application does: it may be cancelled

        async with working(behind(gate)) as batcher:
            slower = [asyncio.create_task(slow(batcher, n)) for n in (1, 2)]
            await turns()
            (first,) = await asked(batcher, [0])
            assert gate.seen == [] and batcher.waiting == 1
            read.set()
            await asyncio.gather(first, *slower)

    in_a_loop(body)
    assert [numbers_of(batch) for batch in gate.seen] == [[0, 1, 2]]


@pytest.mark.usefixtures("endless")
def test_a_full_batch_waits_for_nobody(gate: Gate) -> None:
    gate.opened.set()

    async def body() -> None:
        async with working(behind(gate)) as batcher:
            with batcher.coming():
                first, second = await asked(batcher, range(20), range(20, 40))
                assert belongs(await first, numbered(*range(20)))
            await second

    in_a_loop(body)
    assert [len(batch) for batch in gate.seen] == [20, 20]


@pytest.mark.usefixtures("endless")
def test_a_batch_that_fills_up_waits_no_longer(gate: Gate) -> None:
    gate.opened.set()

    async def body() -> None:
        async with working(behind(gate)) as batcher:
            with batcher.coming():
                (first,) = await asked(batcher, range(20))
                assert gate.seen == []
                (second,) = await asked(batcher, range(20, 32))
                await asyncio.gather(first, second)

    in_a_loop(body)
    assert [len(batch) for batch in gate.seen] == [32]


@pytest.mark.usefixtures("endless")
def test_who_comes_and_fails_is_not_waited_for(gate: Gate) -> None:
    gate.opened.set()

    async def body() -> None:
        async with working(behind(gate)) as batcher:
            with pytest.raises(ValueError, match="half a picture"), batcher.coming():
                (first,) = await asked(batcher, [0])
                assert gate.seen == []
                raise ValueError("half a picture")
            await first

    in_a_loop(body)
    assert len(gate.seen) == 1


def test_who_never_comes_is_not_waited_for_long(gate: Gate) -> None:
    gate.opened.set()

    async def body() -> None:
        async with working(behind(gate)) as batcher:
            with batcher.coming():
                await batcher.submit(numbered(0))

    in_a_loop(body)


# ---------------------------------------------------------------- too many, and those who leave


def test_a_full_queue_takes_no_more(gate: Gate) -> None:
    async def body() -> None:
        async with working(behind(gate), queue=3) as batcher:
            first = await one_at(gate, batcher, 0)
            rest = await asked(batcher, [1], [2], [3])
            assert batcher.waiting == 3
            with pytest.raises(Busy):
                await batcher.submit(numbered(4))
            with pytest.raises(Busy), batcher.coming():
                raise AssertionError("it came in")
            rest[1].cancel()
            await turns()
            rest += await asked(batcher, [5])  # in the place of the one that left
            with pytest.raises(Busy):
                await batcher.submit(numbered(6))
            gate.opened.set()
            said = await asyncio.gather(first, *rest, return_exceptions=True)
            assert [isinstance(one, asyncio.CancelledError) for one in said] == [False, False, True, False, False]
            assert batcher.waiting == 0 and belongs(await batcher.submit(numbered(7)), numbered(7))

    in_a_loop(body)
    assert [numbers_of(batch) for batch in gate.seen] == [[0], [1, 3, 5], [7]]


def test_who_leaves_is_not_classified(gate: Gate) -> None:
    async def body() -> None:
        async with working(behind(gate)) as batcher:
            first = await one_at(gate, batcher, 0)
            rest = await asked(batcher, [1], range(100, 164), [2], [3])
            rest[1].cancel()  # two parts
            rest[2].cancel()
            await turns()
            assert batcher.waiting == 2
            gate.opened.set()
            said = await asyncio.gather(first, *rest, return_exceptions=True)
            assert belongs(said[1], numbered(1)) and belongs(said[4], numbered(3))  # type: ignore[arg-type]

    in_a_loop(body)
    assert [numbers_of(batch) for batch in gate.seen] == [[0], [1, 3]]


def test_when_all_leave_nothing_is_classified(gate: Gate) -> None:
    async def body() -> None:
        async with working(behind(gate)) as batcher:
            first = await one_at(gate, batcher, 0)
            for one in (rest := await asked(batcher, [1], [2])):
                one.cancel()
            gate.opened.set()
            await asyncio.gather(first, *rest, return_exceptions=True)
            assert belongs(await batcher.submit(numbered(3)), numbered(3))

    in_a_loop(body)
    assert [numbers_of(batch) for batch in gate.seen] == [[0], [3]]


@pytest.mark.usefixtures("endless")
def test_who_leaves_while_being_classified_harms_nobody(gate: Gate) -> None:
    async def body() -> None:
        async with working(behind(gate)) as batcher:
            with batcher.coming():
                together = await asked(batcher, [1], [2, 3], [4])
            await asyncio.to_thread(gate.wait_for_one)
            together[1].cancel()
            await turns()
            gate.opened.set()
            said = await asyncio.gather(*together, return_exceptions=True)
            assert isinstance(said[1], asyncio.CancelledError)
            assert belongs(said[0], numbered(1)) and belongs(said[2], numbered(4))  # type: ignore[arg-type]

    in_a_loop(body)
    assert [numbers_of(batch) for batch in gate.seen] == [[1, 2, 3, 4]]


# ---------------------------------------------------------------- what fails, and the end


def test_a_failure_reaches_those_in_the_batch_and_nobody_else(gate: Gate) -> None:
    def run(images_NCHW: np.ndarray) -> Said:
        gate.pass_through(images_NCHW)
        if 13 in numbers_of(images_NCHW):
            raise RuntimeError("thirteen")
        return say(images_NCHW)

    async def body() -> None:
        async with working(run) as batcher:
            first = await one_at(gate, batcher, 0)
            bad = await asked(batcher, [1, 2], [13], [3])
            good = await asked(batcher, range(100, 132))
            half = await asked(batcher, [*range(200, 232), 13])
            last = await asked(batcher, range(300, 332))
            gate.opened.set()
            said = await asyncio.gather(first, *bad, *good, *half, *last, return_exceptions=True)
            assert [isinstance(one, RuntimeError) for one in said] == [False, True, True, True, False, True, False]
            assert belongs(said[4], numbered(*range(100, 132)))  # type: ignore[arg-type]
            assert belongs(await batcher.submit(numbered(4)), numbered(4))

    in_a_loop(body)
    assert [len(batch) for batch in gate.seen] == [1, 4, 32, 32, 1, 32, 1]


def test_when_a_part_fails_the_rest_is_dropped(gate: Gate) -> None:
    seen: list[int] = []

    def run(images_NCHW: np.ndarray) -> Said:
        numbers = numbers_of(images_NCHW)
        seen.append(numbers[0])
        if 13 in numbers:
            raise RuntimeError("thirteen")
        gate.pass_through(images_NCHW)
        return say(images_NCHW)

    async def body() -> None:
        async with working(run) as batcher:
            with pytest.raises(RuntimeError, match="thirteen"):
                await batcher.submit(numbered(*range(100)))
            assert batcher.waiting == 0
            gate.opened.set()
            assert belongs(await batcher.submit(numbered(200)), numbered(200))

    in_a_loop(body)
    assert seen == [0, 32, 200]  # the second part was under way; 64 … 99 never came


def test_at_the_end_all_that_came_are_answered(gate: Gate) -> None:
    async def body() -> None:
        batcher = Batcher(behind(gate), 64)
        work = asyncio.create_task(batcher.work())
        first = await one_at(gate, batcher, 0)
        rest = await asked(batcher, *([n] for n in range(1, 60)), range(100, 180))
        batcher.stop()
        with pytest.raises(Draining):
            await batcher.submit(numbered(60))
        with pytest.raises(Draining), batcher.coming():
            raise AssertionError("it came in")
        await turns()
        assert not work.done()
        gate.opened.set()
        said = await asyncio.gather(first, *rest)
        for n, one in enumerate(said[:60]):
            assert belongs(one, numbered(n))
        assert belongs(said[60], numbered(*range(100, 180)))
        await work

    in_a_loop(body)


def test_an_end_with_nothing_to_do() -> None:
    async def body() -> None:
        async with working(say) as batcher:
            await turns()
            assert batcher.waiting == 0

    in_a_loop(body)
