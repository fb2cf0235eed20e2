"""Finds what `make bench` measured; writes lines into a page of docs, between `<!-- NAME:begin -->` and `<!-- NAME:end -->`."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = sorted(p for p in (ROOT / "benchmarks/results").glob("*.json") if "quick" not in p.name)  # in order of time


def write_block(page: str, name: str, lines: Sequence[str]) -> None:
    """Replace the block `name` of `page` (a path from the repository's root)."""
    path, begin, end = ROOT / page, f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, rest = path.read_text(encoding="utf-8").split(begin)
    after = rest.split(end)[1]
    path.write_text("\n".join([before + begin, *lines, end + after]), encoding="utf-8")


def write_calibration(name: str, head: list[str], rows: list[list[str]], how: str, script: str) -> None:
    """Replace the table `name` of docs/statistics.md, and print it; `how` says what was measured, `script` by which file."""
    from fittingroom.study.sharing import cpu_name

    told = f"{how} Written by `benchmarks/{Path(script).name}`, {cpu_name()}, {datetime.date.today()}."
    block = [*table(head, rows), "", told]
    write_block("docs/statistics.md", name, block)
    print("\n".join(block))


def newest(part: str) -> tuple[Any, str]:
    """A part of the results from the newest file that has it, and where and when it was measured. Raises `LookupError`."""
    for path in reversed(RESULTS):
        found = json.loads(path.read_text(encoding="utf-8"))
        if found.get(part):
            return found[part], f"{found['machine']}, {found['date']}"
    raise LookupError(part)


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    return ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]
