"""The models that a server offers, each with its queue."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np

from fittingroom.data.framing import pixels_of, read_or_reason
from fittingroom.inference import Classifier
from fittingroom.serve.batching import MOST_IMAGES, Batcher, Busy, Draining, Said
from fittingroom.serve.guard import Refused
from fittingroom.serve.measure import Meters
from fittingroom.serve.settings import Settings
from fittingroom.spec.framing import Framing
from fittingroom.store.bundles import BundleFolder
from fittingroom.store.runs import safe_name

T = TypeVar("T")
RETRY_AFTER_S = 1
VERSION = "1"  # of every model: another version is another bundle, and another server


@dataclass(frozen=True)
class Served:
    """A model by the name that its addresses have."""

    name: str
    classifier: Classifier
    batcher: Batcher
    meters: Meters

    def metadata(self) -> dict[str, Any]:
        """As the Open Inference Protocol describes a model; -1 is any number of images."""
        facts = self.classifier.facts

        def tensor(name: str, datatype: str, *shape: int) -> dict[str, Any]:
            return {"name": name, "datatype": datatype, "shape": [-1, *shape]}

        k = len(facts.classes)
        return {
            "name": self.name,
            "versions": [VERSION],
            "platform": "onnxruntime_onnx",
            "inputs": [tensor("images", "UINT8", *facts.framing.shape)],
            "outputs": [tensor("logits", "FP32", k), tensor("probabilities", "FP32", k), tensor("answer", "BYTES")],
        }

    @contextlib.contextmanager
    def coming(self) -> Iterator[None]:
        """Held while a request is read; a full queue refuses it before that."""
        with _told(), self.batcher.coming():
            yield

    async def classify(self, images_NCHW: np.ndarray) -> Said:
        """Logits and probabilities. Raises `Refused` with 503 if too many wait."""
        with _told():
            said = await self.batcher.submit(images_NCHW)
        self.meters.images.labels(self.name).inc(len(images_NCHW))
        return said


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except Draining:
        raise Refused(503, "the server is stopping", {"retry-after": "5", "connection": "close"}) from None
    except Busy:
        raise Refused(503, "too many requests are waiting", {"retry-after": str(RETRY_AFTER_S)}) from None


class Models:
    """All of them, and the threads that decode pictures. `ready` once each has classified something."""

    def __init__(self, settings: Settings, meters: Meters) -> None:
        self.settings, self.meters, self.ready = settings, meters, False
        self.decoders = ThreadPoolExecutor(settings.threads, "decode")
        self.by_name: dict[str, Served] = {}
        for path in settings.bundles:
            classifier = Classifier(BundleFolder(path), settings.threads, spinning=False)
            name = _free(safe_name(classifier.facts.name), self.by_name)
            self.by_name[name] = Served(name, classifier, self._batcher(name, classifier), meters)

    def __getitem__(self, name: str) -> Served:
        """The model of this name. Raises `Refused` with 404."""
        if name not in self.by_name:
            raise Refused(404, f"there is no model {name[:80]!r}; there are: {', '.join(self.by_name)}")
        return self.by_name[name]

    @property
    def first(self) -> Served:
        return next(iter(self.by_name.values()))

    async def work(self) -> None:
        """Warm up, then classify what comes until `stop`."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            for served in self.by_name.values():
                await loop.run_in_executor(self.decoders, _warm_up, served.classifier)
                group.create_task(served.batcher.work())
            gc.collect()
            gc.freeze()  # what is here stays: going through all of it again and again held requests up for 80 ms (docs/log.md)
            self.ready = True

    def stop(self) -> None:
        self.ready = False
        for served in self.by_name.values():
            served.batcher.stop()

    async def in_thread(self, work: Callable[[], T]) -> T:
        """What `work` gives, done by one of the threads that decode."""
        return await asyncio.get_running_loop().run_in_executor(self.decoders, work)

    async def read(self, pictures: Sequence[bytes], framing: Framing) -> list[np.ndarray | str]:
        """Each picture as (C,H,W) uint8, or why it is none. Raises `Refused` with 413 if they are too large together."""
        limits = self.settings.limits
        if len(pictures) * limits.pixels > limits.pixels_together:
            together = await self.in_thread(lambda: sum(map(pixels_of, pictures)))
            if together > limits.pixels_together:
                raise Refused(
                    413,
                    f"a request's pictures may have {limits.pixels_together:,} pixels together; got {together:,}",
                )
        reading = (self.in_thread(partial(read_or_reason, picture, framing, limits.pixels)) for picture in pictures)
        return list(await asyncio.gather(*reading))

    def _batcher(self, name: str, classifier: Classifier) -> Batcher:
        batch, inference = self.meters.batch.labels(name), self.meters.inference.labels(name)
        waiting = self.meters.waiting.labels(name)

        def saw(images: int, seconds: float) -> None:
            batch.observe(images)
            inference.observe(seconds)
            waiting.set(batcher.waiting)  # when another worker tells all workers' figures, it cannot ask this one

        batcher = Batcher(classifier.graph.run, self.settings.limits.queue, saw)
        return batcher


def _warm_up(classifier: Classifier) -> None:
    for n in (1, MOST_IMAGES):
        classifier.graph.run(np.zeros((n, *classifier.facts.framing.shape), np.uint8))


def _free(name: str, taken: dict[str, Served]) -> str:
    i = 2
    while name in taken:
        name, i = f"{name.rsplit('~', 1)[0]}~{i}", i + 1
    return name
