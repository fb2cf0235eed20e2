"""What a notebook shows inline: samples, galleries. HTML with its pictures inside, so that it needs no internet."""

from __future__ import annotations

from html import escape

import numpy as np

from fittingroom.data import Dataset
from fittingroom.metrics.story import Story
from fittingroom.report import charts
from fittingroom.report.mistakes import confident_mistakes
from fittingroom.report.pictures import data_uri, png_bytes, sheet
from fittingroom.report.theme import svg

PER_CLASS = 10  # samples
SMALL = 40  # pixels a side, to which small images are enlarged


class Html:
    """A piece of a page that shows itself in a notebook; as text it says what it would show."""

    def __init__(self, html: str, text: str) -> None:
        self.html, self.text = html, text

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.html


def samples(data: Dataset) -> Html:
    """Training images of each class, and how many of each there are."""
    train, (_, height, width) = data.train, data.train.shape
    counts = {"training": np.bincount(train.labels_N, minlength=len(data.classes))}
    times = max(1, round(SMALL / height))
    lines = []
    for k, name in enumerate(data.classes):
        rows = np.flatnonzero(train.labels_N == k)[:PER_CLASS]
        picture = _picture(sheet(train.take(rows).images_NCHW[:], PER_CLASS), times) if len(rows) else ""
        lines.append(f"<tr><td>{escape(name)}</td><td>{picture}</td><td>{counts['training'][k]:,}</td></tr>")
    words = f"{data.title}: {len(train):,} training images ({width}×{height}), {data.test.n:,} locked test images"
    balance = svg(charts.balance(counts, data.classes), background="white")
    head = "<tr><th>class</th><th>training images</th><th>how many</th></tr>"
    return Html(f"<p>{escape(words)}</p><table>{head}{''.join(lines)}</table>{balance}", words)


def mistakes(story: Story, recipe: str, most: int = 18) -> Html:
    """The test images that a recipe is most confidently wrong about."""
    found = confident_mistakes(story, recipe, most)
    words = f"{recipe}: its {len(found)} most confident mistakes on {story.data.title}"
    times = max(1, round(2 * SMALL / story.data.shape[1]))
    tiles = "".join(
        f'<figure style="display:inline-block;margin:4px;text-align:center">{_picture(one["picture"], times)}'
        f"<figcaption><small>{escape(one['called'])} {escape(one['true'])}<br>{'<br>'.join(map(escape, one['lines']))}</small>"
        "</figcaption></figure>"
        for one in found
    )
    return Html(f"<p>{escape(words)}</p><div>{tiles}</div>", words)


def _picture(image_CHW: np.ndarray, times: int) -> str:
    """An image, enlarged without blur."""
    _, height, width = image_CHW.shape
    size = f"width:{width * times}px;height:{height * times}px;max-width:none;image-rendering:pixelated"
    return f'<img src="{data_uri(png_bytes(image_CHW))}" style="{size}">'
