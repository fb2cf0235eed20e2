"""Pictures that a person tries on models: answers, what each model sees, heat maps, the nearest training images."""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fittingroom.data import prepare, reload
from fittingroom.data.framing import read_framed
from fittingroom.data.pixels import Pixels
from fittingroom.inference import Classifier
from fittingroom.inference.occlusion import occlusion
from fittingroom.metrics.words import point_words
from fittingroom.report.explain_page import overlay
from fittingroom.report.pictures import data_uri, png_bytes
from fittingroom.serve.settings import Limits
from fittingroom.spec.errors import FittingroomError
from fittingroom.store import RunFolder

NEAREST = 6


@dataclass(frozen=True)
class Near:
    """The training images of a run as its network sees them (N,D), and the images themselves."""

    features_ND: np.ndarray
    images_NCHW: Pixels
    labels_N: np.ndarray


class Attempts:
    """Loaded models, the latest few."""

    def __init__(self, home_dir: Path) -> None:
        self._lock = threading.Lock()
        self._classifier = functools.lru_cache(maxsize=8)(lambda path, stamp: Classifier(RunFolder(path).bundle))
        self._near = functools.lru_cache(maxsize=3)(lambda path, stamp: _near(RunFolder(path), home_dir))

    def ask(self, run: RunFolder, picture: bytes, heat: bool = False) -> dict[str, Any]:
        """What a run says of a picture file. Raises `Unreadable` for no picture, `FittingroomError` for no bundle."""
        with self._lock:
            classifier = self._classifier(run.path, _stamp(run.bundle.path / "bundle.json"))
        image_CHW = read_framed(picture, classifier.facts.framing, Limits().pixels)
        [answer] = classifier.answers(*classifier.graph.run(image_CHW[None]), top=5)
        best = classifier.classes.index(answer.top[0][0])
        told: dict[str, Any] = {
            "answer": answer.says,
            "sure": answer.sure,
            "decides": point_words(classifier.facts.operating) if classifier.facts.operating else "",
            "top": [{"name": name, "p": p} for name, p in answer.top],
            "seen": data_uri(png_bytes(image_CHW)),
            "near": self._neighbours(run, classifier, image_CHW),
        }
        if heat:
            told["heat"] = data_uri(png_bytes(overlay(image_CHW, occlusion(classifier.graph, image_CHW, best))))
        return told

    def _neighbours(self, run: RunFolder, classifier: Classifier, image_CHW: np.ndarray) -> list[dict[str, str]]:
        if not (run.path / "features.npz").is_file():  # a damaged one is told where it is read
            return []
        with self._lock:
            near = self._near(run.path, _stamp(run.path / "features.npz"))
        feature_D = classifier.graph.features(image_CHW[None])[0]
        if feature_D.shape != near.features_ND.shape[1:]:
            return []
        far_N = ((near.features_ND - feature_D) ** 2).sum(1)
        rows = np.argsort(far_N, kind="stable")[:NEAREST]
        return [
            {
                "image": data_uri(png_bytes(near.images_NCHW[rows[i : i + 1]][0])),
                "name": classifier.classes[near.labels_N[r]],
            }
            for i, r in enumerate(rows)
        ]


def _stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        raise FittingroomError(f"{path.parent} is not there any more; export the run again") from None


def _near(run: RunFolder, home_dir: Path) -> Near:
    features = run.features()
    assert features is not None
    train, _ = prepare(reload(run.data.name, run.data.digest, home_dir), run.recipe.data)
    return Near(features.astype(np.float32), train.images_NCHW, train.labels_N)
