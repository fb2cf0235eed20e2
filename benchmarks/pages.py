"""Writes measured lines into a page of the docs, between `<!-- NAME:begin -->` and `<!-- NAME:end -->`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]


def write_block(page: str, name: str, lines: Sequence[str]) -> None:
    """Replace the block `name` of `page` (a path from the repository's root)."""
    path, begin, end = ROOT / page, f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, rest = path.read_text(encoding="utf-8").split(begin)
    after = rest.split(end)[1]
    path.write_text("\n".join([before + begin, *lines, end + after]), encoding="utf-8")
