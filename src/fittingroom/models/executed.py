"""Executes texts as modules, apart from what is imported: the same names, other module objects, no cached copy."""

from __future__ import annotations

import builtins
import importlib
import itertools
import linecache
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import packages_distributions
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from fittingroom.spec.digest import digest
from fittingroom.spec.errors import FittingroomError
from fittingroom.spec.registry import EXECUTED

INSTALLED = {Path(sysconfig.get_path(key)).resolve() for key in ("stdlib", "platstdlib", "purelib", "platlib")}
SHOWN = r"<[\w.]+ [0-9a-f]{8}>"  # how a text is called that is in no file here
_numbers = itertools.count()


@dataclass
class World:
    """Modules made of `sources` (name → text). An open one takes up the text of every own module that is imported.

    In Python's list of modules they stand inside a package called `name`, so that nothing that a person imported is
    touched, and two versions of one module can be there together. Their `import` statements lead to one another.
    """

    name: str
    sources: dict[str, str]
    open: bool = False
    folders: Sequence[str] = ()  # where modules are looked for before `sys.path`
    roots: Sequence[Path] = ()  # what lies below them is a person's own
    files: dict[str, str] = field(default_factory=dict)  # of the modules that were taken up

    def module(self, name: str) -> ModuleType:
        """The module `name`, executed when it is asked for the first time, with torch's randomness seeded."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return importlib.import_module(f"{self.name}.{name}")

    def find(self, name: str) -> ModuleSpec | None:
        """A specification of the module `name` here. Raises `FittingroomError` for an own one that came too late."""
        package = any(other.startswith(f"{name}.") for other in self.sources)
        found = None
        if name not in self.sources and not package:
            found = on_disk(name, self.folders)
            if found is None or not is_own(found, name, self.roots):
                return None
            if not self.open:
                raise self._late(name)
            self._take_up(name, found)
            package = found.submodule_search_locations is not None
        spec = ModuleSpec(f"{self.name}.{name}", _finder, origin=self._place(name), is_package=package)
        spec.has_location = name in self.sources
        return spec

    def import_(
        self, name: str, globals: Any = None, locals: Any = None, fromlist: Sequence[str] = (), level: int = 0
    ) -> ModuleType:
        """`__import__` of the modules here: a name of an own module means the one here."""
        top = name.partition(".")[0]
        if level == 0 and top == "importlib":
            module = importlib.import_module(name)
            return module if fromlist and name != top else self._importlib()
        if level or not self._owns(top):
            return builtins.__import__(name, globals, locals, fromlist, level)
        if fromlist:
            return builtins.__import__(f"{self.name}.{name}", globals, locals, fromlist, 0)
        importlib.import_module(f"{self.name}.{name}")
        return sys.modules[f"{self.name}.{top}"]

    def _importlib(self) -> ModuleType:
        """What the modules here see as `importlib`, whose `import_module` leads here, too."""

        def import_module(name: str, package: str | None = None) -> ModuleType:
            inside = not name.startswith(".") and self._owns(name.partition(".")[0])
            return importlib.import_module(f"{self.name}.{name}" if inside else name, package)

        seen = ModuleType("importlib")
        vars(seen).update(vars(importlib) | {"import_module": import_module})
        return seen

    def _owns(self, top: str) -> bool:
        if any(name.partition(".")[0] == top for name in self.sources):
            return True
        found = None if top in sys.stdlib_module_names or top == "fittingroom" else on_disk(top, self.folders)
        if found is None or not is_own(found, top, self.roots):
            return False
        if not self.open:
            raise self._late(top)
        return True

    def _late(self, name: str) -> FittingroomError:
        return FittingroomError(  # no ImportError, which a person's code may answer with something else
            f'model.target: the own module "{name}" is imported too late to be kept with the others ({", ".join(self.sources)}): '
            "import it at the top of the file"
        )

    def _take_up(self, name: str, found: ModuleSpec) -> None:
        if not found.has_location or found.origin is None:
            return  # a folder without __init__.py
        if not found.origin.endswith(".py"):
            raise FittingroomError(
                f'model.target: the own module "{name}" is no text ({found.origin}) and cannot be kept with a run; install it'
            )
        self.sources[name] = read_text(Path(found.origin))
        self.files[name] = found.origin

    def _place(self, name: str) -> str:
        """What errors call the module: its file while that holds this very text, else a name whose lines can be shown."""
        if name not in self.sources:
            return f"<{name}>"
        if name not in self.files:
            found = on_disk(name, self.folders)
            origin = found.origin if found and found.has_location else None
            if origin and origin.endswith(".py") and _holds(Path(origin), self.sources[name]):
                self.files[name] = origin
            else:
                text = self.sources[name]
                self.files[name] = shown = f"<{name} {digest(text)[:8]}>"
                linecache.cache[shown] = (len(text), None, [f"{line}\n" for line in text.split("\n")], shown)
        return self.files[name]


class _Finder(MetaPathFinder, Loader):
    """Python's way into the worlds."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        world, _, name = fullname.partition(".")
        if world not in WORLDS:
            return None
        return WORLDS[world].find(name) if name else ModuleSpec(fullname, self, is_package=True)

    def exec_module(self, module: ModuleType) -> None:
        world, _, name = module.__name__.partition(".")
        here = WORLDS[world]
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": here.import_}
        text = here.sources.get(name, "").removeprefix("\ufeff")
        origin = getattr(module.__spec__, "origin", None)
        exec(compile(text, origin or f"<{name}>", "exec", dont_inherit=True), vars(module))

    def get_source(self, fullname: str) -> str:
        """For who shows a line of it."""
        world, _, name = fullname.partition(".")
        return WORLDS[world].sources.get(name, "")


