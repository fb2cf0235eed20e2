"""How every chart looks, light and dark, and how it becomes an SVG or a PNG."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vl_convert
from altair.utils.schemapi import debug_mode

from fittingroom.report.pictures import data_uri
from fittingroom.spec.errors import FittingroomError
from fittingroom.store.atomic import write

# Okabe & Ito (2008), colours that colour-blind readers tell apart; markers and dashes say the same again
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8c6d1f", "#7a7a7a"]
# the same hues, lighter
ON_DARK = [
    "#56a9e9",
    "#f58a4b",
    "#3ec59b",
    "#e39bc6",
    "#f0b93a",
    "#9ad2f7",
    "#c9a85c",
    "#b0b0b0",
]
INK, FAINT, GRID, ON_FULL = "#1f2328", "#5b6068", "#e4e4e0", "#ffffff"
EMPTY, FULL = (0xF4, 0xF3, 0xEF), (0x0B, 0x4F, 0x86)  # the ends of a scale of one colour, which is interpolated
# what stands for a light page's colours on a dark one
IN_THE_DARK = {
    INK: "#e8e6e1",
    FAINT: "#a9a59c",
    GRID: "#3a3a38",
    ON_FULL: "#10151a",
    **dict(zip(COLOURS, ON_DARK, strict=True)),
}
EMPTY_IN_THE_DARK, FULL_IN_THE_DARK = (0x23, 0x23, 0x21), (0x6F, 0xB7, 0xE9)
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
WIDTH = 340
Chart = Any  # Altair's chart classes share no useful base
Draw = Callable[[], Chart]


@dataclass(frozen=True, repr=False)
class Figure:
    """A chart that shows itself in a notebook: as an SVG on white, which needs neither internet nor a widget."""

    draw: Draw

    @property
    def chart(self) -> Chart:
        """The Altair chart."""
        return self.draw()

    def save(self, path: str | Path) -> Path:
        """Write it as a picture: PNG or SVG, by the name's ending. Raises `FittingroomError` for another."""
        path = Path(path)
        kinds: dict[str, Callable[[Chart], str | bytes]] = {".svg": svg, ".png": png}
        if path.suffix not in kinds:
            raise FittingroomError(
                f"{path}: a figure is saved as .png or .svg; for others there is its .chart, of Altair"
            )
        write(path, kinds[path.suffix](self.chart))
        return path

    def _repr_svg_(self) -> str:
        return svg(self.chart, background="white")


def svg(chart: Chart, background: str = "transparent") -> str:
    """A chart as a stand-alone SVG."""
    return drawing_of(json.dumps(_themed(chart, background)))


def spec_of(draw: Draw) -> str:
    """What Vega-Lite draws a chart from, on one line.

    It is not held against Vega-Lite's schema: ours are by tests, and it takes as long as drawing.
    """
    with debug_mode(False):
        return json.dumps(_themed(draw(), "transparent"))


def drawing_of(spec: str) -> str:
    """The SVG that Vega-Lite makes of it."""
    return str(vl_convert.vegalite_to_svg(spec))


def in_the_dark(drawing: str) -> str:
    """An SVG for a dark page: the same with other colours, since to draw it again would take twice as long.

    >>> in_the_dark('<path stroke="#0072B2"/><path fill="rgb(244, 243, 239)"/><path fill="red"/>')
    '<path stroke="#56a9e9"/><path fill="#232321"/><path fill="red"/>'
    """

    def other(found: re.Match[str]) -> str:
        if found[0] in IN_THE_DARK:
            return IN_THE_DARK[found[0]]
        if not found[1]:
            return found[0]
        # how far it is from the empty end of the scale
        way = [full - empty for empty, full in zip(EMPTY, FULL, strict=True)]
        gone = [int(value) - empty for value, empty in zip(found.groups(), EMPTY, strict=True)]
        share = sum(a * b for a, b in zip(gone, way, strict=True)) / sum(a * a for a in way)
        between = zip(EMPTY_IN_THE_DARK, FULL_IN_THE_DARK, strict=True)
        return "#" + "".join(f"{round(empty + share * (full - empty)):02x}" for empty, full in between)

    return re.sub(r"#[0-9a-fA-F]{6}\b|\brgb\((\d+), ?(\d+), ?(\d+)\)", other, drawing)


def png(chart: Chart, scale: float = 2.0) -> bytes:
    """A chart as a PNG on white, for slides."""
    return bytes(vl_convert.vegalite_to_png(json.dumps(_themed(chart, "white")), scale=scale))


def _themed(chart: Chart, background: str) -> dict[str, Any]:
    axis = {"labelColor": INK, "titleColor": INK, "gridColor": GRID, "domainColor": FAINT, "tickColor": FAINT}
    spec: dict[str, Any] = chart.to_dict(validate=False)  # our own charts, drawn by every test: checking costs a fifth
    spec["background"] = background
    spec["config"] = {
        "font": FONT,
        "view": {"stroke": None},
        "axis": axis | {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "labelLimit": 200},
        "legend": {"labelColor": INK, "titleColor": INK, "labelFontSize": 12, "titleFontSize": 12, "labelLimit": 240}
        | {"symbolOpacity": 1, "symbolStrokeWidth": 2.5},
        "header": {"labelColor": INK, "titleColor": INK, "labelFontSize": 12},
        "title": {"color": INK, "fontSize": 13, "fontWeight": "normal", "anchor": "start"},
        "text": {"color": INK, "fontSize": 12},
        "rule": {"color": FAINT},
        "range": {"category": COLOURS},
    }
    return spec


def raster(chart: Chart) -> dict[str, str]:
    """A chart of very many points as light and dark PNG data: URIs, on the page's own background."""
    light = svg(chart, "#fdfdfb")
    drawings = {"light": light, "dark": in_the_dark(light.replace("#fdfdfb", "#171716"))}
    return {mode: data_uri(bytes(vl_convert.svg_to_png(drawn, scale=1.5))) for mode, drawn in drawings.items()}
