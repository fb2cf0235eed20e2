"""A model of twelve-bit pictures answers twelve-bit pictures: the range travels with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from planned import plan

from fittingroom.data import Dataset, load
from fittingroom.export import export
from fittingroom.inference import Classifier
from fittingroom.inference.pictures import classify, named_pictures
from fittingroom.spec.read import read_recipe
from fittingroom.store import Runs
from fittingroom.study.execute import execute
from fittingroom.study.workplace import Workplace


@pytest.mark.slow
def test_the_bundle_reads_what_the_training_read(fashion: Dataset, tmp_path: Path) -> None:
    for i in range(400):
        label = int(fashion.train.labels_N[i])
        path = tmp_path / "scans" / f"class {label}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(fashion.train.images_NCHW[i, 0].astype(np.uint16) * 4).save(path)  # ten bits
    runs, home = Runs(tmp_path / "runs"), tmp_path / "home"
    data = load(str(tmp_path / "scans"), home)
    run = execute(
        plan(read_recipe("readme-004-mlp", ["train.epochs=10", "train.precision=fp32"]), data, runs=runs), runs
    )
    bundle = export(run, Workplace(runs=runs, home=home))
    facts = bundle.facts.framing
    assert facts.range == (0.0, 1020.0) and "1020 white" in (bundle.path / "README.md").read_text()
    named, _, _ = named_pictures([str(tmp_path / "scans")])
    found = [result for batch in classify(Classifier(bundle), named, top=1) for result in batch]
    right = [r.answer is not None and r.answer.top[0][0] == Path(r.name).parent.name for r in found]
    assert np.mean(right) > 0.8  # of pictures that were mostly trained on; black ones would be one class
