"""Whether what is shipped says what was trained: parity of every shipped recipe, and what framing makes of photos.

    python benchmarks/shipping.py [--write]

Recipes are trained for one epoch on 6,000 images; parity is over all 10,000 test images of their data. Photos are simulated
from validation images, so no test image is looked at for the choice of the framing: enlarged, on paper, dimmed, noisy.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from pages import ROOT, table, write_block
from PIL import Image, ImageFilter

from fittingroom.data import load, prepare
from fittingroom.data.framing import frame
from fittingroom.export import export
from fittingroom.inference import Classifier
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.machine import cores
from fittingroom.spec.read import read_recipe, shipped_recipes
from fittingroom.store import RunFolder, Runs
from fittingroom.study.execute import execute
from fittingroom.study.job import resolve
from fittingroom.study.sharing import cpu_name
from fittingroom.study.workplace import Workplace

RESULT = ROOT / "benchmarks" / "results" / "shipping.json"
PHOTOS = 1_000  # validation images
Make = Callable[[np.ndarray, np.random.Generator], Image.Image]


def trained(runs: Runs, name: str, *changes: str) -> RunFolder:
    recipe = read_recipe(name, list(changes))
    return execute(resolve(recipe, load(recipe.data.name), "cpu", runs, threads=cores()), runs)


def parity(runs: Runs) -> list[dict[str, Any]]:
    found = []
    for name in shipped_recipes():
        run = trained(runs, name, "train.epochs=1", "data.limit=6000")
        row: dict[str, Any] = {"recipe": name, "data": run.recipe.data.name}
        for kind in ("no", "int8"):
            try:
                bundle = export(run, Workplace(runs=runs), out=run.path / f"bundle-{kind}", quantize=kind)
                row[kind] = bundle.parity.model_dump() | {"bytes": len(bundle.graph())}
            except FittingroomError as error:
                row[kind] = {"refused": str(error)}
        print(row, flush=True)
        found.append(row)
    return found


def enlarged(image_HW: np.ndarray, times: int, around: float) -> np.ndarray:
    """The picture, larger, somewhere on a larger black one."""
    side = 28 * times
    whole = int(side * around)
    out = Image.new("L", (whole, whole))
    big = Image.fromarray(image_HW).resize((side, side), Image.Resampling.BICUBIC)
    out.paste(big, ((whole - side) // 2, (whole - side) // 3))
    return np.asarray(out).astype(float)


def photo(page_HW: np.ndarray, rng: np.random.Generator, slope: float, noise: float, blur: float = 0.0) -> Image.Image:
    """Dark ink on paper, lit from one side."""
    paper, ink = rng.uniform(150, 215), rng.uniform(30, 70)
    y, x = np.mgrid[: len(page_HW), : page_HW.shape[1]] / len(page_HW) - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    light = 1 + slope * (np.cos(angle) * x + np.sin(angle) * y)
    lit = (paper + (ink - paper) * page_HW / 255) * light + rng.normal(0, noise, page_HW.shape)
    picture = Image.fromarray(lit.clip(0, 255).astype(np.uint8))
    return picture.filter(ImageFilter.GaussianBlur(blur)) if blur else picture


KINDS: dict[str, Make] = {
    "as they are, 28 × 28": lambda image, rng: Image.fromarray(image),
    "enlarged ten times": lambda image, rng: Image.fromarray(enlarged(image, 10, 1.0).astype(np.uint8)),
    "the same, black on white, with a margin": lambda image, rng: Image.fromarray(255 - enlarged(image, 8, 2.5).astype(np.uint8)),
    "photo: dim paper, noise": lambda image, rng: photo(enlarged(image, 8, 2.0), rng, 0.0, 4),
    "photo: light falls off by 30 %": lambda image, rng: photo(enlarged(image, 8, 2.0), rng, 0.3, 4),
    "photo: light falls off by 60 %, strong noise": lambda image, rng: photo(enlarged(image, 8, 2.0), rng, 0.6, 10),
    "photo: 1,500 pixels, blurred, stronger noise": lambda image, rng: photo(enlarged(image, 30, 1.8), rng, 0.0, 15, 1),
}  # fmt: skip


def photos(runs: Runs, recipe: str, *changes: str) -> dict[str, Any]:
    run = trained(runs, recipe, *changes)
    graph = Classifier(export(run, Workplace(runs=runs), out=run.path / "bundle-photos")).graph
    data = load(run.recipe.data.name)
    _, val = prepare(data, run.recipe.data)
    assert val is not None
    some = val.take(np.arange(PHOTOS))
    found = {}
    for kind, make in KINDS.items():
        rng = np.random.default_rng(0)
        images = np.stack([frame(make(image[0], rng), data.framing) for image in some.images_NCHW])
        found[kind] = float((graph.predict(images)[0].argmax(1) == some.labels_N).mean())
        print(f"{recipe}, {kind}: {100 * found[kind]:.1f} %", flush=True)
    return {"recipe": recipe, "title": data.title, "epochs": run.metrics.epochs, "accuracy": found}


def write(results: dict[str, Any]) -> None:
    def cells(row: dict[str, Any]) -> list[str]:
        exact, small = row["no"], row["int8"]
        shrunk = (
            f"{100 * (small['accuracy_onnx'] - small['accuracy_torch']):+.2f}" if "refused" not in small else "refused"
        )
        sizes = f"{exact['bytes'] / 1e6:.1f}" + (f" / {small['bytes'] / 1e6:.1f}" if "refused" not in small else "")
        return [
            row["recipe"], row["data"], f"{exact['changed_predictions']} of {exact['images']:,}",
            f"{exact['max_logit_difference']:.1e}", shrunk, sizes,
        ]  # fmt: skip

    versions = f"ONNX Runtime {results['onnxruntime']}, torch {results['torch']}"
    where = f"({results['machine']}, {versions}, {results['date']}; `benchmarks/shipping.py`)"
    head = ["recipe", "data", "predictions changed", "largest difference of a logit", "int8: points", "MB (int8)"]
    note = f"Trained for one epoch on 6,000 images, one seed. {where}"
    write_block("docs/shipping.md", "parity", [*table(head, [cells(r) for r in results["parity"]]), "", note])
    sets = results["photos"]
    rows = [[kind, *(f"{100 * s['accuracy'][kind]:.1f} %" for s in sets)] for kind in KINDS]
    head = ["a picture of it", *(f"{s['title']}, {s['recipe']}" for s in sets)]
    note = f"{PHOTOS:,} validation images each, one seed, {sets[0]['epochs']} and {sets[1]['epochs']} epochs. {where}"
    write_block("docs/shipping.md", "photos", [*table(head, rows), "", note])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="only write docs/shipping.md, from what was measured last")
    if not parser.parse_args().write:
        import onnxruntime
        import torch

        with tempfile.TemporaryDirectory() as folder:
            runs = Runs(Path(folder))
            found = {
                "machine": f"{cpu_name()}, {cores()} cores",
                "date": f"{date.today()}",
                "torch": torch.__version__,
                "onnxruntime": onnxruntime.__version__,
                "photos": [photos(runs, "fast-mnist"), photos(runs, "fast-fashion", "train.epochs=3")],
                "parity": parity(runs),
            }
        RESULT.write_text(json.dumps(found, indent=1) + "\n")
    write(json.loads(RESULT.read_text()))


if __name__ == "__main__":
    main()
