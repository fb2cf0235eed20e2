"""How every chart looks, light and dark, and how it becomes an SVG or a PNG."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vl_convert

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
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
WIDTH = 340
Chart = Any  # Altair's chart classes share no useful base
Draw = Callable[[bool], Chart]  # dark → chart


@dataclass(frozen=True, repr=False)
class Figure:
    """A chart that shows itself in a notebook: as an SVG on white, which needs neither internet nor a widget."""

    draw: Draw

    @property
    def chart(self) -> Chart:
        """The Altair chart."""
        return self.draw(False)

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


def svg(chart: Chart, dark: bool = False, background: str = "transparent") -> str:
    """A chart as a stand-alone SVG."""
    return str(vl_convert.vegalite_to_svg(json.dumps(_themed(chart, dark, background))))


def png(chart: Chart, scale: float = 2.0) -> bytes:
    """A chart as a PNG on white, for slides."""
    return bytes(vl_convert.vegalite_to_png(json.dumps(_themed(chart, False, "white")), scale=scale))


def _themed(chart: Chart, dark: bool, background: str) -> dict[str, Any]:
    ink, faint, grid = ("#e8e6e1", "#a9a59c", "#3a3a38") if dark else ("#1f2328", "#5b6068", "#e4e4e0")
    axis = {"labelColor": ink, "titleColor": ink, "gridColor": grid, "domainColor": faint, "tickColor": faint}
    spec: dict[str, Any] = chart.to_dict(validate=False)  # our own charts, drawn by every test: checking costs a fifth
    if dark:  # colours that a chart names itself
        text = json.dumps(spec)
        for light, lighter in zip(COLOURS, ON_DARK, strict=True):
            text = text.replace(light, lighter)
        spec = json.loads(text)
    spec["background"] = background
    spec["config"] = {
        "font": FONT,
        "view": {"stroke": None},
        "axis": axis | {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "labelLimit": 200},
        "legend": {"labelColor": ink, "titleColor": ink, "labelFontSize": 12, "titleFontSize": 12, "labelLimit": 240}
        | {"symbolOpacity": 1, "symbolStrokeWidth": 2.5},
        "header": {"labelColor": ink, "titleColor": ink, "labelFontSize": 12},
        "title": {"color": ink, "fontSize": 13, "fontWeight": "normal", "anchor": "start"},
        "text": {"color": ink, "fontSize": 12},
        "rule": {"color": faint},
        "range": {"category": ON_DARK if dark else COLOURS},
    }
    return spec


def raster(chart: Chart) -> dict[str, str]:
    """A chart of very many points as light and dark PNG data: URIs, on the page's own background."""
    return {
        mode: data_uri(bytes(vl_convert.vegalite_to_png(json.dumps(_themed(chart, dark, background)), scale=1.5)))
        for mode, dark, background in (("light", False, "#fdfdfb"), ("dark", True, "#171716"))
    }
