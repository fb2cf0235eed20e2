"""Row 10 of `make bench`: photos of 224×224, from files to a trained network, beside a script with a DataLoader and Lightning.

Whole processes, default against default, from the same weights: fine-tuning of the last stages, and a frozen network.
The photos are crops of the two that scikit-learn brings along, told apart by a classifier.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image
from race import HERE, PEERS
from sklearn.datasets import load_sample_images
from throughput import whole_s

from fittingroom.models.pretrained import pretrained_weights
from fittingroom.spec.pretrained import pretrained
from fittingroom.store.fetch import home

RIVALS = {"script": "script with a DataLoader", "lightning": "Lightning"}
MODES = {"finetune": 3, "frozen": 20}  # epochs


def write_photos(folder: Path, each: int) -> Path:
    """Class folders of JPEGs, 256 to 384 pixels a side."""
    rng = np.random.default_rng(0)
    for name, whole in zip(("palace", "flower"), load_sample_images().images, strict=True):
        place = folder / name
        place.mkdir(parents=True)
        height, width, _ = whole.shape
        for i in range(each):
            side = int(rng.integers(256, 385))
            y, x = int(rng.integers(0, height - side + 1)), int(rng.integers(0, width - side + 1))
            Image.fromarray(whole[y : y + side, x : x + side]).save(place / f"{i:03}.jpg", quality=90)
    return folder


def large(each: int, rounds: int) -> list[dict[str, Any]]:
    """Seconds of whole processes by mode and rival, medians over rounds in turn."""
    weights = pretrained_weights(pretrained()["efficientnet-lite0"], home())
    ours = [str(HERE.parent / "src"), sysconfig.get_paths()["purelib"]]
    rows = []
    with tempfile.TemporaryDirectory() as place:
        photos = write_photos(Path(place) / "photos", each)
        for mode, epochs in MODES.items():
            found: dict[str, list[float]] = {}
            for turn in range(rounds):
                cold = {"FITTINGROOM_HOME": f"{place}/home-{mode}-{turn}"}  # nothing decoded, no features kept
                _with_weights(Path(cold["FITTINGROOM_HOME"]), weights)
                words = [sys.executable, "-m", "fittingroom", "train", mode, f"train.epochs={epochs}"]
                # the others train on all pictures, and from the first step on as we do
                words += ["model.head_epochs=0", "data.val_fraction=0", "data.test_fraction=0"]
                words += ["--data", str(photos), "--no-test", "--runs", f"{place}/runs-{mode}-{turn}"]
                found.setdefault("ours", []).append(whole_s(words, cold))
                for rival in RIVALS:
                    loop = [
                        str(PEERS),
                        str(HERE / "peers/large.py"),
                        rival,
                        str(photos),
                        str(weights),
                        mode,
                        str(epochs),
                    ]
                    found.setdefault(rival, []).append(whole_s(loop, {"PYTHONPATH": os.pathsep.join(ours)}))
            for rival, title in RIVALS.items():
                ratios = [b / a for a, b in zip(found["ours"], found[rival], strict=True)]
                rows.append(
                    {
                        "mode": mode, "rounds": rounds, "epochs": epochs, "photos": 2 * each, "rival": title,
                        "ratio": median(ratios),
                        "low": min(ratios), "high": max(ratios), "ours_s": median(found["ours"]), "rival_s": median(found[rival]),
                    }
                )  # fmt: skip
                print(rows[-1], flush=True)
    return rows


def _with_weights(folder: Path, weights: Path) -> None:
    """A home that has the weights: fetching is not what is measured."""
    there = folder / "weights"
    there.mkdir(parents=True)
    (there / weights.parent.name).symlink_to(weights.parent)
