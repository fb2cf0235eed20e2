"""A bundle's graph in ONNX Runtime. Loading one runs nothing that is in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from fittingroom.data.pixels import Pixels, at_once
from fittingroom.metrics.against_rest import answers
from fittingroom.spec.errors import FittingroomError, need
from fittingroom.store.bundles import BundleFolder
from fittingroom.store.litter import scratch

OUTPUTS = ("logits", "probabilities", "features")  # of every graph, in this order


@dataclass(frozen=True)
class Prediction:
    """What a model says of one picture: the answer first, then the likeliest others, each with its probability (a fraction)."""

    top: tuple[tuple[str, float], ...]
    sure: bool  # an operating point decides it, or it is at least as likely as the bundle's (or the caller's) limit

    @property
    def says(self) -> str:
        """The class in a word, or "not sure"."""
        return self.top[0][0] if self.sure else "not sure"


def runtime() -> Any:
    """ONNX Runtime, told not to call home: since 1.29 it reports to its makers unless this is set when it is first imported.

    Raises `MissingExtra` without it.
    """
    need("onnxruntime", "a bundle's model", "serve")
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


class Graph:
    """An ONNX file that takes raw images, in ONNX Runtime. Files beside it are not read, whatever it says.

    `threads` are those of one call; None: ONNX Runtime's own choice, one a core. Calls from several threads are allowed.
    Raises `FittingroomError` for what is no such file, `MissingExtra` without ONNX Runtime. `what` names it in messages.
    """

    def __init__(
        self,
        content: bytes,
        shape: tuple[int, int, int],
        threads: int | None = None,
        what: str = "",
        spinning: bool = True,
    ) -> None:
        onnxruntime = runtime()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        if threads:
            options.intra_op_num_threads = threads
        if not spinning:  # idle threads leave the cores to others, which takes them a little longer to wake up
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        with scratch("fittingroom") as nothing_here:  # where weights outside the graph would be looked for
            options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(nothing_here))
            try:
                self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            except Exception as error:  # ONNX Runtime raises its own, undocumented kinds
                first = str(error).strip().splitlines()[0][:300]
                raise FittingroomError(f"{what}: the graph cannot be loaded ({first}); export the run again") from None
        found = [(i.name, i.type, *i.shape[1:]) for i in self._session.get_inputs()]
        wanted = [("images", "tensor(uint8)", *shape)]
        if found != wanted:
            raise FittingroomError(f"{what}: the graph takes {found}, not {wanted}; export the run again")
        given = tuple(output.name for output in self._session.get_outputs())
        if given != OUTPUTS:
            raise FittingroomError(f"{what}: the graph gives {given}, not {OUTPUTS}; export the run again")
        try:  # what can be loaded may not run, or for one number of images only
            for n in (1, 2):
                logits_NK = self._session.run(["logits"], {"images": np.zeros((n, *shape), np.uint8)})[0]
        except Exception as error:
            first = str(error).strip().splitlines()[0][:300]
            raise FittingroomError(f"{what}: the graph cannot be run ({first}); export the run again") from None

        self.n_classes = int(logits_NK.shape[1])

    def run(self, images_NCHW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logits and probabilities (N,K) float32 of one batch (N,C,H,W) uint8."""
        logits_NK, probabilities_NK = self._session.run(["logits", "probabilities"], {"images": images_NCHW})
        return logits_NK, probabilities_NK

    def features(self, images_NCHW: np.ndarray) -> np.ndarray:
        """What the last dense layer is given (N,D) float32, for one batch: the space in which near images look alike to it."""
        return np.asarray(self._session.run(["features"], {"images": images_NCHW})[0])

    def predict(self, images_NCHW: Pixels) -> tuple[np.ndarray, np.ndarray]:
        """The same for at least one and any number of images, in batches."""
        batch = at_once(images_NCHW.shape[1:])
        parts = [self.run(images_NCHW[i : i + batch]) for i in range(0, len(images_NCHW), batch)]
        logits, probabilities = zip(*parts, strict=True)
        return np.concatenate(logits), np.concatenate(probabilities)


class Classifier:
    """A bundle, loaded. Raises `FittingroomError` for one that is damaged; `threads` and the rest as in `Graph`."""

    def __init__(self, bundle: BundleFolder, threads: int | None = None, spinning: bool = True) -> None:
        self.bundle, self.facts = bundle, bundle.facts
        self.graph = Graph(bundle.graph(), self.facts.framing.shape, threads, str(bundle.path), spinning)
        if self.graph.n_classes != len(self.facts.classes):
            raise FittingroomError(
                f"{bundle.path}: the graph tells {self.graph.n_classes} classes apart, bundle.json names "
                f"{len(self.facts.classes)}; export the run again"
            )

    @property
    def classes(self) -> tuple[str, ...]:
        return self.facts.classes

    @property
    def sure_at(self) -> float | None:
        """The probability below which an answer is not sure; None where an operating point decides between two classes."""
        return None if self.facts.operating and len(self.classes) == 2 else self.facts.confidence.sure_at

    def answers(
        self, logits_NK: np.ndarray, probabilities_NK: np.ndarray, top: int = 3, sure_at: float | None = None
    ) -> list[Prediction]:
        """In words what the graph says of each image: the answer, and so many of the likeliest classes.

        `sure_at`: the probability below which an answer is not sure; by default the bundle's, where no operating point decides.
        """
        order, limit_N = (
            np.argsort(-probabilities_NK, axis=1, kind="stable"),
            np.full(len(logits_NK), self.sure_at or 0.0),
        )
        if point := self.facts.operating:
            said_N = answers(logits_NK, c := self.classes.index(point.positive), point.threshold)
            order = np.stack([[s, *row[row != s]] for s, row in zip(said_N, order, strict=True)])  # the answer first
            limit_N[said_N == c] = 0.0
        if sure_at is not None:
            limit_N[:] = sure_at
        return [
            Prediction(tuple((self.classes[c], float(p[c])) for c in row), bool(p[row[0]] >= limit))
            for row, p, limit in zip(order[:, :top], probabilities_NK, limit_N, strict=True)
        ]
