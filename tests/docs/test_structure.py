"""The plan of the house: no circle of files, no function that takes more than a head can hold."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
MOST = 8  # parameters; the command line's options are what a person may say, and not counted


def modules() -> dict[str, Path]:
    found = {}
    for file in (SOURCE / "fittingroom").rglob("*.py"):
        parts = file.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imported(file: Path, known: dict[str, Path]) -> set[str]:
    """What a file imports of ours, wherever in it, for type checkers too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            for name in node.names:
                inner = f"{node.module}.{name.name}"
                found |= {inner if inner in known else node.module} & known.keys()
    return found


def test_no_circle_of_files() -> None:
    known = modules()
    edges = {name: imported(file, known) - {name} for name, file in known.items()}
    left = dict(edges)
    while leaves := [name for name, to in left.items() if not to & left.keys()]:
        for name in leaves:
            del left[name]
    while tops := [name for name in left if not any(name in to for to in left.values())]:
        for name in tops:
            del left[name]
    assert not left, f"these import each other: {sorted(left)}"


@pytest.mark.parametrize("name", sorted({name.split(".")[1] for name in modules() if "." in name} - {"cli"}))
def test_no_function_takes_more_than_eight(name: str) -> None:
    for module, file in modules().items():
        if module.split(".")[1:2] != [name]:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                taken = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                assert len([a for a in taken if a.arg not in ("self", "cls")]) <= MOST, f"{module}.{node.name}"
