"""From a template and plain data to a page, with everything escaped."""

from __future__ import annotations

import base64
import datetime
import functools
import hashlib
import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from fittingroom.report.pictures import data_uri


def render(template: str, *, folders: tuple[Path, ...] = (), **context: Any) -> str:
    """A page of this room (or of `folders`), with the style inside and everything escaped.

    HTML, or Markdown by its own filter `md`.
    """
    today = datetime.datetime.now()
    date = f"{today.day} {today:%B %Y}"
    css = (assets() / "style.css").read_text(encoding="utf-8")
    return _environment(folders).get_template(template).render(css=css, date=date, **context)


@functools.cache
def _environment(folders: tuple[Path, ...]) -> jinja2.Environment:
    """What compiles templates, and keeps what it compiled until its file changes."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, assets()]),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["md"] = markdown_safe
    return environment


def assets() -> Path:
    """Where the templates, the style and the script are."""
    return Path(str(resources.files("fittingroom") / "report"))


def script_hash(script: str) -> str:
    """What a Content-Security-Policy allows this one script by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def markdown_safe(text: str) -> str:
    """Untrusted text as plain words in a Markdown table: no cell, tag, link, mention or emphasis comes of it.

    >>> print(markdown_safe("a|b <img> *c* http://d"))
    a\\|b &lt;img&gt; \\*c\\* http&#58;//d
    """
    one_line = " ".join(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split())
    bare = one_line.replace("://", "&#58;//").replace("www.", "www&#46;").replace("@", "&#64;")
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", bare)


def both_modes(draw: Callable[[], Any]) -> dict[str, str]:
    """A chart, made by `draw`, as light and dark data: URIs."""
    from fittingroom.report import theme  # pages of words alone need no Altair

    return light_and_dark(theme.drawing_of(theme.spec_of(draw)))


def light_and_dark(light: str) -> dict[str, str]:
    """An SVG as data: URIs for both kinds of page."""
    from fittingroom.report import theme

    drawings = {"light": light, "dark": theme.in_the_dark(light)}
    return {mode: data_uri(drawn.encode(), "image/svg+xml") for mode, drawn in drawings.items()}
