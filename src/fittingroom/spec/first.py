"""A first recipe for data that nobody has trained on yet, with its reasons beside every line."""

from __future__ import annotations

import math
import unicodedata

from fittingroom.spec.recipe import ShapeSpec

STEPS = 900  # a training of about so many steps; on 573 and 8,176 pictures more gained nothing: docs/log.md 2026-11-21
BATCHES = ((1_000, 32), (3_000, 64), (20_000, 128), (math.inf, 512))  # up to so many images, this batch
READ = {  # as somebody said, and nobody can find in the pictures
    "path": "the column of paths",
    "label": "the column of labels",
    "images": "the folder that paths are relative to",
    "range": "of more than 8 bits: what becomes black and white",
    "near": "grey levels of 255 by which copies differ at most",
}
PIXELS = 512 * 64 * 64  # in a batch, at most: what a step remembers of larger ones fills a laptop's memory


def first_recipe(
    name: str,
    data: str,
    shape: tuple[int, int, int],
    read: ShapeSpec,
    counts: dict[str, int],
    own: bool,
    may_flip: bool,
    suspected: str = "",
) -> str:
    """The TOML text of a recipe for `counts` training images of each class, (C,H,W) = `shape`.

    `data` is the name or path to write into it; `read` how its pictures came to this shape; `suspected` a rule for groups that
    nobody named.

    >>> from fittingroom.spec.read import parse_recipe
    >>> import tomllib
    >>> counts = {"cat": 500, "dog": 300}
    >>> text = first_recipe("mine", "pets", (3, 64, 64), ShapeSpec(resize="pad"), counts, own=True, may_flip=True)
    >>> recipe = parse_recipe(tomllib.loads(text)); recipe.train.batch_size, recipe.train.epochs
    (32, 36)
    """
    channels, height, width = shape
    n, side = sum(counts.values()), min(height, width)
    fitting = 2 ** int(math.log2(max(8, PIXELS / (height * width))))
    batch = min(fitting, next(size for most, size in BATCHES if n <= most))
    epochs = min(60, max(6, round(STEPS / math.ceil(n / batch))))
    stages = 3 + (side >= 96) + (side >= 160)
    early = side >= 48
    largest, smallest = max(counts, key=lambda c: counts[c]), min(counts, key=lambda c: counts[c])
    even = counts[largest] <= 3 * max(1, counts[smallest])
    flips = may_flip and (channels == 3 or not own)
    lines = [
        f"name = {_text(name)}",
        f"description = {_text(f'{len(counts)} classes of {n:,} training pictures: a first recipe, by fittingroom new.')}",
        "",
        "[data]",
        f"name = {_text(data)}",
    ]
    if read.resize:
        size = f"{height}" if height == width else f"[{height}, {width}]"
        lines += [
            f"image_size = {size}  # pixels a side; more shows more and costs with the area",
            f"channels = {channels}  # 1 grey, 3 colour",
            f'resize = "{read.resize}"  # "pad" keeps all of a picture, "crop" fills the frame, "stretch" distorts',
        ]
    lines += [
        f"{key} = {_text(list(value) if isinstance(value, tuple) else value)}  # {why}"
        for key, why in READ.items()
        if (value := getattr(read, key)) is not None
    ]
    if read.group or suspected:
        why = "what belongs together, never divided" if read.group else "belongs together by its look? take the # away"
        lines.append(f"{'' if read.group else '# '}group = {_text(read.group or suspected)}  # {why}: docs/data.md")
    lines += [
        "val_fraction = 0.1  # of the training pictures, to choose and to stop on; pictures in a val/ folder come instead",
        "",
        "[model]  # others: fittingroom models",
        'kind = "fastnet"  # a small residual net: the best that fits into minutes on a laptop',
        f"args = {{ width = 16, stages = {stages}, early = {str(early).lower()} }}  # width 32: better, three times as slow",
        "",
        *_flip(flips, own),
        "[[augment]]",
        'kind = "shift"',
        f"pixels = {max(1, side // 16)}",
        "[[augment]]  # a little turned and resized; leave it away where sizes or angles are what tells classes apart",
        'kind = "affine"',
        "degrees = 10.0",
        "scale = 0.1",
        "",
        "[optimizer]",
        'kind = "muon"',
        "lr = 0.03  # the first thing to try changing: 0.01, 0.1",
        "momentum = 0.9",
        "nesterov = true",
        'rest = "sgd"',
        "rest_lr = 0.1",
        "",
        "[schedule]",
        'kind = "triangular"',
        "peak = 0.2",
        "",
        "[train]",
        f"epochs = {epochs}  # about {epochs * math.ceil(n / batch):,} steps",
        f"batch_size = {batch}",
        "label_smoothing = 0.05",
    ]
    if not even:
        lines.append(
            f'balance = "none"  # {_word(largest)} has {counts[largest]:,} pictures, {_word(smallest)} {counts[smallest]:,}:'
            ' "loss" or "sampling" make rare classes count as much'
        )
    return "\n".join(lines) + "\n"


def _flip(flips: bool, own: bool) -> list[str]:
    table = [
        "[[augment]]  # a mirrored picture shows the same thing; not so for letters, digits, arrows",
        'kind = "hflip"',
    ]
    if flips:
        return table if own else ["[[augment]]", 'kind = "hflip"']
    return ["# [[augment]]  # if a mirrored picture shows the same thing", '# kind = "hflip"', ""] if own else []


def _word(name: str) -> str:
    """A class name inside a comment: a line break would end it."""
    return f"“{' '.join(''.join(' ' if unicodedata.category(c) == 'Cc' else c for c in name).split())}”"


def _text(value: object) -> str:
    """A TOML value: a string of any text, a number, or a list of numbers."""
    import tomli_w

    return tomli_w.dumps({"x": value}).removeprefix("x = ").strip()