WORLDS: dict[str, World] = {}
_finder = _Finder()
sys.meta_path.insert(0, _finder)


def closed(sources: Mapping[str, str]) -> World:
    """The modules of `sources`, and no other own ones; the same sources are executed once in a process."""
    name = EXECUTED + digest(dict(sources))[:12]
    return WORLDS.setdefault(name, World(name, dict(sources), folders=[str(Path.cwd())], roots=[Path.cwd()]))


@contextmanager
def opened(sources: Mapping[str, str], folders: Sequence[str], roots: Sequence[Path]) -> Iterator[World]:
    """A world that takes up what is imported, for as long as the block lasts."""
    importlib.invalidate_caches()  # files that were written a moment ago
    world = World(f"{EXECUTED}open_{next(_numbers)}", dict(sources), True, folders, roots)
    WORLDS[world.name] = world
    try:
        yield world
    finally:
        del WORLDS[world.name]
        for name in [name for name in sys.modules if name.partition(".")[0] == world.name]:
            del sys.modules[name]


def on_disk(name: str, folders: Sequence[str]) -> ModuleSpec | None:
    """Where a fresh Python that begins to look in `folders` would find the module `name`. Imports nothing."""
    above, _, last = name.rpartition(".")
    if above:
        package = on_disk(above, folders)
        inside = package.submodule_search_locations if package else None
        return PathFinder.find_spec(last, list(inside)) if inside else None
    found = PathFinder.find_spec(name, [*folders, *sys.path])
    others = [f for f in sys.meta_path if f is not PathFinder and f is not _finder]  # editable installs have theirs
    return found or next((spec for f in others if (spec := f.find_spec(name, None))), None)


def is_own(spec: ModuleSpec, name: str, roots: Sequence[Path]) -> bool:
    """Whether a module is a person's own file: below one of `roots`, or anywhere else where nothing is installed."""
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or top in ("fittingroom", "__main__"):
        return False
    places = [spec.origin or ""] if spec.has_location else list(spec.submodule_search_locations or ())
    own = [Path(place).resolve() for place in places if not is_installed(Path(place))]
    below = any(path.is_relative_to(root.resolve()) for path in own for root in roots)
    return bool(own) and (below or top not in packages_distributions())


def is_installed(path: Path) -> bool:
    path = path.resolve()
    return bool({"site-packages", "dist-packages"} & set(path.parts)) or not INSTALLED.isdisjoint(path.parents)


def read_text(path: Path) -> str:
    """The text of a module's file. Raises `FittingroomError` if it has none."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FittingroomError(f"model.target: cannot read {path}: {error}") from None


def where(error: BaseException) -> str:
    """A person's own error, with the line of their text that it came from, and what helps where that is known."""
    message = re.sub(rf"{EXECUTED}\w+\.", "", str(error))
    said = f"{type(error).__name__}: {message}"
    frames = traceback.walk_tb(error.__traceback__)
    own = [(frame, line) for frame, line in frames if str(frame.f_globals.get("__name__")).startswith(EXECUTED)]
    if own:
        frame, line = own[-1]
        file = frame.f_code.co_filename
        text = linecache.getline(file, line).strip() if file.startswith("<") else ""
        said += f" ({file}, line {line}{f': {text}' if text else ''})"
    if isinstance(error, ModuleNotFoundError):
        said += "; install it"
    return said


def _holds(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text
    except (OSError, UnicodeDecodeError):
        return False
