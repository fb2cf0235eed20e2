"""One HTML page about why a run says what it says: `fittingroom explain`. Reads what that command wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fittingroom.metrics.words import percent
from fittingroom.report import charts, theme
from fittingroom.report.answer import Answer, Table
from fittingroom.report.pictures import data_uri, png_bytes, sheet
from fittingroom.report.render import both_modes, render
from fittingroom.report.tables import deletion_words
from fittingroom.report.theme import Draw
from fittingroom.store import RunFolder
from fittingroom.store.atomic import write

FOR, AGAINST = np.array([230, 120, 0]), np.array([40, 140, 230])  # orange and blue: told apart by colour-blind readers
METHODS = {
    "Grad-CAM": "which places of the last feature maps speak for the answer; coarse",
    "integrated gradients": "how much each pixel adds to the answer on the way from a black image to this one; fine and noisy",
    "occlusion": "a small square covers one place after the other; orange: covering it makes the model less sure",
}


def write_explain_page(run: RunFolder, path: Path) -> Path:
    """Write the page about a run that was explained."""
    found, curve, classes, labels = run.explained(), run.deletion(), run.data.classes, run.predictions("test")
    assert curve is not None and labels is not None
    said_N = labels[0].argmax(1)
    wrong = said_N != labels[1]
    asked = found["rows"][: int(found["asked"])]
    chosen = [int(row) for row in asked if row >= 0]
    methods = [name.removeprefix("map ") for name in found if name.startswith("map ")]
    layers = [name.removeprefix("layer ") for name in found if name.startswith("layer ")]
    html = render(
        "explain_page.html",
        title=run.name,
        recipe=run.recipe.name,
        data=run.data,
        accuracy=percent(float(1 - wrong.mean())),
        methods=methods,
        explained=[(m, METHODS[m]) for m in methods if m in METHODS],
        images=[_image(i, one, found, methods, classes) for i, one in enumerate(explained_images(found, classes))],
        filters_layer=str(found["filters_layer"]),
        filters=_filters(found["filters"]) if len(found["filters"]) else "",
        layers=[{"name": name, "image": _sheet(_stretched(found[f"layer {name}"][:, None]), 8)} for name in layers],
        prototypes=[{"name": c, "image": _sheet(found["prototypes"][k], 6)} for k, c in enumerate(classes)],
        embedding=theme.raster(charts.embedding(found["points"], labels[1], wrong, classes, chosen)),
        ringed=bool(chosen),
        deletion=both_modes(lambda: charts.deletion(curve)),
        deletion_images=curve["images"],
        deletion_words=deletion_words([curve]),
    )
    write(path, html)
    return path


def explained_images(found: Mapping[str, np.ndarray], classes: Sequence[str], most: int = 3) -> list[dict[str, Any]]:
    """Each explained image as plain data: its `row` in the test set (-1: one's own), `true` class, and the `most` likely ones."""
    return [
        {
            "row": int(row),
            "true": classes[true] if true >= 0 else "",
            "said": {classes[k]: float(p[k]) for k in np.argsort(-p)[:most]},
        }
        for row, true, p in zip(found["rows"], found["true"], found["p"], strict=True)
    ]


def _image(
    i: int, one: Mapping[str, Any], found: Mapping[str, np.ndarray], methods: Sequence[str], classes: Sequence[str]
) -> dict[str, Any]:
    return {
        "image": data_uri(png_bytes(found["images"][i])),
        "what": f"test image #{one['row']}" if one["row"] >= 0 else "your image",
        "true": one["true"],
        "said": [f"{name} {100 * p:.0f} %" for name, p in one["said"].items()],
        "maps": [
            data_uri(png_bytes(overlay(found["images"][i], found[f"map {m}"][i]))) if found[f"map {m}"][i].any() else ""
            for m in methods
        ],
        "near": [
            {"image": data_uri(png_bytes(image)), "label": classes[label]}
            for image, label in zip(found["near"][i], found["near_labels"][i], strict=True)
        ],
    }


def overlay(image_CHW: np.ndarray, map_HW: np.ndarray) -> np.ndarray:
    """An attribution over its faint image, as colour (3,H,W) uint8: orange speaks for the class, blue against it.

    >>> overlay(np.zeros((1, 2, 2), np.uint8), np.array([[1.0, 0], [0, -1.0]]))[:, 0, 0].tolist()
    [230, 120, 0]
    """
    grey = image_CHW.mean(0) * 0.45
    largest = float(np.quantile(np.abs(map_HW), 0.99)) or float(np.abs(map_HW).max()) or 1.0
    strength = np.clip(np.abs(map_HW) / largest, 0, 1)
    colour = np.where(map_HW[None] > 0, FOR[:, None, None], AGAINST[:, None, None])
    return np.asarray(((1 - strength) * grey + strength * colour).round(), np.uint8)


def _stretched(images_NCHW: np.ndarray) -> np.ndarray:
    """Each image's values stretched over 0 … 255; zero stays mid-grey where there are both signs."""
    out = images_NCHW.astype(np.float64)
    flat = out.reshape(len(out), -1)
    if (flat < 0).any() and (flat > 0).any():
        largest = np.maximum(np.abs(flat).max(1), 1e-12)[:, None, None, None]
        return np.asarray((127.5 + 127.5 * out / largest).round(), np.uint8)
    low, high = flat.min(1)[:, None, None, None], flat.max(1)[:, None, None, None]
    return np.asarray((255 * (out - low) / np.maximum(high - low, 1e-12)).round(), np.uint8)


def _filters(weights_FCHW: np.ndarray) -> str:
    """Weights as pictures, each pixel repeated, so that the white lines between them are thin beside them."""
    times = max(1, -(-20 // weights_FCHW.shape[3]))
    images = _stretched(weights_FCHW).repeat(times, 2).repeat(times, 3)
    few = images if images.shape[1] in (1, 3) else images[:, :1]
    return data_uri(png_bytes(sheet(few, min(16, len(few)), gap=4, background=255)))


def _sheet(images_NCHW: np.ndarray, columns: int) -> str:
    few = images_NCHW if images_NCHW.shape[1] in (1, 3) else images_NCHW[:, :1]
    return data_uri(png_bytes(sheet(few, min(columns, len(few)))))


@dataclass(frozen=True, repr=False, eq=False)
class Explained(Answer):
    """A run, what it says of each explained image (those that were asked for first), and the deletion curve."""

    run: RunFolder
    images: Sequence[Mapping[str, Any]]
    asked: int
    page: Path

    @property
    def deletion(self) -> dict[str, Any]:
        """The confidence while the pixels that matter most are deleted, beside random ones."""
        curve = self.run.deletion()
        assert curve
        return curve

    @property
    def sentences(self) -> list[str]:
        return [f"{self.run.name}: {deletion_words([self.deletion])}"]

    @property
    def table(self) -> Table:
        lines = [
            [
                f"test image {one['row']} ({one['true']})" if one["true"] else "your image",
                ", ".join(f"{name} {100 * p:.0f} %" for name, p in one["said"].items()),
            ]
            for one in self.images[: self.asked]
        ]
        return [["image", "what the model says"], *lines]

    def json(self) -> dict[str, Any]:
        return {"run": self.run.name, "images": list(self.images), "deletion": self.deletion}

    def _write(self, path: Path) -> None:
        write_explain_page(self.run, path)

    def _draw(self) -> Iterator[tuple[str, Draw]]:
        yield "deletion", lambda: charts.deletion(self.deletion)
