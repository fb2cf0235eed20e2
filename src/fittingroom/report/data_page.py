"""One HTML page about a data set: `fittingroom data show NAME`."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import numpy as np

from fittingroom.data import Dataset
from fittingroom.data.inspect import DuplicatePair, inspect
from fittingroom.data.own import by_reason
from fittingroom.report import charts
from fittingroom.report.pictures import data_uri, png_bytes, sheet
from fittingroom.report.render import both_modes, render
from fittingroom.store.atomic import write

MOST_PAIRS = 60  # shown
PER_CLASS = 12  # samples


def write_data_page(data: Dataset, path: Path) -> tuple[Path, dict[str, Any]]:
    """Write the page; its path and the headline facts."""
    seen = inspect(data, PER_CLASS)
    across = [p for p in seen.pairs if p.split_a != p.split_b]
    facts: dict[str, Any] = {
        "name": data.name,
        "training_images": int(seen.counts["train"].sum()),
        **({"validation_images": int(seen.counts["val"].sum())} if data.val else {}),
        "test_images": int(seen.counts["test"].sum()),
        "exact_duplicate_pairs": sum(p.rms == 0 for p in seen.pairs),
        "near_duplicate_pairs": len(seen.pairs),
        "near_duplicate_pairs_across_train_and_test": len(across),
        "near_duplicate_pairs_with_different_labels": sum(p.label_a != p.label_b for p in seen.pairs),
        "left_out": len(data.faults),
        "digest": data.digest,
        "acquired": data.acquired,
    }
    text = render(
        "data_page.html",
        data=data,
        facts=facts,
        near_rms=seen.near_rms,
        classes=[
            {
                "name": name,
                "samples": data_uri(png_bytes(sheet(seen.samples[c], PER_CLASS))),
                "mean": data_uri(png_bytes(seen.mean_images[c])),
                "counts": [f"{of_class[c]:,}" for of_class in seen.counts.values()],
            }
            for c, name in enumerate(data.classes)
        ],
        balance=both_modes(lambda: charts.balance(seen.counts, data.classes)),
        pixels=both_modes(lambda: charts.pixels(seen.histogram)),
        statistics=[
            [
                split,
                f"{seen.pixel_mean[split]:.2f}",
                f"{seen.pixel_sd[split]:.2f}",
                f"{100 * float(seen.histogram[split][0]):.1f}",
            ]
            for split in seen.counts
        ],
        splits=list(seen.counts),
        left_out=by_reason(data.faults),
        pages=pages_about(data.name, path.parent),
        pairs=[_pair(p, data) for p in [*across, *(p for p in seen.pairs if p.split_a == p.split_b)][:MOST_PAIRS]],
    )
    write(path, text)
    return path, facts


def pages_about(dataset: str, folder: Path) -> list[str]:
    """The names of the pages in `folder` that say they are about `dataset`: reports, audits."""
    head = 2000  # bytes; the sign is in the first lines
    sign = re.compile(
        rf'<meta name="fittingroom" content="\w+ (?:[^"]* )?{re.escape(html.escape(dataset))}(?: [^"]*)?">'
    )
    found = []
    for page in sorted(folder.glob("*.html")) if folder.is_dir() else ():
        with page.open(encoding="utf-8", errors="replace") as file:
            if sign.search(file.read(head)):
                found.append(page.name)
    return found


def _pair(p: DuplicatePair, data: Dataset) -> dict[str, str]:
    return {
        "image": data_uri(png_bytes(sheet(np.stack([p.image_a, p.image_b]), 2))),
        "a": f"{p.name_a} {data.classes[p.label_a]}",
        "b": f"{p.name_b} {data.classes[p.label_b]}",
        "rms": "the same" if p.rms == 0 else f"differ by {p.rms:.1f}",
    }
