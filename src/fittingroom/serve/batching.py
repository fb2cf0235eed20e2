"""Requests that come together are classified together; those that come alone do not wait."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

MOST_IMAGES = 32  # in a batch; 250 are no faster (measured: benchmarks/serving.py takes the better of both)
MOST_WAIT_S = 0.005  # for requests that are known to be on their way

Said = tuple[np.ndarray, np.ndarray]  # logits and probabilities (N,K)


class Busy(Exception):
    """The queue is full."""


class Draining(Busy):
    """The server is stopping."""


@dataclass(frozen=True)
class _Waiting:
    """A part of a request, and whether it is the first."""

    images_NCHW: np.ndarray
    answer: asyncio.Future[Said]
    first: bool


class Batcher:
    """Runs `run` (images to logits and probabilities) in a thread of its own, on batches of at most `MOST_IMAGES`.

    At most `queue` requests wait or are being read; one more raises `Busy`. While a batch is being classified, requests
    gather for the next. If others are just arriving (`coming`), that one waits for them, `MOST_WAIT_S` at most. A request
    whose caller has gone is dropped. Not thread-safe: everything here happens in one event loop.

    `saw` hears the size of each batch, and how long it took.
    """

    def __init__(
        self, run: Callable[[np.ndarray], Said], queue: int, saw: Callable[[int, float], None] = lambda n, s: None
    ) -> None:
        self._run, self._queue, self._saw = run, queue, saw
        self._waiting: deque[_Waiting] = deque()
        self._arriving = 0
        self._changed = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "classify")
        self._stopping = False

    @property
    def waiting(self) -> int:
        """Requests that nobody is working on yet."""
        return sum(one.first for one in self._waiting)

    @contextlib.contextmanager
    def coming(self) -> Iterator[None]:
        """Held while a request is read and decoded. Raises `Busy` at once if it could not be taken anyway."""
        self._refuse(self._arriving)
        self._arriving += 1
        try:
            yield
        finally:
            self._arriving -= 1
            self._changed.set()

    async def submit(self, images_NCHW: np.ndarray) -> Said:
        """Logits and probabilities of (N,C,H,W) uint8 images, N ≥ 1. Raises `Busy`; cancel it and it is dropped."""
        parts = [images_NCHW[i : i + MOST_IMAGES] for i in range(0, len(images_NCHW), MOST_IMAGES)]
        self._refuse(0)
        loop = asyncio.get_running_loop()
        mine = [_Waiting(part, loop.create_future(), i == 0) for i, part in enumerate(parts)]
        self._waiting += mine
        self._changed.set()
        try:
            said = await asyncio.gather(*(one.answer for one in mine))
        except BaseException:
            for one in mine:
                one.answer.cancel()
            self._waiting = deque(one for one in self._waiting if not one.answer.done())
            raise
        if len(said) == 1:
            return said[0]
        return np.concatenate([logits for logits, _ in said]), np.concatenate([p for _, p in said])

    async def work(self) -> None:
        """Classify what comes, until `stop` and nothing is left."""
        loop = asyncio.get_running_loop()
        while True:
            await self._until(lambda: bool(self._waiting) or self._stopping, None)
            if not self._waiting:
                return
            if self._arriving and self._images() < MOST_IMAGES:
                await self._until(lambda: not self._arriving or self._images() >= MOST_IMAGES, MOST_WAIT_S)
                await asyncio.sleep(0)  # who has just been read asks from a task of its own, in the loop's next turn
            batch = self._batch()
            if not batch:
                continue
            images = batch[0].images_NCHW if len(batch) == 1 else np.concatenate([one.images_NCHW for one in batch])
            started = time.perf_counter()
            try:
                logits, probabilities = await loop.run_in_executor(self._thread, self._run, images)
            except Exception as error:
                for one in batch:
                    if not one.answer.done():
                        one.answer.set_exception(error)
                continue
            self._saw(len(images), time.perf_counter() - started)
            first = 0
            for one in batch:
                rows = slice(first, first := first + len(one.images_NCHW))
                if not one.answer.done():
                    one.answer.set_result((logits[rows], probabilities[rows]))

    def stop(self) -> None:
        """Take no more; `work` ends when what is here is answered."""
        self._stopping = True
        self._changed.set()

    def _refuse(self, others: int) -> None:
        if self._stopping:
            raise Draining
        if self.waiting + others >= self._queue:
            raise Busy

    def _images(self) -> int:
        return sum(len(one.images_NCHW) for one in self._waiting)

    def _batch(self) -> list[_Waiting]:
        """The oldest requests that fit together."""
        batch: list[_Waiting] = []
        n = 0
        while self._waiting and n + len(self._waiting[0].images_NCHW) <= MOST_IMAGES:
            one = self._waiting.popleft()
            if not one.answer.done():
                batch.append(one)
                n += len(one.images_NCHW)
        return batch

    async def _until(self, true: Callable[[], bool], most_s: float | None) -> None:
        """Until `true()`, or for `most_s` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                while not true():
                    self._changed.clear()
                    await self._changed.wait()
