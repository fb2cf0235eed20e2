"""A notebook, as far as a class that is defined in one can tell: `__main__`, and cells whose text Python's linecache has."""

from __future__ import annotations

import linecache
import sys
from types import ModuleType
from typing import Any

import pytest


class Notebook:
    """Executes cells in a `__main__` of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.main = ModuleType("__main__")
        self.cells = 0
        self.monkeypatch = monkeypatch
        monkeypatch.setitem(sys.modules, "__main__", self.main)

    def run(self, text: str) -> None:
        """A cell, as IPython runs it."""
        self.cells += 1
        name = f"/tmp/ipykernel_1/{id(self)}{self.cells}.py"
        self.monkeypatch.setitem(linecache.cache, name, (len(text), None, text.splitlines(keepends=True), name))
        exec(compile(text, name, "exec", dont_inherit=True), vars(self.main))

    def __getitem__(self, name: str) -> Any:
        return vars(self.main)[name]
