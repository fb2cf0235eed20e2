"""Row 7 of `make bench --rows 7`: how much memory a large folder of pictures takes, from its import to the test score.

The pictures are Fashion-MNIST's, enlarged, coloured and written as JPEGs: 50,000 of 224×224 need 10 GB of disk for the while.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fittingroom.data import load
from fittingroom.spec.machine import cores

COLOURS = np.array([[1.0, 0.6, 0.3], [0.4, 1.0, 0.5], [0.5, 0.6, 1.0], [1.0, 1.0, 1.0]])
MODEL = (
    'model={kind="sequential", layers=[{conv=16, kernel=7, stride=4, padding=3}, {norm="batch"}, {act="relu"}, '
    '{pool="max", size=4}, {conv=32, kernel=3}, {act="relu"}, {pool="max", size=2}, {flatten=true}]}'
)
LOOK_S = 0.05  # between two looks at the process's memory


def memory(images: int, side: int) -> dict[str, Any]:
    """The peaks in bytes of `fittingroom train` on a folder of so many pictures: all that is mapped, and its own memory alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _draw(folder / "pictures", images, side)
        phases = {}
        for phase in ("first, with the import", "again"):
            words = ["train", "readme-004-cnn", "train.epochs=1", MODEL, f"data.image_size={side}", "--fresh"]
            words += [
                "--data",
                str(folder / "pictures"),
                "--home",
                str(folder / "home"),
                "--runs",
                str(folder / "runs"),
                "-q",
            ]
            started = time.perf_counter()
            process = subprocess.Popen([sys.executable, "-m", "fittingroom", *words], stdout=subprocess.PIPE, text=True)
            peaks = _peaks(process)
            out = process.communicate()[0]
            assert process.returncode == 0, out
            phases[phase] = peaks | {"seconds": time.perf_counter() - started}
            print(
                f"{phase}: {peaks['resident'] / 1e9:.2f} GB resident, {peaks['own'] / 1e9:.2f} GB its own, "
                f"{phases[phase]['seconds']:.0f} s",
                flush=True,
            )
        pixels = next((folder / "home").rglob("images.npy")).stat().st_size
    return {"images": images, "side": side, "pixels_bytes": pixels, "phases": phases}


def _draw(folder: Path, images: int, side: int) -> None:
    data = load("fashion-mnist").train

    def write(i: int) -> None:
        grey = data.images_NCHW[i % len(data)][0]
        rng = np.random.default_rng(i)
        colour = COLOURS[rng.integers(len(COLOURS))]
        large = np.asarray(Image.fromarray(grey).resize((side, side)), np.float32)[..., None] * colour
        noisy = np.clip(large + rng.normal(0, 6, large.shape), 0, 255).astype(np.uint8)  # no two are near duplicates
        place = folder / data.classes[data.labels_N[i % len(data)]].replace("/", " or ")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noisy).save(place / f"{i}.jpg", quality=85)

    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(write, range(images)))


def _peaks(process: subprocess.Popen[str]) -> dict[str, int]:
    """The most that a process had in memory at any look, until it ends."""
    peaks = {"resident": 0, "own": 0}
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        try:
            lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
            for name, keys in {"resident": ["VmHWM"], "own": ["RssAnon", "RssShmem"]}.items():
                peaks[name] = max(peaks[name], sum(1024 * int(lines[key].split()[0]) for key in keys))
        except (OSError, KeyError):  # it is ending
            pass
        time.sleep(LOOK_S)
    return peaks
