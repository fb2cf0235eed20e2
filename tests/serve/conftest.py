"""One small real bundle, made once for all, and servers over it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from serve.asking import Gate, Process, Server, in_a_process, in_a_thread
from trained import MadeOnce, exported

from fittingroom.data import load
from fittingroom.inference import Classifier
from fittingroom.inference.classifier import Graph
from fittingroom.serve.settings import Settings
from fittingroom.store import BundleFolder, Runs


@pytest.fixture(scope="session")
def bundle(made_once: MadeOnce) -> Path:
    """A trained and exported run's."""
    words = ("readme-004-mlp", "train.epochs=1", "data.limit=3000")
    return Runs(made_once("served", lambda folder: exported(folder, *words))).list()[0].bundle.path


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    """300 real images (N,1,28,28)."""
    return load("fashion-mnist").train.images_NCHW[:300]


@pytest.fixture(scope="session")
def alone(bundle: Path, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the model says of each of the images by itself: logits and probabilities (N,K)."""
    graph = Classifier(BundleFolder(bundle), threads=1).graph
    logits, probabilities = zip(*(graph.run(image[None]) for image in images), strict=True)
    return np.concatenate(logits), np.concatenate(probabilities)


@pytest.fixture(scope="session")
def classes(bundle: Path) -> tuple[str, ...]:
    return BundleFolder(bundle).facts.classes


@pytest.fixture(scope="session")
def pngs(images: np.ndarray) -> list[bytes]:
    """The first ten images as files."""
    files = [io.BytesIO() for _ in range(10)]
    for file, image in zip(files, images, strict=False):
        Image.fromarray(image[0]).save(file, "PNG")
    return [file.getvalue() for file in files]


@pytest.fixture(scope="module")
def server(bundle: Path) -> Iterator[Server]:
    """One with no special settings."""
    with in_a_thread(Settings((bundle,))) as running:
        yield running


@pytest.fixture(scope="module")
def process(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One that a person started."""
    with in_a_process(tmp_path_factory.mktemp("process"), bundle) as running:
        yield running


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Before the model of every server that is made from now on; open at first."""
    gate, real = Gate(), Graph.run

    def run(graph: Graph, images_NCHW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        gate.pass_through(images_NCHW)
        return real(graph, images_NCHW)

    monkeypatch.setattr(Graph, "run", run)
    gate.opened.set()
    yield gate
    gate.opened.set()
