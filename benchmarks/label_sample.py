"""How many of Fashion-MNIST's test labels name what is not shown? A sample to look at, and what one person saw; writes docs.

    python benchmarks/label_sample.py RUNS_DIR [SHEET.png]

RUNS_DIR holds finished runs on Fashion-MNIST. Of the test images that nearly all of them call the same other class, 40 are drawn,
and shown on a sheet. `WRONG` and `RIGHT` are what one person said of the sheet of 2026-11-28; the rest could be either.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from pages import write_block
from PIL import Image, ImageDraw
from scipy.stats import mode

from fittingroom.data import load
from fittingroom.metrics.intervals import wilson
from fittingroom.store import Runs, load_run

SAMPLE, ALIKE, SIDE, ACROSS = 40, 0.95, 112, 10
WRONG = {
    147,
    979,
    1231,
    4693,
    5077,
    7369,
    8914,
}  # the label names what is plainly not shown: a long dress called shirt …
RIGHT = {457, 3496, 4599, 4846, 8706}


def main() -> None:
    runs = [load_run(folder) for folder in Runs(Path(sys.argv[1])).list() if folder.done and folder.metrics.test]
    ours = [run for run in runs if run.data.name == "fashion-mnist"]
    labels_N, classes = ours[0].labels_N, ours[0].data.classes
    said_RN = np.stack([run.logits_NK.argmax(1) for run in ours])
    most_N = mode(said_RN, axis=0).mode
    against = np.flatnonzero((most_N != labels_N) & ((said_RN == most_N).mean(0) >= ALIKE))
    sample = np.sort(np.random.default_rng(0).choice(against, SAMPLE, replace=False))
    if len(sys.argv) > 2:
        sheet(sample, [f"is {classes[labels_N[i]]}\n-> {classes[most_N[i]]}" for i in sample]).save(sys.argv[2])
    if not {int(i) for i in sample} >= WRONG | RIGHT:
        sys.exit("other runs draw another sample; look at the sheet, and write down what you see")
    wrong, either = len(WRONG), SAMPLE - len(WRONG) - len(RIGHT)
    least = sum(wilson(n, SAMPLE)[0] * part for n, part in ((wrong, 1), (either, 0.5))) * len(against)
    expected = (wrong + either / 2) / SAMPLE * len(against)
    write_block("docs/replications.md", "labels", [words(len(against), len(ours), expected, least)])


def words(against: int, runs: int, expected: float, least: float) -> str:
    """What came of it, as a paragraph."""
    either = SAMPLE - len(WRONG) - len(RIGHT)
    return (
        f"Of {against} test images that at least {100 * ALIKE:g} % of {runs} runs of ours call the same other class, one person "
        f"looked at {SAMPLE} that were drawn at random: in {len(WRONG)} the label names what is plainly not shown (a long dress "
        f"called shirt, short sleeves called pullover, a sneaker called ankle boot), {either} could be either (shirt or T-shirt, "
        f"coat or dress), and in {len(RIGHT)} it is right. Whoever reads pictures, however well, gives another answer for the "
        "wrong ones, and (that is assumed here) is right about half of the time on those that could be either: some "
        f"{expected:.0f} errors are to be expected among these {against} images alone ({least:.0f}, if both shares are at the "
        "lower end of their 95 % intervals). (`benchmarks/label_sample.py`)"
    )


def sheet(rows: np.ndarray, words: list[str]) -> Image.Image:
    """The images with what they are called, ten across."""
    test = load("fashion-mnist").test.unlock(lambda: print("the test images are looked at, to judge their labels"))
    found = Image.new("L", (ACROSS * SIDE, -(-len(rows) // ACROSS) * (SIDE + 44)), 255)
    draw = ImageDraw.Draw(found)
    for place, (row, text) in enumerate(zip(rows, words, strict=True)):
        x, y = place % ACROSS * SIDE, place // ACROSS * (SIDE + 44)
        picture = Image.fromarray(test.images_NCHW[row, 0]).resize((SIDE - 6, SIDE - 6), Image.Resampling.NEAREST)
        found.paste(picture, (x, y))
        draw.text((x, y + SIDE - 4), f"{row}\n{text}", fill=0)
    return found


if __name__ == "__main__":
    main()
